"""One small file of every kind that coarsecon reads, and the commands that read each."""

import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from reviews import random_operation
from shapes import write_coco, write_voc
from stand_ins import STAND_INS
from tiny import tiny_settings, write_tiny_dataset

from coarsecon.data.sources.toy import draw
from coarsecon.errors import InputError
from coarsecon.review.journal import journal_of, start_journal
from coarsecon.review.proposal import find_proposal, read_proposal
from coarsecon.run.folder import open_run
from coarsecon.train.pretrain import pretrain
from coarsecon.train.resolve import build_run_spec

Words = list[str]
FORMATS = {".jpg": "JPEG", ".png": "PNG", ".gif": "GIF", ".bmp": "BMP", ".tif": "TIFF", ".webp": "WEBP", ".ppm": "PPM"}


class Target(NamedTuple):
    """A kind of file: the folder of the world that holds it, which of its files are damaged, and what reads them.

    The commands are run in a copy of the world's `folder` and of the folders they need besides (`beside`).
    """

    name: str
    folder: str
    pattern: str
    commands: list[Words]
    beside: tuple[str, ...] = ()


def write_world(root: Path, coarsecon: Callable[[Words], None]) -> None:
    """Write the files; `coarsecon` runs a command line in `root`."""
    _write_photos(root / "photos")
    write_tiny_dataset(root / "data", train=32, test=16)
    coarsecon(["prepare", "folder", "--source", "photos", "--size", "16", "--group-pattern", r"\d", "--out", "single"])
    settings = tiny_settings(root / "data", schedule={"epochs": 1, "warmup_epochs": 0}, run={"batch_size": 16})
    pretrain(build_run_spec(settings), root / "run")
    for command in ("retrieve", "cluster", "tsne"):
        coarsecon([command, "run", "--data", "data"])
    coarsecon(["retrieve", "run", "--data", "data", "--query", "photos/bags/0.jpg", "--top-k", "2"])
    coarsecon(["retrieve", "run", "--data", "data", "--tune"])
    _write_review(root / "run")
    coarsecon(["combine", "run", "run", "--data", "data", "--out", "both"])
    _write_labels(root, coarsecon)
    _write_tables(root / "tables")
    _write_weights(root)
    _write_plugin(root / "site")
    write_voc(root / "voc", {"trainval": 2, "test": 1})
    write_coco(root / "coco", {"train2017": 2, "val2017": 1})


def _write_review(run: Path) -> None:
    path = run / "review" / "reviewed.jsonl"
    start_journal(path, read_proposal(find_proposal(open_run(run)), "somebody"))
    rng = random.Random(0)
    with journal_of(path) as journal:
        while journal.state.version < 20:
            with suppress(InputError):
                journal.append(random_operation(journal.state, rng))


def _write_photos(root: Path) -> None:
    rng = np.random.default_rng(0)
    for place, name in enumerate(("bags", "shoes")):
        (root / name).mkdir(parents=True)
        images = draw(np.full(len(FORMATS), 4 * place), rng).transpose(0, 2, 3, 1)
        for i, (image, (suffix, kind)) in enumerate(zip(images, FORMATS.items(), strict=True)):
            Image.fromarray(np.ascontiguousarray(image)).save(root / name / f"{i}{suffix}", kind)


def _write_labels(root: Path, coarsecon: Callable[[Words], None]) -> None:
    """A dataset with a label column of two changes, and a table of labels."""
    shutil.copytree(root / "data", root / "labeled")
    (root / "reviewed").mkdir()
    for day in range(2):
        rows = [f"train-{i:06d},kind {i % 3},train" for i in range(8 + 8 * day)]
        (root / "reviewed" / "labels.csv").write_text("\n".join(["path,label,split", *rows]) + "\n")
        coarsecon(["labels", "import", "labeled", "reviewed/labels.csv", "--name", "reviewed", "--who", "Ann"])


def _write_tables(root: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    shutil.copytree(root.parent / "photos", root)
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.*"))
    rows = [
        (file, file.split("/")[0], f"kind {i % 3}", "test" if i % 4 == 0 else "train") for i, file in enumerate(files)
    ]
    names = ("path", "coarse", "fine", "split")
    for suffix, separator in (("csv", ","), ("tsv", "\t")):
        lines = [separator.join(row) for row in (names, *rows)]
        (root / f"table.{suffix}").write_text("\n".join(lines) + "\n")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    parquet.write_table(pyarrow.table(columns), root / "table.parquet")


def _write_weights(root: Path) -> None:
    from safetensors.torch import load_file

    folder = root / "weights"
    folder.mkdir()
    weights = load_file(root / "run" / "encoder.safetensors")
    torch.save({"state_dict": weights, "epoch": 1, "args": {"lr": 0.1}}, folder / "weights.pth")
    torch.save(weights, folder / "legacy.pt", _use_new_zipfile_serialization=False)
    shutil.copy(root / "run" / "encoder.safetensors", folder / "weights.safetensors")


def _write_plugin(root: Path) -> None:
    info = root / "someone_else-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: someone-else\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[console_scripts]\nsomeone = someone_else:main\n\n[coarsecon.methods]\nelse = someone_else:Method\n\n"
        "[coarsecon.datasets]\nelse-data = someone_else:SOURCE\n"
    )


def write_originals(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[Target]:
    """Write the original files of every dataset, and return their targets."""
    targets = []
    for stand_in in STAND_INS:
        if stand_in.dataset != "toy":
            folder = root / str(stand_in)
            words = stand_in.write(folder, monkeypatch)
            words = [word.replace(f"{root}/", "") for word in map(str, words)]
            command = ["prepare", stand_in.dataset, *words, "--workers", "1", "--out", "out"]
            targets.append(Target(f"original {stand_in}", str(stand_in), "**/*", [command]))
    return targets


DETECT = ["--steps", "1", "--batch-size", "1", "--set", "sizes.train=[32]", "--set", "sizes.test=32",
          "--set", "model.regions=8", "--set", "model.proposals=8", "--workers", "0"]  # fmt: skip
PRETRAIN = ["--epochs", "1", "--batch-size", "16", "--set", "data.workers=0", "--set", "method.queue_size=32"]

READ_DATA = [
    ["data", "check", "data", "--workers", "1"],
    ["data", "show", "data", "--png", "show.png"],
    ["retrieve", "run", "--data", "data", "--json", "-"],
    ["pretrain", "--data", "data", "--method", "supce", *PRETRAIN[:6], "--backbone", "resnet10t", "--out", "new"],
]
READ_BOTH = [["knn", "both", "--data", "data"], ["retrieve", "both", "--data", "data"], ["report", "both"]]
READ_RUN = [
    ["retrieve", "run", "--data", "data", "--json", "-"],
    ["retrieve", "run", "--data", "data", "--query", "photos/bags/0.jpg", "--top-k", "2"],
    ["knn", "run", "--data", "data"],
    ["fewshot", "run", "--data", "data", "--ways", "2", "--queries", "1", "--episodes", "2", "--classifier", "cosine"],
    ["cluster", "run", "--data", "data", "--split", "test"],
    ["localize", "run", "--data", "data", "--limit", "2"],
    ["report", "run"],
    ["export", "run", "--out", "exported"],
    ["pretrain", "--out", "run", "--resume", "--epochs", "1"],
    ["recipes", "ls"],
]
TARGETS = [
    Target("table", "tables", "table.*", [["prepare", "folder", "--table", "{file}", "--size", "16", "--out", "out"]]),
    Target("label map", "tables", "table.csv", [
        ["prepare", "folder", "--table", "tables/table.tsv", "--coarse-map", "{file}", "--size", "16", "--out", "out"]
    ]),
    Target("image", "photos", "*/*", [
        ["prepare", "folder", "--source", "photos", "--size", "16", "--workers", "1", "--out", "out"],
        ["prepare", "folder", "--source", "photos", "--size", "96", "--workers", "1", "--out", "out", "--skip-broken"],
        ["retrieve", "run", "--data", "data", "--query", "{file}", "--top-k", "2", "--html", "page.html"],
        ["retrieve", "run", "--data", "data", "--gallery", "photos", "--query", "{file}", "--top-k", "2"],
        ["localize", "run", "--image", "{file}"],
    ], ("run", "data")),
    Target("dataset record", "data", "*.json", READ_DATA, ("run",)),
    Target("prepared arrays", "data", "*.safetensors", READ_DATA, ("run",)),
    Target("groups", "single", "*.groups.json", [
        ["data", "check", "single", "--workers", "1"], ["knn", "run", "--data", "single", "--folds", "2", "--k", "1"]
    ], ("run",)),
    Target("labels", "labeled", "labels/*/*", [
        ["labels", "ls", "labeled"], ["labels", "log", "labeled", "reviewed"],
        ["labels", "undo", "labeled", "reviewed"],
        ["labels", "export", "labeled", "reviewed"], ["data", "check", "labeled", "--workers", "1"],
        ["labels", "import", "labeled", "reviewed/labels.csv", "--name", "reviewed"],
        ["knn", "run", "--data", "labeled", "--labels", "reviewed", "--folds", "2", "--k", "1"],
        ["classify", "run", "--data", "labeled", "--labels", "reviewed", "--split", "test"],
    ], ("run", "reviewed")),
    Target("table of labels", "reviewed", "*.csv", [
        ["labels", "import", "labeled", "{file}", "--name", "reviewed"],
        ["labels", "import", "labeled", "{file}", "--name", "other", "--replace", "--skip-unknown"],
    ], ("labeled",)),
    Target("run settings", "run", "config.yaml", READ_RUN, ("data", "photos")),
    Target("run records", "run", "e*.json", READ_RUN, ("data", "photos")),
    Target("run log", "run", "metrics.jsonl", READ_RUN, ("data", "photos")),
    Target("run weights", "run", "*.safetensors", READ_RUN, ("data", "photos")),
    Target("training state", "run", "checkpoints/*", [["pretrain", "--out", "run", "--resume", "--epochs", "1"],
                                                     ["report", "run"]], ("data", "photos")),
    Target("results", "run", "results/*", [["report", "run"], ["export", "run", "--to", "hub", "--out", "card"]],
           ("data",)),
    Target("review journal", "run", "review/*.jsonl", [["review", "run", "--export", "labels.csv"]]),
    Target("tuned settings", "run", "tuned.json", [
        ["retrieve", "run", "--data", "data", "--query", "photos/bags/0.jpg", "--tuned"]], ("data", "photos")),
    Target("combination", "both", "combined.json", READ_BOTH, ("data",)),
    Target("part of a combination", "both", "parts/*/*", READ_BOTH, ("data",)),
    Target("features", "run", "features/*", READ_RUN[:5], ("data", "photos")),
    Target("index", "run", "index/**/*", [READ_RUN[1]], ("data", "photos")),
    Target("foreign weights", "weights", "*", [
        ["import", "{file}", "--from", "timm", "--backbone", "resnet10t", "--size", "32", "--normalize", "imagenet",
         "--out", "imported"],
        ["pretrain", "--data", "data", "--backbone", "resnet10t", "--init-from", "{file}", *PRETRAIN, "--out", "new"],
    ], ("data",)),
    Target("plugin metadata", "site", "*/*", [["methods"], ["datasets"], ["recipes", "ls"], ["doctor", "--help"]]),
    Target("settings file", "run", "config.yaml", [
        ["pretrain", "--config", "{file}", "--data", "data", "--epochs", "1", "--out", "new"]], ("data",)),
    Target("VOC annotations", "voc", "**/*.xml", [["detect", "run", "--data", "voc", *DETECT, "--out", "found"]],
           ("run",)),
    Target("COCO annotations", "coco", "**/*.json", [["detect", "run", "--data", "coco", *DETECT, "--out", "found"]],
           ("run",)),
]  # fmt: skip
