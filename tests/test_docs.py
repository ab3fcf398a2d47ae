"""Every command of the documentation runs, on small networks and data."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from installed import Environment
from PIL import Image
from published import maskcon
from reviews import name_every_cluster
from safetensors.torch import save_file
from shapes import write_coco, write_voc
from tiny import TINY_BACKBONE

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
SCRIPTS = ("README.md", "exchange.md", "evaluations.md", "labels.md")
"""Their Python runs after their commands."""
TUTORIAL = ROOT / "docs" / "plugins.md"
"""Installs what it writes, so it runs in an environment of its own."""


def blocks(document: Path) -> list[tuple[str, str]]:
    """(language, text) of every code block."""
    return re.findall(r"```(\w+)\n(.*?)```", document.read_text(), flags=re.DOTALL)


def block_commands(text: str) -> list[list[str]]:
    return [shlex.split(line) for line in text.splitlines() if line and not line.startswith("#")]


def commands(document: Path) -> list[list[str]]:
    return [command for language, text in blocks(document) if language == "bash" for command in block_commands(text)]


def sessions(document: Path) -> list[tuple[list[str], list[str]]]:
    """(command, lines of output) of every console block; `...` omits lines."""
    found: list[tuple[list[str], list[str]]] = []
    for language, text in blocks(document):
        for line in text.splitlines() if language == "console" else ():
            if line.startswith("$ "):
                found.append((shlex.split(line[2:]), []))
            elif line != "...":
                found[-1][1].append(line)
    return found


def shape(line: str) -> str:
    """A line of output without its numbers, precision, and widths of columns."""
    line = re.sub(r"b?float\d+", "float", re.sub(r"━+", "━", line)).replace("epochs", "epoch")
    return re.sub(r"\s+", " ", re.sub(r"\d[\d,.]*", "N", line)).strip()


@pytest.fixture
def sandbox(tmp_path, monkeypatch):
    """Working directory with the photos and datasets that the documents use."""
    monkeypatch.chdir(tmp_path)
    write_voc(tmp_path / "VOCdevkit", {"trainval": 4, "test": 2, "train": 4, "val": 2})
    write_coco(tmp_path, {"train2017": 4, "val2017": 2})
    monkeypatch.setattr("uvicorn.Server.run", lambda *_, **__: None)  # a page waits for people, until Ctrl-C
    monkeypatch.setattr("webbrowser.open", lambda _: None)
    rng = np.random.default_rng(0)
    for i in range(40):
        folder = tmp_path / "photos" / ("bags" if i % 2 else "shoes")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (128, 150, 3), dtype=np.uint8)).save(folder / f"IMG_{i + 89:04d}.jpg")
    (tmp_path / "weights").mkdir()
    save_file(timm.create_model("tf_efficientnet_lite0").state_dict(), tmp_path / "weights" / "lite0.safetensors")
    rows, departments = ["path,coarse,fine,split"], ["path,department,category,product,split"]
    for i in range(40):
        split, fine = ("train", "test")[i % 4 == 3], f"fine{i // 4 % 4}"
        path = tmp_path / "grocery" / "images" / split / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (128, 150, 3), dtype=np.uint8)).save(path)
        rows.append(f"images/{split}/{i}.jpg,coarse{i // 4 % 4 // 2},{fine},{split}")
        departments.append(f"images/{split}/{i}.jpg,department,coarse{i // 4 % 4 // 2},{fine},{split}")
    (tmp_path / "grocery" / "table.csv").write_text("\n".join(rows))
    (tmp_path / "grocery" / "departments.csv").write_text("\n".join(departments))
    return tmp_path


def shrunk(command: list[str], **method: int) -> list[str]:
    """The same command on a tiny network and a few images: appended options override earlier ones."""
    if command[1] == "detect":
        few = {"sizes.train": [64], "sizes.test": 64, "model.regions": 8, "model.proposals": 10}
        few |= {"schedule.precise_batches": 1}
        flags = [word for key, value in few.items() for word in ("--set", f"{key}={value}")]
        return [*command, *flags, "--steps", "1", "--batch-size", "2", "--workers", "0", "--device", "cpu"]
    if command[1] in ("serve", "review") and "--export" not in command:
        return [*command, "--port", "0", "--device", "cpu"]
    if command[1] != "pretrain":
        return command
    settings = {"run.log_every": 1, "data.workers": 0, "run.monitor_images": 32}
    if "tf_efficientnet_lite0" not in command:
        settings |= {"backbone.args": TINY_BACKBONE["args"], "backbone.stem": "small"}
    if "supce" not in command and ("--method" in command or "--init-from" not in command):  # the others have a queue
        settings |= {f"method.{key}": value for key, value in method.items()}
    flags = [word for key, value in settings.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    return [*command, *flags, "--epochs", "1", "--batch-size", "16", "--limit", "40", "--device", "cpu"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "document",
    [document for document in DOCUMENTS if commands(document) and document != TUTORIAL],
    ids=lambda path: path.name,
)
def test_the_commands_of_a_document_run(document, sandbox, cifar100_folder, coarsecon):
    cifar100_folder.rename(sandbox / "cifar")
    torch.save(maskcon(small=True)[0], sandbox / "maskcon.pth")
    for command in commands(document):
        if command[0] == "make":
            subprocess.run(["make", "-n", *command[1:]], cwd=ROOT, check=True, capture_output=True)
            continue
        assert command[0] == "coarsecon", command
        done = coarsecon(*shrunk(command, queue_size=16)[1:])
        assert done.code == 0, (command, done.err)
        if command[1] == "review" and "--export" not in command:
            name_every_cluster(sandbox / command[2] / "review" / "reviewed.jsonl")
    scope: dict = {}
    for language, text in blocks(document) if document.name in SCRIPTS else ():
        if language == "python":
            exec(text, scope)
    if document.name == "README.md":
        assert (sandbox / "result.html").exists()


@pytest.mark.slow
@pytest.mark.parametrize("document", [each for each in DOCUMENTS if sessions(each)], ids=lambda path: path.name)
def test_the_shown_output_is_the_output(document, sandbox, coarsecon, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    for command, expected in sessions(document):
        done = coarsecon(*shrunk(command, queue_size=16)[1:])
        assert done.code == 0, (command, done.err)
        printed = {shape(line) for line in (done.out + done.err).splitlines()}
        assert [line for line in expected if shape(line) not in printed] == [], (command, printed)


def write_file(text: str, folder: Path) -> None:
    """A block that is a file says so in its first line: `# PATH`, or `# at the end of PATH`."""
    first, _, content = text.partition("\n")
    found = re.fullmatch(r"# (at the end of )?(coarsecon-mine/\S+)", first)
    assert found, f"not a file: {first}"
    path = folder / found[2]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text((path.read_text() if found[1] else "") + content)


def run_in(environment: Environment, command: list[str], folder: Path) -> str:
    """A command of the tutorial in that environment; its output."""
    if command[:3] == ["pip", "install", "-e"]:
        environment.install(folder / command[3], editable=True)
        return ""
    words = {"coarsecon": ["-m", *shrunk(command)], "python": command[1:]}[command[0]]
    done = environment.python(*words, cwd=folder)
    assert done.code == 0, (command, done.out, done.err)
    return done.out


@pytest.mark.slow
def test_the_tutorial_works_as_it_is_written(tmp_path):
    """From an empty folder, block by block: files are written, commands run."""
    pytest.importorskip("hatchling")
    environment = Environment(tmp_path / "venv")
    outputs: dict[str, str] = {}
    layout = ""
    for language, text in blocks(TUTORIAL):
        if language == "text":
            layout = text
        elif language == "bash":
            for command in block_commands(text):
                outputs[shlex.join(command)] = run_in(environment, command, tmp_path)
        elif language == "python" and not text.startswith("# coarsecon-mine"):
            done = environment.python("-c", text, cwd=tmp_path)
            assert done.code == 0, (text, done.err)
        else:
            write_file(text, tmp_path)
    assert "method.cutout" in outputs["coarsecon methods mine"]
    assert "coarsecon-mine" in outputs["coarsecon methods"]
    assert "3 passed" in outputs["python -m pytest coarsecon-mine/tests"]
    assert "one bright half" in outputs["coarsecon datasets halves"]
    assert "Number of nearest neighbors" in outputs["coarsecon hubness --help"]
    assert {"skewness", "never_found"} <= set(json.loads((tmp_path / "hubness.json").read_text()))
    assert "Largest hubs" in outputs["coarsecon hubness runs/mine --k 5 --json hubness.json"]
    assert (tmp_path / "runs" / "mine" / "figures" / "hubness-k=5.png").exists()
    assert (tmp_path / "exported" / "encoder.pt").exists()
    assert (tmp_path / "runs" / "lab" / "encoder.safetensors").exists()
    assert "train: 400" in outputs["coarsecon count data/halves"]
    assert '"contrast"' in (tmp_path / "runs" / "mine" / "metrics.jsonl").read_text()
    promised = {line.strip() for line in layout.splitlines() if "." in line}
    assert promised <= {path.name for path in (tmp_path / "coarsecon-mine").rglob("*")}


def test_the_tutorial_covers_every_hook_of_a_method():
    from coarsecon.methods import Method, Setup

    text = TUTORIAL.read_text()
    hooks = [name for name in vars(Method) if not name.startswith("_")]
    assert [name for name in hooks if not re.search(rf"\b{name}\b", text)] == []
    assert [name for name in Setup.__annotations__ if not re.search(rf"\b{name}\b", text)] == []


def test_the_links_between_documents_lead_somewhere():
    for document in (*DOCUMENTS, *ROOT.glob("plugins/*/README.md")):
        for target in re.findall(r"\]\(([^)#]+)", document.read_text()):
            if "://" not in target:
                assert (document.parent / target).exists(), (document, target)


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


def test_the_design_lists_every_package_in_order_of_the_layers():
    from test_architecture import LAYERS
    from test_architecture import ROOT as PACKAGE

    rows = re.findall(r"^\| ((?:`[\w.]+/?`(?:, )?)+) \|", (ROOT / "docs" / "design.md").read_text(), flags=re.MULTILINE)
    listed = [set(re.findall(r"`(\w+)", row)) for row in rows]
    assert set().union(*listed) == {path.name for path in PACKAGE.iterdir() if path.is_dir()} - {"__pycache__"} | {
        "errors",
        "config",
    }
    height = {name: level for level, names in enumerate(LAYERS) for name in names}
    lowest = [min(height[name] for name in row) for row in listed[:-1]]
    assert lowest == sorted(lowest, reverse=True)
