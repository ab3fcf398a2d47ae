"""`coarsecon quickstart`: from drawing the images to a table, a gallery and a map."""

import json

import pytest

from coarsecon.data.sources import toy


def test_files_of_a_user_in_the_folder_survive(coarsecon, tmp_path):
    for name in ("results.json", "gallery.html", "notes.txt"):
        (tmp_path / name).write_text("mine")
    done = coarsecon("quickstart", "--out", tmp_path)
    assert done.code == 2
    assert "holds other files (gallery.html, notes.txt, results.json); --out names a new folder" in done.err
    assert {path.read_text() for path in tmp_path.iterdir()} == {"mine"}


@pytest.mark.slow
def test_the_quickstart_writes_its_table_gallery_and_map_and_can_be_repeated(coarsecon, tmp_path, monkeypatch):
    monkeypatch.setitem(toy.SOURCE.counts, "train", 800)
    out = tmp_path / "quick"
    done = coarsecon("quickstart", "--out", out, "--epochs", 1)
    assert done.code == 0, done.err
    assert "MoCo: images only" in done.out
    results = json.loads((out / "results.json").read_text())
    assert set(results) == {"maskcon", "moco", "supce"}
    assert results["maskcon"]["fine"]["queries"] == 1000
    for page in ("gallery.html", "map.html"):
        text = (out / page).read_text()
        assert "http://" not in text.replace("http://www.w3.org/", "")
        assert "https://" not in text
    assert (out / "map.png").stat().st_size > 10_000
    again = coarsecon("quickstart", "--out", out, "--epochs", 1)
    assert again.code == 0, again.err
    assert json.loads((out / "results.json").read_text()) == results
    longer = coarsecon("quickstart", "--out", out, "--epochs", 2)
    assert longer.code == 2
    assert "schedule.epochs was 1, now 2" in longer.err
