"""Documentation, settings and visible faults of a registered object, read from its source without importing it.

Importing a method imports PyTorch, which takes seconds; listing all methods takes a tenth of one.
"""

import ast
import symtable
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import PathFinder
from importlib.util import find_spec, resolve_name
from pathlib import Path

from coarsecon.errors import CoarseconError

UNREADABLE = (OSError, SyntaxError, ValueError, RecursionError)
"""Exceptions raised while reading untrusted sources."""


@dataclass(frozen=True)
class Setting:
    """A declared setting: its name, type, default and description, as written in the source."""

    name: str
    type: str
    default: str
    description: str = ""


@dataclass(frozen=True)
class Description:
    """Documentation of a registered object; `problem` is empty unless importing it must fail."""

    doc: str = ""
    problem: str = ""

    @property
    def summary(self) -> str:
        """The first line of the documentation."""
        return self.doc.strip().partition("\n")[0]


def describe(value: str, *, module_first: bool = False) -> Description:
    """Read the source of an entry point `module:attribute`.

    The documentation is that of the class or function, else that of its module; with `module_first` the reverse.
    Problems that are found: the module is missing or does not parse, lacks the attribute, imports something that is
    not installed, or raises unconditionally.
    """
    module, _, attribute = value.partition(":")
    path = find_source(module)
    if path is None:
        return Description(problem=f"module {module} is not installed")
    try:
        with tokenize.open(path) as file:  # which reads the declared encoding
            text = file.read()
        tree = ast.parse(text)
        symbols = symtable.symtable(text, path.name, "exec").get_symbols()
    except UNREADABLE as error:
        return Description(problem=f"{path.name} cannot be read ({error})")
    problem = next(_faults(tree), "")
    names = {symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported()}
    if not problem and attribute not in names and "*" not in names:
        problem = f"{module} does not define {attribute}"
    own = (node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == attribute)
    docs = [next((ast.get_docstring(node) for node in own), None), ast.get_docstring(tree)]
    return Description(next(filter(None, reversed(docs) if module_first else docs), ""), problem)


def find_source(module: str) -> Path | None:
    """Find the source file of a module without importing it or its parents; None if there is none."""
    first, *rest = module.split(".")
    try:
        # All finders, since those of some editable installs are no path finders; not sys.modules, which may be stale.
        found = (finder.find_spec(first, None) for finder in sys.meta_path)
        spec = next(filter(None, found), None)
        for part in rest:
            spec = PathFinder.find_spec(part, list(spec.submodule_search_locations or [])) if spec else None
    except (ImportError, ValueError):
        return None
    origin = spec.origin if spec else None
    return Path(origin) if origin and origin.endswith(".py") else None


def _faults(tree: ast.Module) -> Iterator[str]:
    """Yield what fails at the top level of a module."""
    for node in tree.body:
        if isinstance(node, ast.Raise):
            yield f"it raises when imported (line {node.lineno})"
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        packages = [name.partition(".")[0] for name in names]
        yield from (f"it needs {package}, which is not installed" for package in packages if not _is_installed(package))


def _is_installed(package: str) -> bool:
    try:
        return package in sys.modules or find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def settings_of(value: str) -> list[Setting]:
    """Read the fields of the nested `Config` of the class of an entry point, inherited fields first.

    Raises:
        CoarseconError: A source file on the way cannot be read.
    """
    module, _, attribute = value.partition(":")
    try:
        found = _find_class(module, f"{attribute}.Config")
        return list(_fields(*found).values()) if found else []
    except UNREADABLE as error:
        raise CoarseconError(value, f"its settings cannot be read ({type(error).__name__}: {error})") from None


def _find_class(module: str, name: str) -> tuple[str, ast.ClassDef] | None:
    """Find a class by its dotted name in a module, also an imported one; returns the module that defines it."""
    path = find_source(module)
    if path is None:
        return None
    *outer, last = name.split(".")
    if outer:
        home = _find_class(module, ".".join(outer))
        return _nested_class(*home, last) if home else None
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return module, node
        if isinstance(node, ast.ImportFrom):
            package = module if path.name == "__init__.py" else module.rpartition(".")[0]
            for alias in node.names:
                if name == (alias.asname or alias.name):
                    return _find_class(resolve_name("." * node.level + (node.module or ""), package), alias.name)
    return None


def _nested_class(module: str, outer: ast.ClassDef, name: str) -> tuple[str, ast.ClassDef] | None:
    """Find the class nested in `outer`, or in the first of its bases that has one."""
    for node in outer.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return module, node
    homes = filter(None, (_find_class(module, ast.unparse(base)) for base in outer.bases))
    return next(filter(None, (_nested_class(*home, name) for home in homes)), None)


def _fields(module: str, settings: ast.ClassDef) -> dict[str, Setting]:
    """Return the annotated fields of a class and of those of its bases whose sources are found."""
    fields: dict[str, Setting] = {}
    for base in reversed(settings.bases):
        home = _find_class(module, ast.unparse(base))
        fields |= _fields(*home) if home else {}
    for node in settings.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            fields[node.target.id] = _setting(node.target.id, node)
    return fields


def _setting(name: str, node: ast.AnnAssign) -> Setting:
    default, description = node.value, ""
    if isinstance(default, ast.Call) and ast.unparse(default.func) == "Field":
        given = {keyword.arg: keyword.value for keyword in default.keywords}
        if isinstance(given.get("description"), ast.Constant):
            description = str(ast.literal_eval(given["description"]))
        default = next(iter(default.args), given.get("default"))
    return Setting(name, ast.unparse(node.annotation), ast.unparse(default) if default else "", description)
