"""Recipes: each is well-formed, fits its method, tells its numbers, and trains."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny import TINY_BACKBONE

from coarsecon import recipes, registry
from coarsecon.config import RunConfig, ScheduleSettings, merge, read_config_file, validate
from coarsecon.errors import InputError
from coarsecon.train.pretrain import pretrain
from coarsecon.train.resolve import build_run_spec
from coarsecon.train.schedule import cycles_of

NAMES = recipes.names()
PAGE = Path(__file__).resolve().parents[1] / "docs" / "methods.md"
DATASETS = (
    "cifar10", "cifar100", "cifartoy", "imagenet32", "imagenet100", "imagenet1k", "sop", "cars196", "stl10",
    "tinyimagenet", "animals10", "living17", "nonliving26", "entity13", "entity30", "tieredimagenet", "toy",
)  # fmt: skip
METRIC = re.compile(
    r"(fine|coarse) (recall@\d+|top-1|linear top-1|(5-way|all-way|intra-class) [15]-shot)( \([\w -]+\))?"
)


def method_settings(name: str) -> Any:
    """The recipe's settings of its method, validated."""
    config = validate(RunConfig, recipes.read(name))
    method = registry.load(registry.METHODS, config.method["name"])
    own = {key: value for key, value in config.method.items() if key != "name"}
    return validate(method.Config, own, section="method")


def shrunk(name: str, data: Path) -> dict[str, Any]:
    """The recipe with all that makes it long made small, and nothing else changed."""
    layers = recipes.read(name)
    method: dict[str, Any] = {}
    if "queue_size" in layers["method"]:
        method["queue_size"] = 24
    if layers["method"].get("saliency", "momentum") != "momentum":
        method |= {"saliency": "test_resnet", "saliency_pretrained": False}
    narrow = {"widths": [8, 8, 8, 8]} if layers["backbone"]["name"] == "resnet12" else TINY_BACKBONE["args"]
    sizes = {
        "data": {"path": data, "size": 32, "limit": 32, "workers": 0},
        "backbone": {"args": narrow},
        "method": method,
        "schedule": {"epochs": 1},
        "run": {"batch_size": 16, "device": "cpu", "precision": "float32", "log_every": 1, "monitor_every": 0},
    }
    return merge(layers, sizes)


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_fits_its_method(name):
    config = validate(RunConfig, recipes.read(name))
    method_settings(name)
    assert config.recipe == name
    method, dataset, *_ = name.split("-")
    assert method == config.method["name"]
    assert dataset in DATASETS


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_fits_what_its_dataset_is_prepared_as(name):
    dataset, data = name.split("-")[1], validate(RunConfig, recipes.read(name)).data
    for entry in registry.entries(registry.DATASETS):
        if entry.name == dataset or entry.name.startswith(f"{dataset}-"):
            source = entry.load()
            assert data.labels in source.levels
            assert (data.size or source.default_size) <= source.default_size


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_takes_its_steps_on_tiny_images(name, tiny_data, tmp_path):
    run = pretrain(build_run_spec(shrunk(name, tiny_data)), tmp_path / "run")
    losses = [row["loss"] for row in run.metrics()]
    assert len(losses) == 2
    assert all(math.isfinite(loss) for loss in losses)


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_tells_its_numbers_or_that_there_are_none(name):
    summary, about = recipes.text(name).splitlines()[:2]
    assert summary.startswith("# ")
    assert about.startswith("# ")
    assert recipes.summary(name) == summary.removeprefix("# ")
    expect = recipes.expected(name)
    for row in expect:
        assert METRIC.fullmatch(row.metric), row.metric
        assert 0 < row.value < 100
        assert re.search(r"20\d\d, |README|Papers with Code", row.source)
    comments = " ".join(line.lstrip("# ") for line in recipes.text(name).splitlines() if line.startswith("#"))
    assert expect or "could not be" in comments or "could be had" in comments
    assert len({row.metric for row in expect}) == len(expect)


@pytest.mark.parametrize("name", NAMES)
def test_the_numbers_end_a_recipe_so_that_its_settings_can_be_copied(name, tmp_path):
    written = (Path(recipes.__file__).parent / f"{name}.yaml").read_text()
    assert list(yaml.safe_load(written))[-1] == "expect"
    assert max(map(len, written.splitlines())) <= 120
    copy = tmp_path / "copy.yaml"
    copy.write_text(recipes.text(name))
    assert {"recipe": name, **read_config_file(copy)} == recipes.read(name)


def test_the_page_of_methods_tells_of_every_method_and_recipe():
    page = PAGE.read_text()
    for entry in registry.entries(registry.METHODS):
        if entry.distribution == "coarsecon":
            assert f"`{entry.name}`" in page, entry.name
    assert [name for name in NAMES if f"`{name}`" not in page] == []
    named = set(re.findall(rf"`([a-z]+-(?:{'|'.join(DATASETS)})[\w-]*)`", page))
    assert named <= set(NAMES)


def test_maskcons_recipes_hold_the_papers_settings():
    cifar, sop = recipes.read("maskcon-cifar100"), recipes.read("maskcon-sop")
    assert (cifar["method"]["w"], cifar["method"]["t"], cifar["method"]["t0"]) == (1.0, 0.05, 0.1)
    assert (sop["method"]["w"], sop["method"]["t"]) == (0.8, 0.1)
    assert recipes.read("maskcon-imagenet32")["method"]["queue_size"] == 16384
    assert recipes.read("maskcon-imagenet32")["schedule"]["epochs"] == 100
    assert cifar["optimizer"] == {"lr": 0.02, "momentum": 0.9, "weight_decay": 5e-4}


def test_ascls_recipes_hold_the_papers_settings():
    cifar = recipes.read("ascl-cifar100")
    assert cifar["backbone"] == {"name": "resnet18", "stem": "small", "init": "maskcon", "batch_norm_splits": 8}
    assert (cifar["method"]["neighbors"], recipes.read("ascl-cifar10")["method"]["neighbors"]) == (5, 1)
    assert (cifar["method"]["t0"], cifar["method"]["t"], cifar["method"]["queue_size"]) == (0.1, 0.05, 4096)
    assert {recipes.read(f"ascl-{name}")["backbone"]["stem"] for name in ("stl10", "tinyimagenet")} == {"small-pool"}
    large = recipes.read("ascl-imagenet1k")["method"]
    assert (large["queue_size"], large["momentum"]) == (65536, 0.999)


def test_the_in_batch_recipes_hold_the_papers_settings():
    for name, lr, temperature in (("supcon", 0.5, 0.1), ("simclr", 0.5, 0.5), ("supce", 0.8, None)):
        for dataset in ("cifar10", "cifar100"):
            recipe = recipes.read(f"{name}-{dataset}")
            assert recipe["optimizer"] == {"lr": lr, "momentum": 0.9, "weight_decay": 1e-4}
            assert recipe["method"].get("temperature") == temperature
            assert recipe["run"]["batch_size"] == 1024
            schedule = recipe["schedule"]
            assert (schedule["name"], schedule["warmup_epochs"], schedule["warmup_from"]) == ("epoch-cosine", 10, 0.01)
            assert schedule["floor"] == 1e-3
            assert schedule["epochs"] == (500 if name == "supce" else 1000)


def test_ancors_recipes_hold_the_papers_settings():
    breeds, cifar, tiered = (recipes.read(f"ancor-{name}") for name in ("entity30", "cifar100", "tieredimagenet"))
    assert (breeds["optimizer"]["lr"], breeds["run"]["batch_size"]) == (0.03, 256)
    for small in (cifar, tiered):
        assert (small["optimizer"]["lr"], small["run"]["batch_size"]) == (0.12, 1024)
    assert [recipe["method"]["momentum"] for recipe in (breeds, cifar, tiered)] == [0.999, 0.99, 0.999]
    assert [recipe["method"]["query_view"] for recipe in (breeds, cifar, tiered)] == ["simclr-blur", "weak", "simclr"]
    for recipe, epochs in ((breeds, 200), (recipes.read("ancor-entity30-800ep"), 800)):
        schedule = validate(ScheduleSettings, recipe["schedule"])
        assert (schedule.name, schedule.epochs, cycles_of(schedule)) == ("cyclic", epochs, 10)
        assert (recipe["method"]["t0"], recipe["method"]["queue_size"]) == (0.2, 65536)


def test_recipes_split_batch_norm_as_the_published_runs_did_over_their_gpus():
    splits = {name: recipes.read(name)["backbone"].get("batch_norm_splits", 1) for name in NAMES}
    for name, number in splits.items():
        if name.startswith(("ancor-", "salmask-imagenet100-moco")):
            expected = 4
        elif name.startswith("moco-"):
            expected = 1 if name in ("moco-cifar100", "moco-toy") else 4
        else:
            expected = 8 if name.startswith("ascl-") else 1
        assert number == expected, name
        assert recipes.read(name).get("run", {}).get("batch_size", 128) % number == 0


def test_fine_upper_bounds_differ_in_their_labels_alone():
    for name in NAMES:
        if name.endswith("-fine"):
            fine, coarse = recipes.read(name), recipes.read(name.removesuffix("-fine"))
            assert fine["data"].pop("labels") == "fine"
            assert {**fine, "recipe": None, "data": fine["data"]} == {
                **coarse, "recipe": None, "data": coarse.get("data", {}),
            }  # fmt: skip


def test_the_recipes_of_saliency_masking_differ_in_what_their_names_say():
    hp = recipes.read("salmask-imagenet100-moco-hp")
    assert (hp["method"]["alpha"], hp["method"]["hard_negatives"], hp["optimizer"]["lr"]) == (2.0, 1, 0.015)
    for strategy in ("blur", "mean"):
        other = recipes.read(f"salmask-imagenet100-moco-{strategy}")
        assert other["method"] == {**hp["method"], "strategy": strategy}
        assert (other["optimizer"], other["schedule"]) == (hp["optimizer"], hp["schedule"])


def test_the_numbers_of_a_table_are_the_papers():
    def numbers(name: str) -> list[str]:
        return [row.number() for row in recipes.expected(name)]

    assert numbers("ancor-living17") == ["89.23 ± 0.55", "45.14 ± 0.12", "48.77 ± 0.71"]
    assert numbers("ancor-tieredimagenet") == ["63.54 ± 0.7", "80.12 ± 0.53", "11.97 ± 0.06"]
    assert numbers("supcon-cifar100-fine") == ["76.5"]
    assert numbers("salmask-imagenet100-moco-hp")[0] == "73.8"
    assert numbers("ascl-cifar100") == []


def test_an_unknown_recipe_tells_the_nearest():
    with pytest.raises(InputError, match="did you mean maskcon-cifar100"):
        recipes.text("maskcon-cifar1000")
    with pytest.raises(InputError, match="recipes ls"):
        recipes.text("../../etc/passwd")
