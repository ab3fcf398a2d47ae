"""The layers point one way, and nothing below the command line prints, exits or names a method."""

import ast
from pathlib import Path

import pytest

import coarsecon

ROOT = Path(coarsecon.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

LAYERS = [
    {"errors"},
    {"runtime", "losses"},
    {"registry", "config", "views"},
    {"data", "recipes", "nn", "pictures"},
    {"methods", "search"},
    {"metrics", "discovery"},
    {"run"},
    {"train"},
    {"evaluation", "exporters", "importers", "detection", "auditing"},
    {"report"},
    {"review"},
    {"serve", "integrations", "backbones"},
    {"cli"},
    {"__main__"},
]
"""A room imports only from itself and from lower layers; rooms of one layer know nothing of each other."""

DATA = ["formats", "prepared", "labels", "sources", "prepare"]
"""The rooms inside `data`, from the lowest up."""

LIGHT = (
    "config", "registry", "errors", "recipes", "cli",
)  # fmt: skip
"""Rooms that every command passes: they import nothing heavy at module level."""


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def imports(path: Path, *, top_level_only: bool = False) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    found = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [
                f"{node.module}.{alias.name}" if node.module == "coarsecon" else node.module for alias in node.names
            ]
    return found


def module_name(path: Path) -> str:
    return ".".join(["coarsecon", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__")


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_every_import_points_down(path):
    levels = {name: level for level, names in enumerate(LAYERS) for name in names}
    here = room(module_name(path))
    if not here:
        return
    is_public_api_used = "coarsecon" in imports(path) or any(name.startswith("coarsecon.__") for name in imports(path))
    assert here == "cli" or not is_public_api_used, f"{here} imports the public API above it"
    assert here in levels, f"{here} has no place in the layers"
    for module in imports(path):
        if module.startswith("coarsecon.") and room(module) in levels:
            is_lower = room(module) == here or levels[room(module)] < levels[here]
            assert is_lower, f"{here} imports {module}"


@pytest.mark.parametrize("path", sorted((ROOT / "data").rglob("*.py")), ids=module_name)
def test_rooms_inside_data_point_one_way(path):
    here = module_name(path).split(".")[2:3]
    for module in imports(path):
        there = module.split(".")[2:3] if room(module) == "data" else []
        if here and there and there[0] in DATA:
            assert DATA.index(there[0]) <= DATA.index(here[0]), f"{path} imports {module}"


def test_only_errors_and_settings_are_loose_at_the_top():
    assert {path.name for path in ROOT.glob("*.py")} == {"__init__.py", "__main__.py", "errors.py"}


@pytest.mark.parametrize("path", [path for path in FILES if room(module_name(path)) != "cli"], ids=module_name)
def test_nothing_below_the_command_line_prints_or_exits(path):
    if path.name == "__main__.py":
        return
    calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    named = {call.id for call in calls if isinstance(call, ast.Name)}
    assert not named & {"print", "exit", "input"}
    assert not {f"{ast.unparse(call)}" for call in calls if isinstance(call, ast.Attribute)} & {"sys.exit", "os._exit"}


@pytest.mark.parametrize("path", [path for path in FILES if room(module_name(path)) in LIGHT], ids=module_name)
def test_light_rooms_import_nothing_heavy_at_module_level(path):
    heavy = {"torch", "torchvision", "timm", "faiss", "numpy", "PIL", "safetensors", "sklearn"}
    assert not heavy & {module.partition(".")[0] for module in imports(path, top_level_only=True)}


def test_no_room_but_the_quickstart_names_a_method_of_another():
    methods = {path.stem for path in (ROOT / "methods").glob("*.py")} - {
        "__init__",
        "base",
        "momentum",
        "in_batch",
    }
    for path in FILES:
        if room(module_name(path)) in ("methods", "losses", "recipes") or path.name == "quickstart.py":
            continue
        named = {module.rpartition(".")[2] for module in imports(path) if module.startswith("coarsecon.methods.")}
        assert not named & methods, path


def test_losses_know_neither_devices_nor_ranks():
    for path in (ROOT / "losses").glob("*.py"):
        text = path.read_text()
        assert "cuda" not in text
        assert "distributed" not in text
        assert all(room(module) in ("", "losses") for module in imports(path) if module.startswith("coarsecon")), path


def test_every_file_is_short_enough_to_read_and_says_what_it_is_for():
    for path in FILES:
        text = path.read_text()
        assert len(text.splitlines()) <= 400, path
        assert ast.get_docstring(ast.parse(text)), path
