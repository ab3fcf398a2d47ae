"""The registry: throw-away distributions on the path, listed without import, broken ones told, names claimed once."""

import sys
from importlib.util import spec_from_file_location
from pathlib import Path

import pytest

from coarsecon import registry
from coarsecon.errors import CoarseconError, InputError
from coarsecon.exporters import Exporter


def entry(name: str) -> registry.Entry:
    return registry.find(registry.METHODS, name)


def test_built_in_methods_and_datasets_stand_in_the_same_table():
    assert {"maskcon", "grafit", "coins", "moco", "supce"} <= {e.name for e in registry.entries(registry.METHODS)}
    assert {"toy", "cifar100", "folder"} <= {e.name for e in registry.entries(registry.DATASETS)}
    assert all(not e.describe().problem for e in registry.entries(registry.METHODS) if e.distribution == "coarsecon")


def test_a_strangers_method_is_described_without_being_imported(install_plugin):
    module = install_plugin(
        "stranger", "strange", '"""Odd method."""\nclass Mine:\n    class Config:\n        t: float = 0.5\n'
    )
    found = entry("strange")
    assert found.describe().summary == "Odd method."
    assert [(s.name, s.default) for s in found.settings()] == [("t", "0.5")]
    assert module not in sys.modules
    assert entry("strange").load().__name__ == "Mine"


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (None, "not installed"),
        ("def broken(:\n", "cannot be read"),
        ("class Other: pass\n", "does not define Mine"),
        ("import no_such_package_anywhere\nclass Mine: pass\n", "needs no_such_package_anywhere"),
        ("raise RuntimeError('no')\nclass Mine: pass\n", "raises when imported"),
    ],
)
def test_a_broken_plugin_is_told_and_breaks_nothing_else(install_plugin, source, problem):
    install_plugin("broken-one", "broken", source)
    assert problem in entry("broken").describe().problem
    assert problem in {row.name: row.text for row in registry.listing(registry.METHODS)}["broken"]
    with pytest.raises(
        CoarseconError,
        match=r"method 'broken' from broken-one 1\.0: failed to load broken_one:Mine: .*; fix or uninstall the package",
    ):
        entry("broken").load()
    assert entry("maskcon").load().__name__ == "MaskCon"


def test_a_plugin_that_fails_only_when_imported_is_told_then(install_plugin):
    install_plugin("late", "late", "x = 1 / 0\nclass Mine: pass\n")
    with pytest.raises(CoarseconError, match="ZeroDivisionError"):
        entry("late").load()


def test_two_distributions_that_claim_one_name_are_both_named(install_plugin):
    install_plugin("first-claim", "twice", "class Mine: pass\n")
    install_plugin("second-claim", "twice", "class Mine: pass\n")
    with pytest.raises(
        InputError, match=r"method 'twice': claimed by first-claim 1\.0 and second-claim 1\.0; uninstall one of them"
    ):
        entry("twice")


def test_a_stranger_cannot_take_a_built_in_name_silently(install_plugin):
    install_plugin("usurper", "maskcon", "class Mine: pass\n")
    with pytest.raises(InputError, match=r"coarsecon .* and usurper"):
        entry("maskcon")


def test_an_unknown_name_tells_the_nearest():
    with pytest.raises(
        InputError, match=r"method 'maskon': not found; did you mean maskcon\? `coarsecon methods` lists all"
    ):
        entry("maskon")
    with pytest.raises(InputError, match=r"known: .*moco"):
        entry("qqqqqq")


def test_a_slow_importing_plugin_does_not_slow_the_list(install_plugin, capsys):
    import time

    from coarsecon.cli.methods import methods

    install_plugin("slow", "slow", "import time\ntime.sleep(30)\nclass Mine: pass\n")
    start = time.monotonic()
    methods()
    assert time.monotonic() - start < 5
    assert "slow" in capsys.readouterr().out


def test_inherited_settings_are_found_in_other_modules():
    settings = {s.name for s in entry("maskcon").settings()}
    assert {"w", "t", "t0", "queue_size", "momentum"} <= settings


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from coarsecon.methods.maskcon import MaskCon\nclass Mine(MaskCon): pass\n", {"w", "t", "t0", "queue_size"}),
        (
            "from coarsecon.methods.maskcon import MaskCon as Base\n"
            "class Mine(Base):\n    class Config(Base.Config):\n        own: int = 1\n",
            {"own", "w", "t", "t0", "queue_size"},
        ),
        ("from coarsecon.methods.momentum import MomentumSettings as S\n"
         "class Mine:\n    class Config(S):\n        own: int = 1\n", {"own", "t0", "queue_size"}),
    ],
)  # fmt: skip
def test_settings_are_told_however_they_are_inherited(install_plugin, source, expected):
    install_plugin("heir", "heir", source)
    assert expected <= {s.name for s in entry("heir").settings()}
    assert not entry("heir").describe().problem


def test_a_method_and_its_settings_may_stand_in_other_modules_of_its_package(tmp_path, install_plugin):
    package = tmp_path / "many"
    package.mkdir()
    (package / "settings.py").write_text("class Base:\n    own: int = Field(default=4, description='d')\n")
    (package / "method.py").write_text("from .settings import Base\nclass Mine:\n    class Config(Base): pass\n")
    (package / "__init__.py").write_text('"""Many."""\nfrom .method import Mine\n')
    install_plugin("many", "many", None)
    found = entry("many")
    assert (found.describe().doc, found.describe().problem) == ("Many.", "")
    assert [(s.name, s.default, s.description) for s in found.settings()] == [("own", "4", "d")]


@pytest.mark.parametrize(
    "source",
    [
        "from unreadable import Base\nclass Mine:\n    class Config(Base): pass\n",
        "class Base(Base): pass\nclass Mine:\n    class Config(Base): pass\n",
    ],
)
def test_settings_that_cannot_be_read_are_a_problem_of_that_plugin_alone(tmp_path, install_plugin, source):
    (tmp_path / "unreadable.py").write_text("class Base(:\n")
    install_plugin("odd", "odd", source)
    with pytest.raises(CoarseconError, match="its settings cannot be read"):
        entry("odd").settings()
    assert entry("maskcon").settings()


def test_a_plugin_that_exits_when_imported_is_broken(install_plugin):
    install_plugin("leaver", "leaver", "import sys\nsys.exit(0)\nclass Mine: pass\n")
    with pytest.raises(CoarseconError, match=r"leaver 1\.0.*SystemExit"):
        entry("leaver").load()


def test_a_half_removed_distribution_breaks_nothing(tmp_path, install_plugin):
    install_plugin("ruin", "moco", "class Mine: pass\n")
    (tmp_path / "ruin-1.0.dist-info" / "METADATA").unlink()
    assert ("?", "?") in [(e.distribution, e.version) for e in registry.entries(registry.METHODS) if e.name == "moco"]


def test_a_module_that_only_an_editable_install_knows_is_found(tmp_path, install_plugin, monkeypatch):
    class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None):
            return spec_from_file_location(name, elsewhere) if name == "mapped" else None

    elsewhere = tmp_path / "elsewhere" / "anything.py"
    elsewhere.parent.mkdir()
    elsewhere.write_text('"""Mapped."""\nclass Mine: pass\n')
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    install_plugin("mapped", "mapped", None)
    assert entry("mapped").describe().summary == "Mapped."
    assert "mapped" not in sys.modules


def test_every_declared_setting_is_described_the_same_as_pydantic_has_it():
    for name in ("maskcon", "grafit", "coins", "moco", "supce"):
        loaded = entry(name).load()
        assert {s.name for s in entry(name).settings()} == set(loaded.Config.model_fields), name


def test_sources_are_found_beside_their_package():
    from coarsecon.registry.inspection import find_source

    assert find_source("coarsecon.methods.maskcon") == Path(registry.__file__).parents[1] / "methods" / "maskcon.py"
    assert find_source("coarsecon.no_such") is None


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("class Mine: pass", "broken:Mine is not a subclass of coarsecon.exporters.Exporter; fix or uninstall"),
        ("from coarsecon.exporters import Exporter as Mine", "broken:Mine does not define export; fix or uninstall"),
    ],
)
def test_a_class_that_does_not_fit_its_kind_is_an_error_that_names_its_package(
    install_plugin, monkeypatch, source, problem
):
    monkeypatch.delitem(sys.modules, "broken", raising=False)
    install_plugin("broken", "odd", source, group=registry.EXPORTERS)
    with pytest.raises(CoarseconError, match=f"exporter 'odd' from broken 1.0: {problem}"):
        registry.load_class(registry.EXPORTERS, "odd", Exporter)
