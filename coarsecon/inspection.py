"""What can be told of a plugin without importing it: its text is read, never run."""

import ast
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from pathlib import Path

STOP_AT = ("BaseModel", "Settings", "MethodSettings")
"""Bases of settings that declare no field."""


@dataclass(frozen=True)
class Setting:
    """One declared setting of a method: its name, type, default and description, as written in the source."""

    name: str
    type: str
    default: str
    description: str = ""


@dataclass(frozen=True)
class Description:
    """What the source of an entry point says of itself; `problem` is empty when nothing speaks against loading it."""

    doc: str = ""
    settings: tuple[Setting, ...] = field(default_factory=tuple)
    problem: str = ""

    @property
    def summary(self) -> str:
        """The first line of the documentation, or the problem."""
        return f"broken: {self.problem}" if self.problem else self.doc.strip().partition("\n")[0]


def describe(value: str) -> Description:
    """Read the source behind an entry point `module:attribute`.

    Told as a problem: a module that is not there or does not parse, an attribute that it does not define,
    an import at its top level that nothing on the path provides, and an unconditional raise.
    """
    module, _, attribute = value.partition(":")
    path = find_source(module)
    if path is None:
        return Description(problem=f"module {module} is not installed")
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError) as error:
        return Description(problem=f"{path.name} cannot be read ({error})")
    problem = _top_level_problem(tree)
    if not problem and attribute and attribute not in _defined_names(tree):
        problem = f"{module} does not define {attribute}"
    return Description(doc=ast.get_docstring(tree) or "", settings=_settings(tree, attribute), problem=problem)


def find_source(module: str) -> Path | None:
    """The source file of a module, found without importing its parent packages; None when there is none."""
    search: list[str] | None = None
    spec = None
    for part in module.split("."):
        spec = PathFinder.find_spec(part, search)
        if spec is None:
            return None
        search = list(spec.submodule_search_locations or [])
    origin = spec.origin if spec else None
    return Path(origin) if origin and origin.endswith(".py") else None


def _top_level_problem(tree: ast.Module) -> str:
    for node in tree.body:
        if isinstance(node, ast.Raise):
            return f"it raises when imported (line {node.lineno})"
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        for name in names:
            if not _is_available(name.partition(".")[0]):
                return f"it needs {name.partition('.')[0]}, which is not installed"
    return ""


def _is_available(top_level: str) -> bool:
    import sys
    from importlib.util import find_spec

    try:
        return top_level in sys.modules or find_spec(top_level) is not None
    except (ImportError, ValueError):
        return False


def _defined_names(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name)
    return names


def _settings(tree: ast.Module, attribute: str) -> tuple[Setting, ...]:
    """The fields of the `Config` nested in class `attribute`, inherited ones first."""
    outer = _class(tree, attribute)
    inner = _class(outer, "Config") if outer else None
    return tuple(_fields(tree, inner).values()) if inner else ()


def _class(parent: ast.Module | ast.ClassDef, name: str) -> ast.ClassDef | None:
    found = [node for node in parent.body if isinstance(node, ast.ClassDef) and node.name == name]
    return found[0] if found else None


def _fields(tree: ast.Module, settings: ast.ClassDef) -> dict[str, Setting]:
    """The annotated fields of a class of settings and of its bases, as far as their sources are found."""
    fields: dict[str, Setting] = {}
    for base in settings.bases:
        if isinstance(base, ast.Name) and base.id not in STOP_AT:
            home = _home_of(tree, base.id)
            inherited = _class(home, base.id) if home else None
            if home and inherited:
                fields |= _fields(home, inherited)
    own = [node for node in settings.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)]
    return fields | {setting.name: setting for setting in map(_setting, own)}


def _home_of(tree: ast.Module, name: str) -> ast.Module | None:
    """The parsed module that a class of that name comes from: this one, or the one it is imported from."""
    if _class(tree, name):
        return tree
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and name in {alias.name for alias in node.names}:
            path = find_source(node.module)
            return ast.parse(path.read_bytes()) if path else None
    return None


def _setting(node: ast.AnnAssign) -> Setting:
    assert isinstance(node.target, ast.Name)
    default, description = node.value, ""
    if isinstance(default, ast.Call) and isinstance(default.func, ast.Name) and default.func.id == "Field":
        for keyword in default.keywords:
            if keyword.arg == "description" and isinstance(keyword.value, ast.Constant):
                description = str(keyword.value.value)
        default = default.args[0] if default.args else None
    return Setting(node.target.id, ast.unparse(node.annotation), ast.unparse(default) if default else "", description)
