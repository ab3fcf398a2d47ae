"""Plugins through the real command line: those in `plugins/` installed and used, and strangers that misbehave."""

import json
from pathlib import Path

import pytest
import yaml
from installed import Environment
from tiny import TINY_BACKBONE

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = {"dcl": "coarsecon-dcl", "spread": "coarsecon-thanos"}


@pytest.fixture(scope="module")
def examples(tmp_path_factory) -> Environment:
    """An environment with the plugins of this repository, as pip installs them."""
    pytest.importorskip("hatchling")
    environment = Environment(tmp_path_factory.mktemp("examples") / "venv")
    environment.install(*sorted((ROOT / "plugins").glob("coarsecon-*")))
    return environment


def listed(environment: Environment, command: str = "methods", **variables: str) -> dict[str, list[dict]]:
    """Every row of a list, by name."""
    done = environment.coarsecon(command, "--json", "-", **variables)
    assert done.code == 0, done.err
    rows: dict[str, list[dict]] = {}
    for row in json.loads(done.out):
        rows.setdefault(row["name"], []).append(row)
    return rows


def told_in_two_lines(error: str) -> str:
    """The message of a failed command, which must be short and no traceback."""
    assert "Traceback" not in error
    assert len(error.strip().splitlines()) <= 2, error
    return error


@pytest.mark.parametrize(("name", "distribution"), EXAMPLES.items())
def test_an_installed_plugin_is_listed_with_its_distribution_and_version(examples, name, distribution):
    (row,) = listed(examples)[name]
    assert (row["distribution"], row["version"], row["problem"]) == (distribution, "0.1.0", "")
    line = next(line for line in examples.coarsecon("methods").out.splitlines() if f" {name} " in line)
    assert distribution in line
    assert "0.1.0" in line
    assert row["summary"] in line


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("dcl", {"t0": "0.1", "queue_size": "None", "momentum": "0.99", "query_view": "'auto'"}),
        ("spread", {"alpha": "0.5", "temperature": "0.5", "dim": "128", "smallest_crop": "0.2"}),
    ],
)
def test_the_settings_of_a_plugin_are_told(examples, name, settings):
    told = json.loads(examples.coarsecon("methods", name, "--json", "-").out)
    assert settings.items() <= {setting["name"]: setting["default"] for setting in told["settings"]}.items()
    assert all(setting["description"] for setting in told["settings"])
    page = examples.coarsecon("methods", name).out
    assert all(f"method.{setting}" in page for setting in settings)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_a_plugin_trains_and_its_run_is_evaluated(examples, tiny_data, tmp_path, name):
    run = tmp_path / "run"
    own = {"dcl": {"queue_size": 16}, "spread": {"alpha": 0.3}}[name]
    layer = {
        "backbone": TINY_BACKBONE,
        "data": {"workers": 0},
        "run": {"log_every": 1},
        "method": {"name": name, **own},
    }
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(layer))
    done = examples.coarsecon("pretrain", "--data", tiny_data, "--method", name, "--config", tmp_path / "tiny.yaml",
                              "--set", "schedule.warmup_epochs=0", "--limit", 64, "--batch-size", 32, "--epochs", 1,
                              "--device", "cpu", "--out", run)  # fmt: skip
    assert done.code == 0, done.err

    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if "loss" in row]
    assert len(losses) == 2
    assert all(abs(loss) < 100 for loss in losses)
    saved = yaml.safe_load((run / "config.yaml").read_text())
    assert own.items() <= saved["method"].items()
    assert (run / "views.png").stat().st_size > 0
    if name == "spread":
        assert {"supcon", "class_infonce"} <= rows[0].keys()
        assert saved["optimizer"]["lr"] == 0.05, "the method's defaults lie below all other settings"
        assert saved["schedule"]["epochs"] == 1

    done = examples.coarsecon("retrieve", run, "--json", "-")
    assert done.code == 0, done.err
    assert 0 <= json.loads(done.out)["fine"]["recall@1"] <= 1


def test_the_settings_file_of_a_plugin_fits_it(examples, coarsecon, monkeypatch):
    monkeypatch.syspath_prepend(examples.site)
    done = coarsecon("pretrain", "--config", ROOT / "plugins" / "coarsecon-thanos" / "spread-cifar100.yaml")
    assert done.code == 2
    assert "no dataset is given" in done.err, "every setting was accepted, and only the data is missing"


def test_the_plugins_own_tests_pass(examples):
    done = examples.python("-m", "pytest", "-q", "-p", "no:cacheprovider", "plugins", cwd=ROOT)
    assert done.code == 0, done.out


def test_a_plugin_is_short():
    for path in ROOT.glob("plugins/*/**/*.py"):
        limit = 60 if path.name == "coarsecon_dcl.py" else 100
        assert len(path.read_text().splitlines()) < limit, path


SLOW = '''"""Takes its time."""
import os, pathlib, time
pathlib.Path(os.environ["TRACE"]).touch()
time.sleep(float(os.environ["NAP"]))
class Mine: pass
'''
PROBLEMS = {
    "no-import": ("import no_such_package\nclass Mine: pass\n", "it needs no_such_package, which is not installed"),
    "no-start": ("raise RuntimeError('no')\nclass Mine: pass\n", "it raises when imported (line 1)"),
    "no-syntax": ("class Mine(:\n", "cannot be read"),
    "no-class": ("class Other: pass\n", "does not define Mine"),
}
"""Faults that show in the source."""
LATE = {
    "late-import": ("Mine = 1 / 0\n", "failed to load bad_late_import:Mine: ZeroDivisionError"),
    "late-class": ("class Mine: pass\n", "is not a subclass of coarsecon.methods.Method"),
}
"""Faults that only the import shows."""
SOUND = {"maskcon", "grafit", "coins", "moco", "supce"}


@pytest.fixture(scope="module")
def strangers(tmp_path_factory) -> Environment:
    """An environment with every kind of bad plugin at once; each distribution is called `bad-` and its method."""
    environment = Environment(tmp_path_factory.mktemp("strangers") / "venv")
    for name, (source, _) in (PROBLEMS | LATE).items():
        environment.put(f"bad-{name}", name, source)
    for distribution in ("bad-claim", "other-claim"):
        environment.put(distribution, "claim", f'"""Of {distribution}."""\nclass Mine: pass\n')
    environment.put("bad-coins", "coins", "class Mine: pass\n")
    environment.put("bad-slow", "slow", SLOW)
    environment.put("bad-data", "data", "import no_such_package\nMine = None\n", group="coarsecon.datasets")
    environment.put("bad-slow-data", "slow-data", SLOW, group="coarsecon.datasets")
    return environment


@pytest.fixture
def among_strangers(strangers, coarsecon, monkeypatch):
    """The command line in this process, which sees the bad plugins."""
    monkeypatch.syspath_prepend(strangers.site)
    return coarsecon


def test_no_slow_plugin_is_imported_until_it_is_used(strangers, tmp_path):
    trace = tmp_path / "imported"
    variables = {"TRACE": str(trace), "NAP": "30"}
    for command in ("--help", "methods", "methods --json -", "methods moco", "methods slow", "datasets", "prepare -h"):
        done = strangers.coarsecon(*command.split(), **variables)
        assert done.code == 0, done.err
        assert not trace.exists(), command
    assert listed(strangers, **variables)["slow"][0]["summary"] == "Takes its time."
    strangers.coarsecon("datasets", "slow-data", **variables | {"NAP": "0"})
    assert trace.exists(), "nothing would have been seen above"


def test_broken_plugins_are_shown_as_broken_and_break_nothing_else(strangers):
    rows = listed(strangers)
    page = strangers.coarsecon("methods").out.splitlines()
    for name, (_, problem) in PROBLEMS.items():
        assert problem in rows[name][0]["problem"]
        (line,) = (line for line in page if f" {name} " in line)
        assert "broken: " in line
        assert f"bad-{name}" in line
    assert all(rows[name][0]["problem"] == "" for name in LATE)
    assert rows.keys() >= SOUND
    assert all(row["problem"] == "" for name in SOUND - {"coins"} for row in rows[name])
    sources = listed(strangers, "datasets")
    assert "it needs no_such_package" in sources["data"][0]["problem"]
    assert sources["toy"][0]["problem"] == ""


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_broken_plugin_is_told_when_it_is_used(among_strangers, name):
    assert PROBLEMS[name][1] in among_strangers("methods", name, "--json", "-").out
    done = among_strangers("pretrain", "--method", name)
    assert done.code == 1
    assert f"method '{name}' from bad-{name} 1.0: failed to load" in told_in_two_lines(done.err)


@pytest.mark.parametrize("name", LATE)
def test_what_only_the_import_shows_is_told_when_the_plugin_is_used(among_strangers, name):
    done = among_strangers("pretrain", "--method", name)
    assert done.code == 1
    assert LATE[name][1] in told_in_two_lines(done.err)


def test_a_broken_dataset_source_is_told_when_it_is_used(among_strangers, tmp_path):
    done = among_strangers("prepare", "data", "--out", tmp_path / "data")
    assert done.code == 1
    assert "bad-data 1.0" in told_in_two_lines(done.err)
    assert not (tmp_path / "data").exists()


def test_sound_methods_work_among_bad_ones(among_strangers, tiny_data, tmp_path):
    flags = ["--set", f"backbone.args={json.dumps(TINY_BACKBONE['args'])}", "--limit", 32, "--batch-size", 32]
    done = among_strangers("pretrain", "--data", tiny_data, "--method", "supce", "--epochs", 1, "--device", "cpu",
                           "--set", "data.workers=0", *flags, "--out", tmp_path / "run")  # fmt: skip
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("name", "owners", "rest"),
    [("claim", "bad-claim and other-claim", "one of them"), ("coins", "coarsecon and bad-coins", "bad-coins")],
)
def test_a_name_claimed_twice_is_shown_and_its_use_an_error_that_names_both(among_strangers, name, owners, rest):
    rows = [row for row in json.loads(among_strangers("methods", "--json", "-").out) if row["name"] == name]
    first, _, second = owners.partition(" and ")
    assert [row["distribution"] for row in rows] == [first, second]
    claim = " and ".join(f"{row['distribution']} {row['version']}" for row in rows)
    assert all(row["problem"] == f"claimed by {claim}; uninstall {rest}" for row in rows)
    for command in (["methods", name], ["pretrain", "--method", name]):
        done = among_strangers(*command)
        assert done.code == 2
        assert first in told_in_two_lines(done.err)
        assert second in done.err
