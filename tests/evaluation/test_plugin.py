"""An evaluation of another package: through the command line, Python, the stored result and the report."""

import json
from pathlib import Path

import pytest
from installed import Environment

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Environment:
    """An environment with the example evaluation, as pip installs it."""
    pytest.importorskip("hatchling")
    made = Environment(tmp_path_factory.mktemp("mistakes") / "venv")
    made.install(ROOT / "plugins" / "coarsecon-mistakes")
    return made


@pytest.fixture(scope="module")
def result(environment, tiny_run) -> dict:
    done = environment.coarsecon("mistakes", tiny_run, "--k", 3, "--json", "-")
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_its_command_has_the_options_of_its_settings(environment):
    help_text = environment.coarsecon("mistakes", "--help").out
    assert "Mean distance in the label hierarchy between a query and its nearest neighbors." in help_text
    assert "Number of neighbors of each query." in help_text
    assert "--checkpoint" in help_text
    assert "x>=1" in help_text
    wrong = environment.coarsecon("mistakes", "nowhere", "--k", 0)
    assert wrong.code == 2
    assert "--k" in wrong.err


def test_its_numbers_are_those_of_a_count_by_hand(result, tiny_run, tiny_data):
    import coarsecon
    from coarsecon.data.prepared.store import open_dataset

    labels = open_dataset(tiny_data).split("test").labels
    features = coarsecon.load(tiny_run, device="cpu").features("test")
    scores = (features @ features.T).fill_diagonal_(-2)
    distances = [
        sum(int(labels[level][i] != labels[level][j]) for level in ("fine", "coarse"))
        for i, row in enumerate(scores.topk(3).indices.tolist())
        for j in row
    ]
    assert result["distance"] == pytest.approx(sum(distances) / len(distances))
    wrong = [distance for distance in distances if distance]
    assert result["distance_of_mistakes"] == pytest.approx(sum(wrong) / len(wrong))
    assert result["mistakes"] == pytest.approx(len(wrong) / len(distances))


def test_python_gives_the_same_numbers_and_the_same_file(environment, result, tiny_run):
    file = tiny_run / "results" / "mistakes-k=3.json"
    stored = json.loads(file.read_text())
    assert {key: stored[key] for key in result} == result
    assert (stored["evaluation"], stored["config"]["k"], stored["checkpoint"]) == ("mistakes", 3, "last")
    file.unlink()
    code = f"import coarsecon; print(coarsecon.evaluate({str(tiny_run)!r}, 'mistakes', k=3)['distance'])"
    done = environment.python("-c", code)
    assert done.code == 0, done.err
    assert float(done.out.splitlines()[-1]) == result["distance"]
    assert json.loads(file.read_text())["metrics"] == stored["metrics"]


def test_the_report_shows_its_metrics(environment, result, tiny_run, tmp_path):
    page = tmp_path / "page.html"
    assert environment.coarsecon("report", tiny_run, "--out", page).code == 0
    text = page.read_text()
    assert "mistakes-k=3" in text
    assert "distance of mistakes" in text
    assert f"{result['distance']:.4g}" in text


def test_it_is_listed_with_its_distribution_and_version(environment):
    rows = json.loads(environment.coarsecon("plugins", "--json", "-").out)
    (row,) = [row for row in rows if row["name"] == "mistakes"]
    assert (row["kind"], row["distribution"], row["version"]) == ("evaluation", "coarsecon-mistakes", "0.1.0")
