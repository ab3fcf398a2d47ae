"""`coarsecon recipes`: lists, shows with numbers and sources, and copies what `--config` takes."""

import json

import pytest
import yaml
from tiny import TINY_BACKBONE

from coarsecon import recipes


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """A terminal wide enough for whole lines."""
    monkeypatch.setenv("COLUMNS", "250")


def test_the_list_names_every_recipe_and_what_it_is(coarsecon):
    done = coarsecon("recipes", "ls")
    assert done.code == 0
    lines = {line.split("│")[1].strip(): line for line in done.out.splitlines() if line.startswith("│")}
    assert list(lines) == [*recipes.names(), *recipes.names("detect")]
    assert "ANCOR on Living-17 (17 coarse -> 68 fine), ResNet-50 at 224 px" in lines["ancor-living17"]
    assert "Faster R-CNN" in lines["voc-c4-24k"]


def test_the_list_as_json_holds_all_numbers(coarsecon):
    rows = {row["name"]: row for row in json.loads(coarsecon("recipes", "ls", "--json", "-").out)}
    assert list(rows) == [*recipes.names(), *recipes.names("detect")]
    assert (rows["maskcon-sop"]["command"], rows["voc-c4-24k"]["command"]) == ("pretrain", "detect")
    assert rows["maskcon-sop"]["expect"] == []
    first = rows["ancor-living17"]["expect"][0]
    assert first == {
        "metric": "fine 5-way 1-shot", "value": 89.23, "ci95": 0.55, "source": "Bukchin et al., CVPR 2021, Table 2",
    }  # fmt: skip


def test_show_prints_the_settings_then_the_numbers_with_their_sources(coarsecon):
    out = coarsecon("recipes", "show", "ancor-living17").out
    settings, table = out.split("To expect")
    text = recipes.text("ancor-living17")
    assert yaml.safe_load(settings) == yaml.safe_load(text)
    assert "expect" not in yaml.safe_load(settings)
    assert settings.replace("# ", "").split() == text.replace("# ", "").split()
    assert "89.23 ± 0.55" in table
    assert "Bukchin et al., CVPR 2021, Table 2" in table


def test_show_says_where_no_number_is_known(coarsecon):
    out = coarsecon("recipes", "show", "ascl-cifar100").out
    assert "The paper's number could not be read." in out
    assert out.endswith("No published number is known for these settings.\n")


def test_show_as_json_has_settings_apart_from_numbers(coarsecon, tmp_path):
    path = tmp_path / "recipe.json"
    assert coarsecon("recipes", "show", "supcon-cifar100-fine", "--json", path).code == 0
    shown = json.loads(path.read_text())
    assert set(shown) == {"name", "command", "summary", "settings", "expect"}
    assert shown["settings"] == recipes.read("supcon-cifar100-fine")
    assert [(row["metric"], row["value"], row["ci95"]) for row in shown["expect"]] == [
        ("fine linear top-1", 76.5, None)
    ]


def test_a_copy_keeps_its_comments_and_trains(coarsecon, tiny_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert coarsecon("recipes", "cp", "maskcon-cifar100").code == 0
    copy = tmp_path / "maskcon-cifar100.yaml"
    assert copy.read_text() == recipes.text("maskcon-cifar100")
    assert "# Feng & Patras, CVPR 2023" in copy.read_text()
    small = {"backbone.args": TINY_BACKBONE["args"], "method.queue_size": 24, "data.workers": 0, "run.monitor_every": 0}
    flags = [word for key, value in small.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    done = coarsecon(
        "pretrain", "--config", copy, "--data", tiny_data, "--out", tmp_path / "run", *flags,
        "--epochs", 1, "--batch-size", 16, "--limit", 32, "--device", "cpu",
    )  # fmt: skip
    assert done.code == 0, done.err
    saved = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (saved["method"]["t"], saved["method"]["query_view"]) == (0.05, "autoaugment")


def test_a_copy_goes_into_a_folder_and_overwrites_nothing(coarsecon, tmp_path):
    assert coarsecon("recipes", "cp", "supce-toy", tmp_path).code == 0
    assert (tmp_path / "supce-toy.yaml").exists()
    refused = coarsecon("recipes", "cp", "supce-toy", tmp_path)
    assert refused.code == 2
    assert "exists already" in refused.err
    assert coarsecon("recipes", "cp", "nope", tmp_path).code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["supce-toy.yaml"]


def test_a_copy_of_a_recipe_for_detection_tells_its_own_command(coarsecon, tmp_path):
    path = tmp_path / "mine.yaml"
    done = coarsecon("recipes", "cp", "voc-c4-24k", path)
    assert done.code == 0
    assert f"next: coarsecon detect RUN --config {path} --data DIR" in done.err
    assert {"recipe": "voc-c4-24k", **yaml.safe_load(path.read_text())} == recipes.read("voc-c4-24k", "detect")
