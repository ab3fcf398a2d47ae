"""Everything a person reads is plain American English: docstrings, comments, help texts, messages, pages and documents.

The lists hold words that the field has better terms for. `ALLOWED` names the phrases in which one of them is the term.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest
from reference_pages import load_reference

from coarsecon import registry

ROOT = Path(__file__).resolve().parents[1]

BRITISH = (
    r"\w*colour\w*", r"grey(?:s|ed|ing|scale)?", r"\w*neighbour\w*", r"\w*behaviour\w*", r"favou?r(?<=our)\w*",
    r"honour\w*", r"\w*cent(?:re|res|red|ring)", r"metres?", r"licences?", r"\w*labell(?:ed|ing)", r"modell(?:ed|ing)",
    r"cancell(?:ed|ing)", r"travell\w+", r"learnt", r"spelt", r"whilst", r"artefacts?", r"catalogues?", r"programmes?",
    r"analys(?:e|es|ed|ing)", r"practis(?:e|ed|ing)", r"sceptic\w*", r"judgement\w*",
    r"\w*(?:normal|optim|central|final|general|initial|local|maxim|minim|organ|parallel|penal|quant|random|real|recogn|"
    r"regular|serial|summar|synchron|token|util|visual|standard|categor|character|emphas|special|custom|memor|author|"
    r"capital|neutral|equal|stabil|symbol|vector|factor|discret)is(?:e|es|ed|er|ers|ing|ation|ations|able)",
)  # fmt: skip
"""British spellings."""

DIALECT = (
    r"tells?", r"told", r"telling", r"stands?", r"stood", r"standing", r"lies?", r"lying", r"besides?", r"behind",
    r"alone", r"so many", r"anew", r"wholes?", r"wholly", r"mend(?:s|ed|ing)?", r"strangers?'?",
    r"learn(?:s|ed|ing)? from", r"t(?:ake|aken|akes|ook) up", r"of (?:its|their|our|your|my) own", r"surer", r"surest",
    r"alike", r"heaps?",
    r"looks?", r"looked", r"looking", r"(?:a|the|its|their|each|what|whose) shares?",
    r"shares? of", r"shares? out",
    r"twins?", r"speaks? (?:of|for)", r"nothing but", r"naught", r"whereof", r"thereof", r"heretofore", r"wants? of",
    r"in want of", r"says so", r"it says", r"goes on", r"went on", r"knows? nothing",
)  # fmt: skip
"""Words that the field has better words for: show, be, next to, after, only, N, again, all, fix, fraction, ..."""

ALLOWED = {
    r"look(?:s|ed|ing)? up": "the term for finding a value in a table",
    r"from now on": "plain",
    r"share (?:a|the|one|its|their) (?:same |single )?\w+": "to have in common",
    r"(?:classes|images|views|runs|ranks|samples|files|processes|names|methods|the) share": "to have in common",
}
"""Phrases that are fine although they hold a listed word, and why."""

BANNED = re.compile(rf"(?<![\w`-])(?:{'|'.join((*BRITISH, *DIALECT))})(?![\w-])", re.IGNORECASE)
NAMES = re.compile(
    r"colour|grey(?!hound)|neighbour|behaviour|centre|labelled|licence|catalogue|(?:normal|optim|local|recogn)is(?:e|i|a)"
)
SUMMARY = re.compile(r"(?:What|Whether|How|Of|Whose|Which|Where)\b")


def room(path: Path) -> str:
    """The part of the project that a file belongs to."""
    parts = path.relative_to(ROOT).parts
    if parts[0] != "coarsecon":
        return parts[0] if len(parts) > 1 else parts[-1]
    depth = 3 if parts[1:2] == ("data",) and len(parts) > 3 else 2
    return "/".join(parts[1:depth]).removesuffix(".py")


def sources() -> dict[str, list[Path]]:
    """All files that are read, by room."""
    patterns = (
        "*.md", "Makefile", "docs/*.md", "docs/*.py", "benchmarks/*.md", "benchmarks/*.py", "plugins/**/*.py",
        "plugins/**/*.md", "coarsecon/**/*.py",
        "coarsecon/**/*.html", "coarsecon/**/*.js", "coarsecon/**/*.css", "coarsecon/**/*.yaml",
    )  # fmt: skip
    found: dict[str, list[Path]] = {}
    for path in sorted({path for pattern in patterns for path in ROOT.glob(pattern)}):
        if not {".venv", "__pycache__", "build"} & set(path.parts):
            found.setdefault(room(path), []).append(path)
    return found


def is_prose(text: str) -> bool:
    """True for a text of at least two words; keys, columns and flags keep their names."""
    return len(re.findall(r"[A-Za-z]{2,}", text)) > 1 and " " in text.strip()


def python_texts(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of every docstring, comment and string of several words; names are in `names`."""
    code = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and is_prose(node.value):
            for offset, line in enumerate(node.value.splitlines()):
                yield node.lineno + offset, line
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def names(path: Path) -> Iterator[tuple[int, str]]:
    """(line, name) of everything that a file of Python defines."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id


def summaries(path: Path) -> Iterator[tuple[int, str]]:
    """(line, first line) of every docstring, also those of constants and fields."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for child in getattr(node, "body", ()) if isinstance(getattr(node, "body", ()), list) else ():
            if (
                isinstance(child, ast.Expr)
                and isinstance(child.value, ast.Constant)
                and isinstance(child.value.value, str)
            ):
                yield child.lineno, child.value.value.strip().partition("\n")[0]


def plain(text: str) -> str:
    """The text without code, addresses and allowed phrases."""
    text = re.sub(r"`[^`]*`|https?://\S+|\]\([^)]*\)", " ", text)
    return re.sub("|".join(rf"\b{phrase}\b" for phrase in ALLOWED), " ", text, flags=re.IGNORECASE)


def findings(path: Path) -> list[str]:
    """`file:line: word: text` of everything that is not plain American English in a file."""
    text = path.read_text(encoding="utf-8")
    texts = python_texts(path) if path.suffix == ".py" else enumerate(text.splitlines(), start=1)
    found = [(line, hit[0], each) for line, each in texts for hit in BANNED.finditer(plain(each))]
    if path.suffix == ".py":
        found += [(line, hit[0], name) for line, name in names(path) if (hit := NAMES.search(name.lower()))]
        found += [(line, hit[0], each) for line, each in summaries(path) if (hit := SUMMARY.match(each))]
    return [f"{path.relative_to(ROOT)}:{line}: {word}: {each.strip()[:120]}" for line, word, each in sorted(set(found))]


def help_texts() -> Iterator[tuple[str, str]]:
    """(where, text) of the help of every command and option, and of the options of every dataset."""
    reference = load_reference()
    for typed, command in reference.commands():
        yield typed, command.help or ""
        yield from ((f"{typed} {each.name}", each.help) for each in reference.parameters(command))
    for entry in registry.entries(registry.DATASETS):
        for name, field in entry.load().Config.model_fields.items():
            yield f"coarsecon prepare {entry.name} {name}", field.description or ""


SOURCES = sources()


@pytest.mark.parametrize("name", SOURCES)
def test_a_room_is_written_in_plain_american_english(name):
    found = [line for path in SOURCES[name] for line in findings(path)]
    assert not found, "\n".join(found)


def test_help_texts_are_plain_american_english():
    texts = list(help_texts())
    assert len(texts) > 200
    found = [f"{where}: {hit[0]}: {text}" for where, text in texts for hit in BANNED.finditer(plain(text))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The neighbours' colour, normalised at the centre", ["neighbours", "colour", "normalised", "centre"]),
        ("It tells where the file lies, and stands alone", ["tells", "lies", "stands", "alone"]),
        ("A share of the whole, learned from labels of its own", ["A share", "whole", "learned from", "of its own"]),
        ("Look the value up; the neighbors of normalized features; `colour`; shared memory", ["Look"]),
        ("Looked up in a table; two classes share a name; a standalone page; understand; believes", []),
    ],
)
def test_the_scan_finds_what_it_should(text, words):
    assert [hit[0] for hit in BANNED.finditer(plain(text))] == words
