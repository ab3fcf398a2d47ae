"""A broken distribution anywhere on the path is reported, and breaks neither a command nor a library."""

import json
from importlib.metadata import entry_points

import pytest
from launch import python

from coarsecon import registry
from coarsecon.registry.distributions import broken_distributions, entry_points_in

METHOD = b"[coarsecon.methods]\nmine = mine:Mine\n"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a distribution with these entry points on the path; returns the folder of its metadata."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(name, points, *, metadata=None):
        info = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        if metadata is None:
            metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode()
        (info / "METADATA").write_bytes(metadata)
        (info / "entry_points.txt").write_bytes(points)
        return info

    return install


BROKEN = {
    "no equals sign": b"[console_scripts]\nno equals sign\n",
    "in our group": b"[coarsecon.methods]\nmaskcon\n",
    "another encoding": b"[coarsecon.methods]\nk\xe4se = a:b\n",
    "utf-16": "[coarsecon.methods]\na = a:b\n".encode("utf-16"),
}


@pytest.mark.parametrize("points", BROKEN.values(), ids=BROKEN)
def test_a_broken_distribution_is_reported_and_breaks_nothing_else(install, coarsecon, points):
    install("bad-one", points)
    install("good-one", METHOD)
    assert {"maskcon", "mine"} <= {entry.name for entry in registry.entries(registry.METHODS)}
    (problem,) = broken_distributions()
    assert "distribution bad-one 1.0: " in problem
    assert "reinstall or uninstall it" in problem
    for command in ("methods", "datasets"):
        done = coarsecon(command, "--json", "-")
        assert done.code == 0, done.err
        assert f"WARNING: {problem}" in done.err
        assert {"maskcon", "toy"} & {row["name"] for row in json.loads(done.out)}


@pytest.mark.parametrize("points", BROKEN.values(), ids=BROKEN)
def test_other_libraries_skip_it_as_well(install, points):
    install("bad-one", points)
    assert "coarsecon" in {point.name for point in entry_points(group="console_scripts")}


def test_torch_is_imported_beside_a_broken_distribution(install, tmp_path):
    install("bad-one", BROKEN["no equals sign"])
    code = (
        f"import os, sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import subprocess\n"
        "os.environ['PYTHONPATH'] = sys.path[0]\n"
        "done = subprocess.run([sys.executable, '-c', 'import coarsecon, torch; print(torch.__version__)'],\n"
        "                      capture_output=True, text=True)\n"
        "print(done.stdout, done.stderr)"
    )
    done = python("-c", code)
    assert "Error" not in done.out
    assert done.out.strip()


@pytest.mark.parametrize("metadata", [b"", b"\xff\xfe\x00", b"Name: \n"], ids=["empty", "encoding", "nameless"])
def test_a_distribution_with_broken_metadata_has_no_name_and_all_its_entry_points(install, metadata):
    install("half-removed", METHOD, metadata=metadata)
    install("half-removed-too", b"[coarsecon.methods]\nother = mine:Mine\n", metadata=metadata)
    found = {entry.name: entry.distribution for entry in registry.entries(registry.METHODS)}
    assert (found["mine"], found["other"]) == ("?", "?")


def test_a_broken_distribution_without_a_name_is_reported_by_its_folder(install):
    info = install("bad-one", BROKEN["utf-16"], metadata=b"")
    (problem,) = broken_distributions()
    assert f"{info}/entry_points.txt" in problem


def test_of_two_copies_of_a_distribution_the_first_on_the_path_counts(install, tmp_path, monkeypatch):
    install("good-one", METHOD)
    later = tmp_path / "later" / "good_one-2.0.dist-info"
    later.mkdir(parents=True)
    (later / "METADATA").write_text("Metadata-Version: 2.1\nName: Good_One\nVersion: 2.0\n")
    (later / "entry_points.txt").write_bytes(METHOD)
    monkeypatch.syspath_prepend(tmp_path / "later")
    monkeypatch.syspath_prepend(tmp_path)
    found = [owner[1] for owner, point in entry_points_in(registry.METHODS) if point.name == "mine"]
    assert found == ["1.0"]


def test_doctor_reports_broken_distributions_and_clashes_and_tests_the_built_in_method(install, coarsecon):
    install("bad-one", BROKEN["another encoding"])
    install("rival", b"[coarsecon.methods]\nmaskcon = rival:Mine\n")
    done = coarsecon("doctor", "--json", "-")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert all(check["passed"] for check in report["checks"])
    assert len(report["plugins"]) == 2
    assert "distribution bad-one 1.0: " in report["plugins"][0]
    assert "method maskcon: claimed by coarsecon" in report["plugins"][1]
    assert "rival 1.0; uninstall rival" in report["plugins"][1]
    shown = coarsecon("doctor")
    assert "rival" in shown.out
    assert "bad-one" in shown.out
