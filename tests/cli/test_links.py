"""Nothing is read or written through a symbolic link that leads out of a run."""

import json
import shutil

import pytest
from PIL import Image

QUICK = ("--device", "cpu", "--workers", 0)
SECRET = {"split": "test", "encoder": "last", "fine": {"recall@1": 0.8765, "queries": 48}, "word": "xyzzy"}


@pytest.fixture
def run(tiny_run, tmp_path):
    ignored = shutil.ignore_patterns("features", "results", "figures", "index")
    return shutil.copytree(tiny_run, tmp_path / "run", ignore=ignored)


@pytest.fixture
def outside(tmp_path):
    """A folder that is none of the run's business."""
    folder = tmp_path / "outside"
    folder.mkdir()
    Image.new("RGB", (40, 40), (12, 200, 34)).save(folder / "private.png")
    (folder / "private.json").write_text(json.dumps(SECRET))
    (folder / "tsne.html").write_text("<p>xyzzy</p>")
    (folder / "marks.csv").write_text("xyzzy")
    return folder


def test_a_report_follows_no_link_out_of_the_run(coarsecon, run, outside):
    (run / "figures").mkdir()
    (run / "results").mkdir()
    (run / "figures" / "mine.png").symlink_to(outside / "private.png")
    (run / "results" / "mine.json").symlink_to(outside / "private.json")
    for name in ("environment.json", "views.png"):
        (run / name).unlink()
        (run / name).symlink_to(outside / ("private.json" if name.endswith("json") else "private.png"))
    done = coarsecon("report", run)
    assert done.code == 0, done.err
    page = (run / "report.html").read_text()
    assert "xyzzy" not in page
    assert "87.65" not in page
    assert page.count('<figure class="picture">') == 0
    for link in ("figures/mine.png", "results/mine.json", "environment.json", "views.png"):
        assert f"{run / link}: a symbolic link that leads out of the run; it is not followed" in done.err


@pytest.mark.parametrize("folder", ["figures", "results"])
def test_nor_one_of_a_whole_folder(coarsecon, run, outside, folder):
    (run / folder).symlink_to(outside)
    done = coarsecon("report", run)
    assert done.code == 0, done.err
    assert f"{run / folder}: a symbolic link" in done.err
    page = (run / "report.html").read_text()
    assert "xyzzy" not in page
    assert ">private<" not in page


def test_links_within_the_run_are_followed(coarsecon, run):
    assert coarsecon("tsne", run, "--method", "pca", *QUICK).code == 0
    (run / "figures" / "again.png").symlink_to("pca.png")
    done = coarsecon("report", run)
    assert "symbolic link" not in done.err
    assert ">again<" in (run / "report.html").read_text()


def test_a_model_card_follows_none(coarsecon, run, outside, tmp_path):
    (run / "results").mkdir()
    (run / "results" / "mine.json").symlink_to(outside / "private.json")
    assert coarsecon("export", run, "--to", "hub", "--out", tmp_path / "hub").code == 0
    assert "87.65" not in (tmp_path / "hub" / "README.md").read_text()


def test_an_export_is_not_written_through_one(coarsecon, run, outside):
    (run / "export").symlink_to(outside)
    done = coarsecon("export", run)
    assert done.code == 1
    assert "a symbolic link leads out of the run" in done.err
    assert not (outside / "timm").exists()


@pytest.mark.parametrize("folder", ["features", "results", "figures", "index"])
def test_evaluations_write_through_none(coarsecon, run, outside, folder):
    (run / folder).symlink_to(outside)
    before = sorted(outside.rglob("*"))
    query = run / "query.png"
    Image.new("RGB", (32, 32), "red").save(query)
    for command in (("retrieve", run), ("tsne", run, "--method", "pca"), ("retrieve", run, "--query", query)):
        done = coarsecon(*command, "--json", "-", *QUICK)
        assert done.code == 0, done.err
        assert json.loads(done.out)
    assert sorted(outside.rglob("*")) == before
    assert (outside / "marks.csv").read_text() == "xyzzy"


def test_serve_reads_neither_map_nor_marks_through_one(run, outside):
    from coarsecon.run.folder import RunFolder
    from coarsecon.serve.page import latest_map

    (run / "figures").symlink_to(outside)
    assert latest_map(RunFolder(run)) is None


def test_marks_behind_a_link_are_refused(coarsecon, run, outside):
    pytest.importorskip("starlette")
    (run / "results").symlink_to(outside)
    done = coarsecon("serve", run, "--port", "0", *QUICK)
    assert done.code == 1
    assert "marks.csv: cannot be written (a symbolic link leads out of the run)" in done.err
