"""Backbones are compared from the command line: tables, runs that every command takes, resuming, and errors."""

import json
import shutil

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from tiny import write_tiny_dataset

FAST = ("--device", "cpu", "--workers", 0)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights of a tiny ResNet as timm saves them, in half precision, with a classifier."""
    path = tmp_path_factory.mktemp("weights") / "published.safetensors"
    torch.manual_seed(1)
    state = timm.create_model("test_resnet", num_classes=10).state_dict()
    save_file({name: value.half() if value.is_floating_point() else value for name, value in state.items()}, path)
    return path


@pytest.fixture(scope="module")
def compared(tmp_path_factory, weights):
    """A dataset, and the folder of a comparison of three backbones on it."""
    from coarsecon.backbones.compare import compare_backbones
    from coarsecon.run.spec import Runtime

    folder = tmp_path_factory.mktemp("compared")
    data = write_tiny_dataset(folder / "data")
    names = [f"test_resnet={weights}", "test_resnet=random", "test_vit=random"]
    ranking = compare_backbones(data, names, out=folder / "runs", runtime=Runtime("cpu", workers=0))
    return data, folder / "runs", names, ranking


def test_the_table_ranks_by_recall_and_names_cost_and_interval(compared, coarsecon, monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")
    data, out, names, ranking = compared
    done = coarsecon("backbones", data, *names, "--out", out, *FAST)
    assert done.code == 0, done.err
    rows = [line for line in done.out.splitlines() if line.startswith("│ test_")]
    values = [float(row.split("│")[2].split()[0]) for row in rows]
    assert values == sorted(values, reverse=True)
    assert len(rows) == 3
    for title in ("fine R@1", "within coarse", "coarse R@1", "5-way 1-shot", "fine kNN", "linear probe", "images/s"):
        assert title in done.out
    assert "±" in rows[0]
    assert f"next: coarsecon report {ranking.best.run}" in done.err


def test_scores_are_those_of_the_commands(compared, coarsecon):
    _, out, _, ranking = compared
    run = out / "test_resnet-published-32px"
    scores = next(each for each in ranking.backbones if each.run == run).scores
    found = json.loads(coarsecon("retrieve", run, "--gallery-split", "train", *FAST, "--json", "-").out)
    assert scores["fine R@1"].value == found["fine"]["recall@1"]
    assert scores["within coarse"].value == found["fine_within_coarse"]["recall@1"]
    found = json.loads(coarsecon("linear", run, "--labels", "fine", *FAST, "--json", "-").out)
    assert scores["linear probe"].value == found["fine"]["top1"]
    found = json.loads(coarsecon("knn", run, "--k", 20, *FAST, "--json", "-").out)
    assert scores["fine kNN"].value == found["fine"]["top1"]
    assert scores["coarse kNN"].value == found["coarse"]["top1"]
    few = ("--support-copies", 1, "--skip-small", "--queries", 1)
    assert (
        scores["5-way 1-shot"].value
        == json.loads(coarsecon("fewshot", run, *few, *FAST, "--json", "-").out)["accuracy"]
    )


def test_a_rerun_reads_what_is_finished(compared, coarsecon, monkeypatch):
    data, out, names, ranking = compared
    monkeypatch.setattr("coarsecon.backbones.scores.evaluate", None)
    monkeypatch.setattr("coarsecon.backbones.cost.measure_cost", None)
    monkeypatch.setattr("coarsecon.nn.encoder.Encoder.features", None)
    done = coarsecon("backbones", data, *names, "--out", out, *FAST, "--json", "-")
    assert done.code == 0, done.err
    assert json.loads(done.out) == [each.to_json() for each in ranking.backbones]


def test_runs_have_the_transform_of_their_weights_and_count_as_frozen(compared, coarsecon):
    data, out, _, _ = compared
    card = json.loads((out / "test_resnet-published-32px" / "encoder.json").read_text())
    published = timm.models.get_pretrained_cfg("test_resnet")
    assert card["input"]["mean"] == list(published.mean)
    assert card["input"]["interpolation"] == published.interpolation
    random = json.loads((out / "test_resnet-random-32px" / "encoder.json").read_text())
    assert random["input"]["mean"] == json.loads((data / "dataset.json").read_text())["mean"]
    done = coarsecon("retrieve", out / "test_vit-random-32px", "--split", "train", *FAST)
    assert done.code == 0, done.err
    assert "training" not in done.err


def test_only_coarse_labels_rank_by_criteria_that_need_no_fine_ones(tmp_path, coarsecon):
    data = write_tiny_dataset(tmp_path / "data")
    info = json.loads((data / "dataset.json").read_text())
    del info["levels"]["fine"]
    (data / "dataset.json").write_text(json.dumps(info))
    for split in ("train", "test"):
        file = data / f"{split}.safetensors"
        save_file({name: value for name, value in load_file(file).items() if "fine" not in name}, file)
    done = coarsecon("backbones", data, "test_resnet=random", "--out", tmp_path / "runs", *FAST, "--json", "-")
    assert done.code == 0, done.err
    (found,) = json.loads(done.out)
    assert list(found["scores"]) == ["coarse R@1", "coarse kNN", "view agreement", "cluster stability"]


def test_a_dataset_with_one_split_searches_and_cross_validates_in_it(tmp_path, coarsecon):
    data = write_tiny_dataset(tmp_path / "data")
    info = json.loads((data / "dataset.json").read_text())
    del info["splits"]["test"]
    (data / "dataset.json").write_text(json.dumps(info))
    (data / "test.safetensors").unlink()
    done = coarsecon("backbones", data, "test_resnet=random", "--out", tmp_path / "runs", *FAST, "--json", "-")
    assert done.code == 0, done.err
    (found,) = json.loads(done.out)
    assert found["scores"]["fine R@1"]["count"] == 96
    assert {"fine kNN", "linear probe"} <= found["scores"].keys()


def test_sizes_and_poolings_are_tried_where_the_network_has_them(tmp_path, coarsecon, tiny_data):
    words = ("--sizes", "32,48", "--pooling", "cls,both", "--out", tmp_path / "runs", *FAST, "--json", "-")
    done = coarsecon("backbones", tiny_data, "test_vit=random", "test_resnet=random", *words)
    assert done.code == 0, done.err
    found = {each["name"]: each for each in json.loads(done.out)}
    vit = {f"test_vit-random-{size}px-{pooling}" for size in (32, 48) for pooling in ("cls", "both")}
    assert found.keys() == vit | {"test_resnet-random-32px", "test_resnet-random-48px"}
    assert found["test_vit-random-48px-both"]["dim"] == 2 * found["test_vit-random-48px-cls"]["dim"]
    assert found["test_vit-random-48px-cls"]["size"] == 48


def test_what_cannot_be_used_is_skipped_with_the_reason(tmp_path, coarsecon, tiny_data, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    words = ("--sizes", "36,48", "--out", tmp_path / "runs", *FAST)
    done = coarsecon("backbones", tiny_data, "test_resnet.r160_in1k", "test_vit=random", *words)
    assert done.code == 0, done.err
    assert "test_resnet.r160_in1k: the weights cannot be downloaded, and are not cached" in done.out
    assert "patch size" in done.out
    assert "test_vit-random-48px" in done.out


def test_an_existing_run_is_evaluated_as_it_is(tmp_path, coarsecon, tiny_data, compared):
    _, out, _, _ = compared
    run = tmp_path / "copy"
    shutil.copytree(out / "test_resnet-random-32px", run)
    done = coarsecon("backbones", tiny_data, run, "--out", tmp_path / "runs", *FAST, "--json", "-")
    assert done.code == 0, done.err
    assert json.loads(done.out)[0]["run"] == str(run)
    assert [each.name for each in (tmp_path / "runs").iterdir()] == ["backbones.html"]


@pytest.mark.parametrize(
    ("names", "words", "problem"),
    [
        (["test_resnet.r160_in1k"], [], "cannot be downloaded, and are not cached; check the network"),
        (["test_resnet.r160_in1k", "resnet50.a1_in1k"], [], "none of the 2 can be used; the first: test_resnet"),
        (["resnet51"], [], "timm has no model called 'resnet51'; did you mean"),
        (["test_resnet=missing.pth"], [], "missing.pth: no such file"),
        (["photos/missing"], [], "neither a run folder nor the name of a network"),
        (["test_vit=random"], ["--sizes", "36"], "36 px is not divisible by the patch size of test_vit (16 px)"),
        (["test_vit=random"], ["--sizes", "0"], "--sizes: 0 is not a list of numbers above 0"),
        (["test_vit=random"], ["--pooling", "max"], "--pooling: 'max' is not known; choose among cls, mean, both"),
        (["vit_base_patch16_siglip_224=random"], ["--pooling", "cls"], "has no class token; choose mean"),
    ],
)
def test_errors_name_the_backbone_and_the_remedy(tmp_path, coarsecon, tiny_data, names, words, problem):
    done = coarsecon("backbones", tiny_data, *names, *words, "--out", tmp_path / "runs", *FAST)
    assert done.code > 0
    assert problem in done.err.splitlines()[-1]


def test_weights_of_another_network_are_an_error(tmp_path, coarsecon, tiny_data, weights):
    words = ("--out", tmp_path / "runs", *FAST)
    done = coarsecon("backbones", tiny_data, f"test_vit={weights}", *words)
    assert done.code == 2
    assert f"{weights}: does not fit" in done.err.splitlines()[-1]
    (tmp_path / "text.pth").write_text("no weights")
    done = coarsecon("backbones", tiny_data, f"test_resnet={tmp_path / 'text.pth'}", *words)
    assert done.code == 2
    assert "text.pth" in done.err.splitlines()[-1]
    done = coarsecon("backbones", tiny_data, weights, *words)
    assert f"the name of its network is needed; write NAME={weights}" in done.err


def test_images_without_labels_are_an_error(tmp_path, coarsecon):
    data = write_tiny_dataset(tmp_path / "data")
    for split in ("train", "test"):
        content = load_file(data / f"{split}.safetensors")
        for level in ("coarse", "fine"):
            content[level].fill_(-1)
        save_file(content, data / f"{split}.safetensors")
    done = coarsecon("backbones", data, "test_resnet=random", "--out", tmp_path / "runs", *FAST)
    assert done.code == 2
    last = done.err.splitlines()[-1]
    assert last == f"error: {data}: no training image has a label, which backbones are compared with; label some images"
    assert not (tmp_path / "runs").exists()


def test_weights_for_images_that_are_not_square_are_an_error(tmp_path, coarsecon, tiny_data):
    words = ("--backbone", "test_vit", "--set", "backbone.args.img_size=[48,32]", "--out", tmp_path / "run")
    done = coarsecon("pretrain", "--data", tiny_data, *words, "--device", "cpu")
    assert done.code == 2
    assert "img_size 48 x 32 is not square, and inputs are; remove img_size" in done.err.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_another_file_for_the_same_folder_is_an_error(tmp_path, coarsecon, tiny_data, weights):
    words = ("--out", tmp_path / "runs", *FAST)
    other = tmp_path / weights.name
    save_file(timm.create_model("test_resnet", num_classes=0).state_dict(), other)
    assert coarsecon("backbones", tiny_data, f"test_resnet={other}", *words).code == 0
    done = coarsecon("backbones", tiny_data, f"test_resnet={weights}", *words)
    assert done.code == 2
    assert "is not a run of test_resnet=" in done.err


def test_the_page_shows_the_table_and_the_neighbors_of_every_backbone(compared, coarsecon, tmp_path):
    data, out, names, ranking = compared
    page = tmp_path / "page.html"
    done = coarsecon("backbones", data, *names, "--out", out, "--html", page, *FAST)
    assert done.code == 0, done.err
    text = page.read_text()
    for each in ranking.backbones:
        assert text.count(each.name) >= 2, "in the table, and above its neighbors"
    assert text.count("data:image/") == 3 * 4 * 9
    assert "±" in text
