"""What can be told of a plugin without importing it: its text is read, never run."""

import ast
import sys
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from importlib.util import find_spec, resolve_name
from pathlib import Path

STOP_AT = ("BaseModel", "Settings", "MethodSettings")
"""Bases of settings that declare no field."""

UNREADABLE = (OSError, SyntaxError, ValueError, RecursionError)
"""What a stranger's source may do to its reader."""


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


def describe(value: str, *, module_first: bool = False) -> Description:
    """Read the source behind an entry point `module:attribute`.

    The documentation is that of the class or function, else that of its module; with `module_first` the reverse.

    Told as a problem: a module that is not there or does not parse, an attribute that it does not define,
    an import at its top level that nothing on the path provides, and an unconditional raise.
    """
    module, _, attribute = value.partition(":")
    path = find_source(module)
    if path is None:
        return Description(problem=f"module {module} is not installed")
    try:
        tree = ast.parse(path.read_bytes())
    except UNREADABLE as error:
        return Description(problem=f"{path.name} cannot be read ({error})")
    problem = _top_level_problem(tree)
    if not problem and attribute and attribute not in _defined_names(tree):
        problem = f"{module} does not define {attribute}"
    try:
        settings = _settings(_Source(module, path, tree), attribute)
    except UNREADABLE as error:
        settings, problem = (), problem or f"its settings cannot be read ({type(error).__name__}: {error})"
    docs = [_own_docstring(tree, attribute), ast.get_docstring(tree)]
    doc = next(filter(None, reversed(docs) if module_first else docs), "")
    return Description(doc=doc, settings=settings, problem=problem)


def _own_docstring(tree: ast.Module, name: str) -> str | None:
    kinds = ast.ClassDef | ast.FunctionDef
    found = (node for node in tree.body if isinstance(node, kinds) and node.name == name)
    return next((ast.get_docstring(node) for node in found), None)


def find_source(module: str) -> Path | None:
    """The source file of a module, found without importing it or its parents; None when there is none."""
    first, *rest = module.split(".")
    try:
        # All finders, as those of some editable installs are no path finders; not sys.modules, which may be stale.
        found = (finder.find_spec(first, None) for finder in sys.meta_path)
        spec = next(filter(None, found), None)
        for part in rest:
            spec = PathFinder.find_spec(part, list(spec.submodule_search_locations or [])) if spec else None
    except (ImportError, ValueError):
        return None
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


@dataclass(frozen=True)
class _Source:
    """A module that is read."""

    name: str
    path: Path
    tree: ast.Module

    def imported_from(self, node: ast.ImportFrom) -> str:
        """The absolute name of the module that an import names."""
        package = self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]
        return resolve_name("." * node.level + (node.module or ""), package)


_Class = tuple[_Source, ast.ClassDef]


def _settings(source: _Source, attribute: str) -> tuple[Setting, ...]:
    """The fields of the `Config` of class `attribute`, its own or inherited; inherited fields first."""
    outer = _find_class(source, ast.Name(attribute))
    inner = _nested(outer, "Config") if outer else None
    return tuple(_fields(inner).values()) if inner else ()


def _child(parent: ast.Module | ast.ClassDef, name: str) -> ast.ClassDef | None:
    found = [node for node in parent.body if isinstance(node, ast.ClassDef) and node.name == name]
    return found[0] if found else None


def _nested(outer: _Class, name: str) -> _Class | None:
    """The class nested in `outer` or in the first of its bases that has one."""
    source, node = outer
    own = _child(node, name)
    if own:
        return source, own
    homes = filter(None, (_find_class(source, base) for base in node.bases))
    return next(filter(None, (_nested(home, name) for home in homes)), None)


def _find_class(source: _Source, expression: ast.expr) -> _Class | None:
    """The class that `Name` or `Name.Nested` means in a module: one of its own or an imported one."""
    if isinstance(expression, ast.Attribute):
        outer = _find_class(source, expression.value)
        return _nested(outer, expression.attr) if outer else None
    if not isinstance(expression, ast.Name):
        return None
    own = _child(source.tree, expression.id)
    if own:
        return source, own
    imports = [node for node in source.tree.body if isinstance(node, ast.ImportFrom)]
    for node, alias in [(each, alias) for each in imports for alias in each.names]:
        if expression.id == (alias.asname or alias.name):
            module = source.imported_from(node)
            path = find_source(module)
            if path is None:
                return None
            return _find_class(_Source(module, path, ast.parse(path.read_bytes())), ast.Name(alias.name))
    return None


def _fields(settings: _Class) -> dict[str, Setting]:
    """The annotated fields of a class of settings and of its bases, as far as their sources are found."""
    source, node = settings
    fields: dict[str, Setting] = {}
    for base in reversed(node.bases):
        home = None if isinstance(base, ast.Name) and base.id in STOP_AT else _find_class(source, base)
        if home:
            fields |= _fields(home)
    own = [node for node in node.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)]
    return fields | {setting.name: setting for setting in map(_setting, own)}


def _setting(node: ast.AnnAssign) -> Setting:
    assert isinstance(node.target, ast.Name)
    default, description = node.value, ""
    if isinstance(default, ast.Call) and isinstance(default.func, ast.Name) and default.func.id == "Field":
        for keyword in default.keywords:
            if keyword.arg == "description" and isinstance(keyword.value, ast.Constant):
                description = str(keyword.value.value)
        given = [keyword.value for keyword in default.keywords if keyword.arg == "default"]
        default = next(iter(default.args or given), None)
    return Setting(node.target.id, ast.unparse(node.annotation), ast.unparse(default) if default else "", description)
