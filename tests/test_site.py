"""The documentation site builds without warnings, loads no remote files, and covers all commands and settings."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from reference_pages import load_reference

from coarsecon import registry
from coarsecon.config import RunConfig

ROOT = Path(__file__).resolve().parents[1]
TEXTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").glob("*.md")]
PICTURES = ROOT / "docs" / "pictures"


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    """Module that writes the generated pages."""
    return load_reference()


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, built strictly: a warning is an error."""
    pytest.importorskip("mkdocs")
    pytest.importorskip("material")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return out


def test_the_site_loads_nothing_from_elsewhere(site):
    loads = r"""<(?:script|img|iframe|link(?! rel="(?:canonical|prev|next)"))[^>]*(?:src|href)=["'](https?:)?//"""
    for page in site.rglob("*.html"):
        assert not re.search(loads, page.read_text()), page
        assert "mermaid" not in page.read_text(), page  # the theme would fetch it
    for style in site.rglob("*.css"):
        assert not re.search(r"""(?:@import|url\()\s*["']?(?:https?:)?//""", style.read_text()), style


def test_the_site_has_the_pages_of_the_code(site):
    assert "--fine-within-coarse" in (site / "commands.html").read_text()
    assert "schedule.warmup_epochs" in (site / "settings.html").read_text()
    assert "maskcon-cifar100" in (site / "recipes.html").read_text()
    assert "Stanford Cars" in (site / "catalog.html").read_text() or "cars196" in (site / "catalog.html").read_text()


def offered(coarsecon, typed: str) -> set[str]:
    """The long options that a command's own help shows."""
    return set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", coarsecon(*typed.split()[1:], "--help").out))


def test_every_command_is_documented_with_all_options(reference, coarsecon, monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")
    found = dict(reference.commands())
    assert {"coarsecon pretrain", "coarsecon recipes ls", "coarsecon data check"} <= set(found)
    for typed, function in found.items():
        documented = {
            name for each in reference.parameters(function) for name in re.findall(r"--[a-z0-9-]+", each.name)
        }
        shown = coarsecon(*typed.split()[1:], "--help").out
        declared = set(re.findall(r"(?<=│)[ *]+(--[a-z][a-z0-9-]*)", shown)) - {"--help"}
        declared |= set(re.findall(r"│[ *]+--[a-z0-9-]+ +(--no-[a-z0-9-]+)", shown))
        assert documented == declared, typed


def test_every_setting_is_documented(reference):
    page = reference.settings_page()
    for section, field in RunConfig.model_fields.items():
        for key in getattr(field.annotation, "model_fields", {}):
            assert f"`{section}.{key}`" in page
    assert "`schedule.name` | `cosine`, `epoch-cosine`, `cyclic` | `cosine` |" in page
    for entry in registry.entries(registry.METHODS):
        if entry.distribution == "coarsecon":
            assert f"### {entry.name}\n" in page
            assert all(f"`method.{setting.name}`" in page for setting in entry.settings())


def test_types_of_settings_are_described(reference):
    assert reference.kind({"type": "number", "minimum": 0, "exclusiveMaximum": 1}) == "number ≥ 0, < 1"
    assert reference.kind({"anyOf": [{"type": "string", "format": "path"}, {"type": "null"}]}) == "path or none"
    assert reference.kind({"type": "array", "items": {"enum": ["a", "b"]}}) == "list of `a`, `b`"


def test_commands_named_in_the_text_exist_with_their_options(reference, coarsecon, monkeypatch):
    """Commands inside sentences, which no other test runs."""
    monkeypatch.setenv("COLUMNS", "250")
    known = [typed.split()[1:] for typed, _ in reference.commands()]
    groups = {words[0] for words in known if len(words) > 1}
    seen = 0
    for document in TEXTS:
        prose = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
        for written in re.findall(r"`coarsecon ([^`]+)`", prose):
            words = shlex.split(written)
            if words[0].startswith("-") or words == ["data", "check,"]:
                continue
            is_group = words[0] in {*groups, "prepare"} and len(words) > 1 and not words[1].startswith("-")
            typed = words[:2] if is_group else words[:1]
            typed = [word.strip(",") for word in typed]
            assert typed in known or typed[0] in {*groups, "prepare"}, (document.name, written)
            wanted = {word.partition("=")[0] for word in words if word.startswith("--")}
            assert wanted <= offered(coarsecon, " ".join(["coarsecon", *typed])) | {"--debug", "--help"}, (
                document.name,
                written,
            )
            seen += 1
    assert seen > 20


def test_pictures_are_small_and_shown():
    pictures = list(PICTURES.iterdir())
    assert sum(path.stat().st_size for path in pictures) < 2**20
    shown = {Path(target).name for text in TEXTS for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text.read_text())}
    assert {path.name for path in pictures} == shown


def test_the_citation_names_the_papers():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(cited)
    papers = {paper["identifiers"][0]["value"]: paper for paper in cited["references"]}
    assert len(papers) == len(cited["references"]) == 5
    assert all(re.fullmatch(r"arXiv:\d{4}\.\d{5}", name) and paper["year"] >= 2020 for name, paper in papers.items())
    assert json.dumps(cited).count("Patras") == 2
