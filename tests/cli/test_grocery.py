"""Real shop photos with two label levels go the whole way, from a table to what retrieval measures."""

import csv
import json

from tiny import TINY_BACKBONE


def test_from_a_table_to_retrieval(coarsecon, shared, tmp_path):
    """Three coarse classes, one of them with a single fine class, ten photos of each fine class and split."""
    table = shared / "data" / "grocery" / "table.csv"
    with table.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["coarse"] in ("Melon", "Juice", "Lime")]
    chosen, seen = [], {}
    for row in rows:
        key = row["split"], row["fine"]
        seen[key] = seen.get(key, 0) + 1
        chosen += [row] * (seen[key] <= 10 and row["split"] != "val")
    with (tmp_path / "some.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, chosen[0])
        writer.writeheader()
        writer.writerows(chosen)

    prepare = ["prepare", "folder", "--table", tmp_path / "some.csv", "--source", table.parent, "--size", 48]
    done = coarsecon(*prepare, "--out", tmp_path / "data", "--json", "-")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["coarse_with_one_fine"] == ["Lime"]
    assert told["splits"]["train"]["count"] == sum(row["split"] == "train" for row in chosen)
    assert "1 coarse class (Lime) with a single fine class" in told["notes"]
    assert json.loads(coarsecon("data", "check", tmp_path / "data", "--json", "-").out)["whole"]

    pretrain = ["pretrain", "--data", tmp_path / "data", "--epochs", 1, "--batch-size", 32, "--device", "cpu"]
    settings = {"backbone.args": TINY_BACKBONE["args"], "method.queue_size": 64, "data.workers": 0}
    flags = [word for key, value in settings.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    done = coarsecon(*pretrain, "--backbone", "resnet18", *flags, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    found = json.loads(coarsecon("retrieve", tmp_path / "run", "--json", "-").out)
    assert found["fine"]["queries"] == sum(row["split"] == "test" for row in chosen)
    assert found["coarse"]["recall@1"] >= found["fine"]["recall@1"] > 0
