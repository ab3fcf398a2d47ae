"""Every command that writes, with what it needs and what it leaves."""

import functools
import hashlib
import json
import os
import re
from collections.abc import Callable
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from forks import command, in_fork
from PIL import Image
from safetensors.numpy import load, save
from tiny import tiny_settings, write_tiny_dataset

from coarsecon.data.sources.toy import draw
from coarsecon.errors import CoarseconError
from coarsecon.train.pretrain import pretrain
from coarsecon.train.resolve import build_run_spec

SECONDS = 120


class Writer(NamedTuple):
    """An action that writes: what it needs of the world, how to do it, and how to go on after an interruption."""

    name: str
    needs: tuple[str, ...]
    action: Callable[[], None]
    again: Callable[[], None]


def cli(name: str, needs: tuple[str, ...], *words: str) -> Writer:
    """A command line that is simply run again."""
    return Writer(name, needs, command(*words), command(*words))


PREPARE = ("prepare", "folder", "--source", "photos", "--workers", "1", "--out", "out")
COMBINE = ("combine", "run", "run", "--data", "data", "--out", "new")
PRETRAIN = ("pretrain", "--config", "settings.yaml", "--data", "data", "--out", "new")


def _resume() -> None:
    command(*PRETRAIN, *["--resume"] * Path("new/config.yaml").is_file())()


def _combine() -> None:
    if not Path("new").exists():
        command(*COMBINE)()


def _download() -> None:
    from coarsecon.data.sources.download import download
    from coarsecon.runtime.progress import Reporter

    url, md5 = json.loads(Path("served/link.json").read_text())
    try:
        download(url, Path("cache/file.bin"), md5=md5, reporter=Reporter())
    except CoarseconError as error:
        raise SystemExit(f"error: {error}") from None


RUN = ("run", "data", "photos")
WRITERS = [
    Writer("prepare array", ("photos",), command(*PREPARE, "--size", "16"),
           command(*PREPARE, "--size", "16", "--overwrite")),
    Writer("prepare copies", ("photos",), command(*PREPARE, "--size", "96"),
           command(*PREPARE, "--size", "96", "--overwrite")),
    Writer("prepare splits", ("photos",), command(*PREPARE, "--size", "96", "--split", "test=0.3"),
           command(*PREPARE, "--size", "96", "--split", "test=0.3", "--overwrite")),
    Writer("pretrain", ("data", "settings.yaml"), command(*PRETRAIN), _resume),
    cli("features", RUN, "knn", "run", "--data", "data"),
    cli("retrieve", RUN, "retrieve", "run", "--data", "data", "--query", "photos/bags/0.png", "--html", "page.html",
        "--png", "sheet.png"),
    cli("tune", RUN, "retrieve", "run", "--data", "data", "--tune"),
    Writer("combine", ("run", "data"), command(*COMBINE), _combine),
    cli("cluster", RUN, "cluster", "run", "--data", "data", "--split", "test"),
    cli("backbones", ("data",), "backbones", "data", "test_resnet=random", "--out", "runs", "--html",
        ".page.html", "--workers", "0", "--device", "cpu"),
    cli("report", RUN, "report", "run"),
    cli("export", RUN, "export", "run", "--out", "exported"),
    cli("index", RUN, "retrieve", "run", "--data", "data", "--query", "photos/bags/0.png", "--index", "HNSW8"),
    cli("labels", ("data",), "labels", "import", "data", "data/labels.csv", "--name", "reviewed", "--who", "Ann"),
    Writer("download", ("served",), _download, _download),
]  # fmt: skip


def write_world(root: Path) -> int:
    """Write what the writers need; return the number of the process that serves a file to download."""
    write_tiny_dataset(root / "data", train=32, test=16)
    rows = [f"train-{i:06d},kind {i % 3}\n" for i in range(32)]
    (root / "data" / "labels.csv").write_text("path,label\n" + "".join(rows))
    rng = np.random.default_rng(0)
    for place, name in enumerate(("bags", "shoes")):
        (root / "photos" / name).mkdir(parents=True)
        for i, image in enumerate(draw(np.full(6, 4 * place), rng).transpose(0, 2, 3, 1)):
            Image.fromarray(np.ascontiguousarray(image)).save(root / "photos" / name / f"{i}.png")
    settings = tiny_settings(
        root / "data", schedule={"epochs": 2, "warmup_epochs": 0}, run={"batch_size": 16, "log_every": 1}
    )
    (root / "settings.yaml").write_text(json.dumps(settings))
    pretrain(build_run_spec(settings), root / "run")
    ended = in_fork(command("retrieve", "run", "--data", "data", "--split", "test"), root, seconds=SECONDS)
    assert ended.code == 0, (root / "stderr").read_text()
    return _serve(root / "served")


def _serve(folder: Path) -> int:
    """Serve a file of 3 MB from a process of its own."""
    folder.mkdir()
    content = np.random.default_rng(0).bytes(3_000_000)
    (folder / "file.bin").write_bytes(content)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    url = f"http://127.0.0.1:{server.server_port}/file.bin"
    (folder / "link.json").write_text(json.dumps([url, hashlib.md5(content).hexdigest()]))
    child = os.fork()
    if child == 0:
        server.serve_forever()
    server.server_close()
    return child


VOLATILE = {"images_per_s", "data_wait", "images_per_second"}
"""Values of records that differ between two equal runs."""


def snapshot(root: Path) -> dict[str, Any]:
    """What is in a folder: the content of each visible file, records without times, and training states by name."""
    found: dict[str, Any] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if any(part.startswith(".") for part in path.relative_to(root).parts) or name in ("stdout", "stderr"):
            continue
        if path.is_file():
            found[name] = _content(path)
    return found


def _content(path: Path) -> Any:
    if path.name == "environment.json" or path.parent.name == "checkpoints":
        return "written"
    if path.parent.parent.name == "labels":  # with times, and checksums that depend on them
        return [re.sub(r'"(when|checksum)": ?"[^"]*"', "", line) for line in path.read_text().splitlines()]
    if path.suffix in (".json", ".jsonl"):
        return [_lasting(json.loads(line)) for line in _documents(path)]
    content = path.read_bytes()
    if path.suffix == ".safetensors":  # the order of metadata in the header is random
        content = save(dict(sorted(load(content).items())))
    return hashlib.sha256(content).hexdigest()


def _documents(path: Path) -> list[str]:
    text = path.read_text()
    return text.splitlines() if path.suffix == ".jsonl" else [text]


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lasting(inner) for key, inner in value.items() if key not in VOLATILE}
    return [_lasting(inner) for inner in value] if isinstance(value, list) else value
