"""Every command of the documentation runs, on stand-ins small enough for a test."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import TINY_BACKBONE

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(document: Path) -> list[list[str]]:
    blocks = re.findall(r"```bash\n(.*?)```", document.read_text(), flags=re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines() if line and not line.startswith("#")]


@pytest.fixture
def sandbox(tmp_path, monkeypatch):
    """A working directory that holds what the README speaks of: photos, and CIFAR-100's files in their own form."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for i in range(40):
        folder = tmp_path / "photos" / ("bags" if i % 2 else "shoes")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (128, 150, 3), dtype=np.uint8)).save(folder / f"IMG_{i + 89:04d}.jpg")
    return tmp_path


def shrunk(command: list[str], sandbox: Path) -> list[str]:
    """The same command on a tiny network and a few images: what is appended wins over what stands before."""
    if command[1] != "pretrain":
        return command
    settings = {"backbone.args": TINY_BACKBONE["args"], "method.queue_size": 16, "run.log_every": 1, "data.workers": 0}
    settings |= {"run.monitor_images": 32, "backbone.stem": "small"}
    flags = [word for key, value in settings.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    return [*command, *flags, "--epochs", "1", "--batch-size", "16", "--limit", "40", "--device", "cpu"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "document", [document for document in DOCUMENTS if commands(document)], ids=lambda path: path.name
)
def test_the_commands_of_a_document_run(document, sandbox, cifar100_folder, coarsecon):
    cifar100_folder.rename(sandbox / "cifar")
    for command in commands(document):
        if command[0] == "make":
            subprocess.run(["make", "-n", *command[1:]], cwd=ROOT, check=True, capture_output=True)
            continue
        assert command[0] == "coarsecon", command
        done = coarsecon(*shrunk(command, sandbox)[1:])
        assert done.code == 0, (command, done.err)
    assert (sandbox / "result.html").exists()


def test_the_table_of_commands_is_complete(coarsecon):
    listed = set(re.findall(r"^\| `coarsecon (\w+)", (ROOT / "README.md").read_text(), flags=re.MULTILINE))
    offered = set(re.findall(r"^│ (\w+) ", coarsecon("--help").out, flags=re.MULTILINE))
    assert listed == offered


def test_the_tables_of_methods_and_datasets_are_complete():
    from coarsecon import registry

    text = (ROOT / "README.md").read_text()
    for group in (registry.METHODS, registry.DATASETS):
        for entry in registry.entries(group):
            if entry.distribution == "coarsecon":
                assert f"`{entry.name}`" in text, entry.name
