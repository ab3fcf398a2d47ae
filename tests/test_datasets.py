"""Every form of every dataset goes from its original files to an encoder, by the commands a user types."""

import json
from pathlib import Path

import pytest
import yaml
from stand_ins import STAND_INS, StandIn
from tiny import TINY_BACKBONE

from coarsecon import registry

BATCH = 8


def test_every_dataset_has_a_stand_in():
    names = {entry.name for entry in registry.entries(registry.DATASETS) if entry.distribution == "coarsecon"}
    assert {stand_in.dataset for stand_in in STAND_INS} == names


@pytest.mark.parametrize("stand_in", STAND_INS, ids=str)
def test_it_prepares_and_trains_two_steps(
    stand_in: StandIn, coarsecon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = stand_in.write(tmp_path / "original", monkeypatch)
    before = listing(tmp_path / "original")
    data = tmp_path / "data"
    prepared = coarsecon("prepare", stand_in.dataset, *arguments, "--out", data)
    assert prepared.code == 0, prepared.err
    assert listing(tmp_path / "original") == before, "the source is left as it was"
    info = json.loads((data / "dataset.json").read_text())
    source = registry.load(registry.DATASETS, stand_in.dataset)
    if source.levels:
        assert {level: len(names) for level, names in info["levels"].items()} == source.levels
    if source.counts:
        assert list(info["splits"]) == list(source.counts)

    settings = {
        "data": {"path": str(data), "limit": 2 * BATCH, "size": 32, "workers": 0,
                 "labels": "coarse" if "coarse" in info["levels"] else "fine"},
        "backbone": TINY_BACKBONE, "method": {"name": "supce"},
        "schedule": {"epochs": 1, "warmup_epochs": 0},
        "run": {"batch_size": BATCH, "device": "cpu", "log_every": 1, "monitor_every": 0},
    }  # fmt: skip
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    trained = coarsecon("pretrain", "--config", tmp_path / "config.yaml", "--out", tmp_path / "run")
    assert trained.code == 0, trained.err
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert max(row["step"] for row in rows if "step" in row) == 2


def listing(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(path.relative_to(folder)), path.stat().st_size) for path in folder.rglob("*"))
