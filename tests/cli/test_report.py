"""`coarsecon report`: a page of one run or of several, of half a run, and of runs with hostile or broken files."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

QUICK = ("--device", "cpu", "--workers", 0)
HOSTILE = '<script>alert(1)</script>"><img src=http://evil.example onerror="go()">&amp;$title'


class Page(HTMLParser):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text = path.read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict]] = []
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def sections(self) -> list[str]:
        return [attributes["id"] for tag, attributes in self.tags if tag == "section" and "id" in attributes]


@pytest.fixture(scope="module")
def two_runs(tiny_run, tmp_path_factory):
    """A run, and one that differs from it in a setting and in its weights."""
    from safetensors.torch import load_file, save_file

    root = tmp_path_factory.mktemp("runs")
    for name in ("one", "two"):
        shutil.copytree(tiny_run, root / name, ignore=shutil.ignore_patterns("features", "results", "figures"))
    config = root / "two" / "config.yaml"
    config.write_text(config.read_text().replace("momentum: 0.99", "momentum: 0.98"))
    state = load_file(root / "two" / "encoder.safetensors")
    noisy = {key: value + 0.3 * value.std() if value.dim() > 1 else value for key, value in state.items()}
    save_file(noisy, root / "two" / "encoder.safetensors", metadata={"format": "pt"})
    return root / "one", root / "two"


def test_one_run(coarsecon, two_runs, tmp_path):
    run, page = two_runs[0], tmp_path / "page.html"
    assert coarsecon("retrieve", run, *QUICK).code == 0
    done = coarsecon("report", run, "--out", page)
    assert done.code == 0, done.err
    assert f"wrote {page}" in done.err
    found = Page(page)
    assert found.sections() == ["curves", "results", "pictures", "gallery", "map", "settings", "environment"]
    assert "recall@100" in found.text
    assert "momentum" in found.text
    assert "2 of 2" in found.text
    assert not re.search(r'<th scope="row">command</th><td>\[', found.text)  # a line to copy, no list
    assert re.search(r"<dt>monitored fine recall@1</dt><dd>[\d.]+ % of test</dd>", found.text)
    assert "fine within coarse" in found.text
    assert "fine_within_coarse" not in found.text
    saved = json.loads((run / "results" / "retrieve.json").read_text())
    assert f'<th scope="row">chance</th><td>{100 * saved["fine_within_coarse"]["chance"]:.2f}</td>' in found.text
    assert '<details class="long">' not in found.text
    assert f"<td>{100 * saved['by_coarse_class'][0]['fine_within_coarse']['chance']:.2f}</td>" in found.text


def test_two_runs_are_compared_query_by_query(coarsecon, two_runs):
    for run in two_runs:
        for command in (("retrieve",), ("retrieve", "--gallery-split", "train"), ("knn", "--k", "5")):
            assert coarsecon(*command[:1], run, *command[1:], *QUICK).code == 0
    done = coarsecon("report", *two_runs, "--json", "-")
    assert done.code == 0, done.err
    rows = json.loads(done.out)
    values = {(row["result"], row["level"], row["score"]): row for row in rows}
    row = values["retrieve", "fine", "recall@1"]
    saved = [json.loads((run / "results" / "retrieve.json").read_text()) for run in two_runs]
    assert row["runs"] == ["one", "two"]
    assert row["values"] == [result["fine"]["recall@1"] for result in saved]
    assert row["differences"][1]["by"] == "paired"
    assert row["differences"][1]["value"] == pytest.approx(row["values"][1] - row["values"][0])
    assert values["knn-k=5", "coarse", "top1"]["differences"][1]["by"] == "paired"
    assert {row["differences"][1]["by"] for row in rows if row["result"].startswith("retrieve")} == {"paired"}
    page = Page(two_runs[0] / "report.html")
    assert page.sections()[0] == "comparison"
    assert re.search(
        r'<h3>retrieve</h3>\s*<details class="long"><summary>\d+ scores, \d+ with more than chance<', page.text
    )
    assert "<b>same queries</b>: a bootstrap" in page.text
    assert "Newcombe" not in page.text
    differing = re.findall(r'<tr class="differs"><th scope="row">([^<]+)', page.text)
    assert differing == ["method.momentum"]


def test_runs_that_were_measured_on_other_images_are_not_told_from_chance(coarsecon, two_runs, tmp_path):
    runs = [shutil.copytree(run, tmp_path / run.name) for run in two_runs]
    for run, split in zip(runs, ("test", "train"), strict=True):
        shutil.rmtree(run / "results", ignore_errors=True)
        assert coarsecon("retrieve", run, "--split", split, *QUICK).code == 0
    next((runs[1] / "results").glob("retrieve*.json")).rename(runs[1] / "results" / "retrieve.json")
    assert coarsecon("report", *runs).code == 0
    page = Page(runs[0] / "report.html")
    assert "no difference has an interval, so that none can be distinguished from chance" in page.text
    assert "the runs were evaluated on different images" in page.text
    assert "0 of 0" not in page.text


def test_results_of_other_settings_have_files_of_their_own(coarsecon, two_runs):
    run = two_runs[0]
    for options in ((), ("--ways", "4"), ("--ways", "4", "--classifier", "cosine")):
        done = coarsecon("fewshot", run, "--queries", 2, "--episodes", 3, *options, *QUICK)
        assert done.code == 0, done.err
    names = {path.stem for path in (run / "results").glob("fewshot*")}
    assert names == {
        "fewshot-queries=2-episodes=3",
        "fewshot-ways=4-queries=2-episodes=3",
        "fewshot-ways=4-queries=2-episodes=3-classifier=cosine",
    }


def trained_further(run: Path) -> None:
    """Change the weights of a run, as further training does."""
    from safetensors.torch import load_file, save_file

    state = load_file(run / "encoder.safetensors")
    changed = {key: value + 0.1 if value.is_floating_point() else value for key, value in state.items()}
    save_file(changed, run / "encoder.safetensors", metadata={"format": "pt"})


def test_numbers_of_an_earlier_checkpoint_are_marked_and_not_compared(coarsecon, two_runs, tmp_path):
    runs = [shutil.copytree(run, tmp_path / run.name) for run in two_runs]
    for run in runs:
        shutil.rmtree(run / "results", ignore_errors=True)
        for command in (("retrieve",), ("tsne", "--method", "pca")):
            assert coarsecon(*command[:1], run, *command[1:], *QUICK).code == 0
    assert coarsecon("export", runs[1], "--to", "torchvision").code == 2
    assert coarsecon("export", runs[1]).code == 0
    assert json.loads(coarsecon("report", *runs, "--json", "-").out)
    trained_further(runs[1])
    done = coarsecon("report", *runs, "--json", "-")
    assert json.loads(done.out) == []
    assert "two: retrieve.json is stale: computed from an earlier checkpoint; evaluate again" in done.err
    assert "two: export/timm is stale: computed from an earlier checkpoint; export again" in done.err
    text = Page(runs[0] / "report.html").text
    assert "<li>two, retrieve: stale: computed from an earlier checkpoint</li>" in text
    assert '<p class="freshness stale">two: stale: computed from an earlier checkpoint</p>' in text
    captions = re.findall(r"<figcaption>(\w+): pca(<p class=.freshness stale.>[^<]*</p>)?", text)
    stale = '<p class="freshness stale">stale: computed from an earlier checkpoint</p>'
    assert captions == [("one", ""), ("two", stale)]


def test_a_stale_map_is_not_drawn_among_the_present_features(coarsecon, two_runs, tmp_path):
    run = shutil.copytree(two_runs[0], tmp_path / "run")
    assert coarsecon("tsne", run, "--perplexity", 5, *QUICK).code == 0
    assert coarsecon("report", run).code == 0
    assert "t-SNE, perplexity 5, of 48" in (run / "report.html").read_text()
    trained_further(run)
    assert coarsecon("retrieve", run, *QUICK).code == 0
    assert coarsecon("report", run).code == 0
    page = (run / "report.html").read_text()
    assert "t-SNE, perplexity 5, of 48" not in page
    assert re.search("[^<]*of 48 test images", page)


def test_a_run_whose_dataset_was_replaced_says_so(coarsecon, two_runs, tiny_data, tmp_path):
    from tiny import write_tiny_dataset

    data = shutil.copytree(tiny_data, tmp_path / "data")
    run = shutil.copytree(two_runs[0], tmp_path / "run")
    config = run / "config.yaml"
    config.write_text(config.read_text().replace(str(tiny_data), str(data)))
    shutil.rmtree(data)
    write_tiny_dataset(data, train=64, test=16)
    done = coarsecon("report", run)
    assert f"{data} holds another dataset than the one that this run was trained on" in done.err


def test_half_a_run_and_broken_files_give_a_page_that_says_so(coarsecon, tiny_run, tmp_path):
    run = tmp_path / "half"
    (run / "results").mkdir(parents=True)
    shutil.copy(tiny_run / "config.yaml", run)
    lines = (tiny_run / "metrics.jsonl").read_text().splitlines()
    (run / "metrics.jsonl").write_text("\n".join([lines[0], "[1, 2]", '{"step": "x"}', lines[1][:20]]))
    (run / "environment.json").write_text("{broken")
    (run / "views.png").write_bytes(b"no picture")
    (run / "results" / "retrieve.json").write_text('{"fine": {"recall')
    (run / "results" / "odd.json").write_text("[1]")
    (run / "results" / "deep.json").write_text("[" * 100_000)
    done = coarsecon("report", run, tiny_run, "--out", tmp_path / "page.html")
    assert done.code == 0, done.err
    text = Page(tmp_path / "page.html").text
    assert "1 of 2, not finished" in text
    assert "no encoder" in text
    for file in ("environment.json", "views.png", "retrieve.json", "odd.json", "deep.json"):
        assert file in done.err
        assert file in text


def test_hostile_names_stay_text(coarsecon, tiny_run, tmp_path):
    run = tmp_path / "<img src=x onerror=go()>"
    shutil.copytree(tiny_run, run, ignore=shutil.ignore_patterns("features", "results"))
    (run / "environment.json").write_text(json.dumps({HOSTILE: HOSTILE}))
    (run / "metrics.jsonl").write_text(json.dumps({"step": 1, "epoch": 1, HOSTILE: 1.0}))
    record = {"split": HOSTILE, HOSTILE: HOSTILE, "fine": {"recall@1": 0.5, HOSTILE: [{HOSTILE: HOSTILE}]}}
    (run / "results").mkdir()
    (run / "results" / "retrieve-<b>x.json").write_text(json.dumps(record))
    other = tmp_path / "other"
    shutil.copytree(run, other)
    done = coarsecon("report", run, other, "--out", tmp_path / "page.html")
    assert done.code == 0, done.err
    page = Page(tmp_path / "page.html")
    assert [attributes["src"][:11] for tag, attributes in page.tags if tag == "img"] == ["data:image/"] * sum(
        tag == "img" for tag, _ in page.tags
    )
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert all(attributes.get("type") == "module" for tag, attributes in page.tags if tag == "script")
    assert not any(tag == "b" and attributes for tag, attributes in page.tags)
    assert "<b>x" not in page.text
    assert 'evil.example onerror="' not in page.text


@pytest.mark.parametrize(
    ("arguments", "says"), [(["nowhere"], "not a run folder"), ([], "RUN"), (["RUN", "RUN"], "the same run twice")]
)
def test_wrong_input_is_told(coarsecon, tiny_run, arguments, says):
    done = coarsecon("report", *[str(tiny_run) if word == "RUN" else word for word in arguments])
    assert done.code == 2
    assert says in done.err


def test_another_file_at_the_place_of_the_page_survives(coarsecon, tiny_run, tmp_path):
    mine = tmp_path / "page.html"
    mine.write_text("<!doctype html><title>mine</title>")
    done = coarsecon("report", tiny_run, "--out", mine)
    assert done.code == 2
    assert f"{mine}: exists and is not a page made by coarsecon; choose another file" in done.err
    assert "mine" in mine.read_text()
    for _ in range(2):
        assert coarsecon("report", tiny_run, "--out", tmp_path / "new.html").code == 0
