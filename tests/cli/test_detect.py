"""`coarsecon detect`: from small sets in both forms to AP, resumed after Ctrl-C; what is told of wrong input."""

import json
import shutil
import sys

import pytest
import yaml
from encoders import encoder_run
from shapes import write_coco, write_voc

from coarsecon.detection import measure
from coarsecon.train.stopping import StopRequest

pytest.importorskip("pycocotools")

SMALL = {
    "sizes.train": [64], "sizes.test": 64, "model.regions": 16, "model.proposals": 20, "run.log_every": 1,
    "model.anchors": [8, 16, 24, 32, 48], "schedule.precise_batches": 1,
}  # fmt: skip
SETTINGS = [word for key, value in SMALL.items() for word in ("--set", f"{key}={json.dumps(value)}")]
QUICK = [*SETTINGS, "--workers", 0, "--device", "cpu", "--precision", "float32", "--batch-size", 2]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run, and sets in VOC and COCO format."""
    root = tmp_path_factory.mktemp("detect")
    encoder_run(root / "run", "deep", stem="standard")
    write_voc(root / "VOCdevkit", {"trainval": 8, "test": 4})
    write_voc(root / "VOCdevkit", {"trainval": 4}, year=2012, seed=1)
    write_coco(root, {"train2017": 8, "val2017": 4})
    return root


@pytest.fixture
def run(made, tmp_path):
    shutil.copytree(made / "run", tmp_path / "run")
    return tmp_path / "run"


def scores(part):
    return [part[key] for key in ("ap", "ap50", "ap75")]


def test_voc_of_two_years_with_c4(coarsecon, made, run):
    done = coarsecon("detect", run, "--data", made / "VOCdevkit", "--steps", 3, *QUICK, "--json", "-")
    assert done.code == 0, done.err
    assert "Faster R-CNN (c4) on 12 images of 2 classes, 3 steps of 2, cpu in float32; measured on 4 images" in done.err
    metrics = json.loads(done.out)
    assert list(metrics) == ["box", "box_voc07"]
    assert all(0 <= value <= 1 for part in metrics.values() for value in scores(part))
    [folder] = (run / "detection").iterdir()
    [result] = (run / "results").iterdir()
    assert result.name == f"detect-{folder.name}.json"
    assert folder.name.startswith("voc-c4-24k-data=")
    record = json.loads(result.read_text())
    assert {key: record[key] for key in metrics} == metrics
    assert (record["split"], record["checkpoint"], record["train_images"]) == ("test", "last", 12)
    assert (record["steps"], record["batch_size"], record["head"]) == (3, 2, "c4")
    assert record["box"]["images"] == 4
    assert [row["class"] for row in record["box"]["classes"]] == ["disc", "square"]
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert (folder / "checkpoints" / "last.pt").is_file()
    report = run / "report.html"
    assert coarsecon("report", run, "--out", report).code == 0
    page = report.read_text()
    assert result.stem in page
    assert '<th scope="row">AP50</th><td><b>' in page


@pytest.mark.parametrize(
    ("recipe", "head"),
    [("coco-mask-c4-1x", "c4"), pytest.param("coco-mask-fpn-1x", "fpn", marks=pytest.mark.slow)],
)
def test_coco_with_masks(coarsecon, made, run, recipe, head, tmp_path):
    done = coarsecon(
        "detect", run, "--data", made / "coco", "--recipe", recipe, "--steps", 2, *QUICK, "--out", tmp_path / "out"
    )
    assert done.code == 0, done.err
    assert f"Mask R-CNN ({head})" in done.err
    assert "mask" in done.out
    [result] = (run / "results").iterdir()
    record = json.loads(result.read_text())
    assert all(0 <= value <= 1 for kind in ("box", "mask") for value in scores(record[kind]))
    assert record["recipe"] == recipe
    assert yaml.safe_load((tmp_path / "out" / "detection.yaml").read_text())["recipe"] == recipe


def test_ctrl_c_saves_and_tells_how_to_go_on(coarsecon, made, run, tmp_path, monkeypatch):
    out = tmp_path / "out"
    arguments = ("detect", run, "--data", made / "VOCdevkit" / "VOC2007", "--steps", 2, *QUICK, "--out", out)
    with monkeypatch.context() as patch:
        patch.setattr(StopRequest, "__enter__", lambda self: vars(self).update(requested=True) or self)
        stopped = coarsecon(*arguments)
    assert stopped.code == 130
    again = f"coarsecon detect {run} --out {out} --resume"
    assert f"stopped at step 1; continue with: {again}" in stopped.err
    assert not (run / "results").exists()

    def interrupts(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(measure, "detect_all", interrupts)
        done = coarsecon("detect", run, "--out", out, "--resume")
    assert done.code == 130
    assert again in done.err
    assert not (run / "results").exists()
    assert coarsecon(*arguments).code == 2
    changed = coarsecon("detect", run, "--out", out, "--resume", "--seed", 3)
    assert changed.code == 2
    assert "run.seed was 0, now 3" in changed.err
    done = coarsecon("detect", run, "--out", out, "--resume")
    assert done.code == 0, done.err
    assert len(list((run / "results").iterdir())) == 1
    assert [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()] == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "no dataset is given"),
        (["--data", "nowhere"], "nowhere: no such folder"),
        (["--data", "{made}/run"], "neither in VOC format"),
        (["--data", "{made}/coco", "--recipe", "maskcon-toy"], "is for `coarsecon pretrain`"),
        (["--data", "{made}/coco", "--recipe", "coco-mask-c4"], "did you mean coco-mask-c4-1x?"),
        (["--data", "{made}/coco", "--set", "model.heads=fpn"], "did you mean model.head?"),
        (["--data", "{made}/coco", "--set", "data.test=none"], "instances_none.json"),
        (["--data", "{made}/VOCdevkit", "--set", "data.test=none"], "Main/none.txt"),
        (["--data", "{made}/VOCdevkit", "--recipe", "coco-mask-c4-1x"], "no masks"),
        (["--data", "{made}/VOCdevkit", "--batch-size", 200], "200 is more than the 12 training images"),
        (["--data", "{made}/VOCdevkit", "--device", "abacus"], "abacus"),
        (["--data", "{made}/VOCdevkit", "--resume"], "no training to resume"),
        (["--data", "{made}/VOCdevkit", "--checkpoint", "best", "--batch-size", 2], "has no best encoder"),
    ],
)  # fmt: skip
def test_wrong_input_is_told_and_leaves_nothing(coarsecon, made, run, arguments, says):
    before = sorted(run.rglob("*"))
    done = coarsecon("detect", run, *[str(word).format(made=made) for word in arguments])
    assert done.code == 2
    assert says in done.err
    assert len(done.err.strip().splitlines()) <= 2  # one says what is read
    assert sorted(run.rglob("*")) == before


def test_a_backbone_without_such_a_detector_leaves_nothing(coarsecon, made, tmp_path):
    run = encoder_run(tmp_path / "other", "resnet12").root
    done = coarsecon("detect", run, "--data", made / "VOCdevkit", *QUICK)
    assert done.code == 2
    assert "backbone resnet12: detection supports timm's ResNets only" in done.err
    assert not (run / "detection").exists()


def test_a_missing_package_comes_with_the_command_that_adds_it(coarsecon, made, run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools.mask", None)
    done = coarsecon("detect", run, "--data", made / "VOCdevkit")
    assert done.code == 2
    assert "pip install 'coarsecon[detect]'" in done.err


def test_pretraining_does_not_take_a_recipe_for_detection(coarsecon):
    done = coarsecon("pretrain", "--recipe", "voc-c4-24k")
    assert done.code == 2
    assert "is for `coarsecon detect`" in done.err


def test_the_former_name_of_checkpoint_works_and_warns(coarsecon, made, run):
    done = coarsecon("detect", run, "--data", made / "VOCdevkit", "--encoder", "best", "--batch-size", 2)
    assert "has no best encoder" in done.err
    assert "--encoder is now called --checkpoint" in done.err
