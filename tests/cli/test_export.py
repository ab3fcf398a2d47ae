"""`coarsecon export` from the command line."""

import typing

from coarsecon.cli.export import Format


def test_it_says_what_was_written_and_how_it_loads(coarsecon, tiny_run, tmp_path):
    done = coarsecon("export", tiny_run, "--out", tmp_path / "timm")
    assert done.code == 0, done.err
    assert f"local-dir:{tmp_path / 'timm'}" in done.err
    assert f"wrote {tmp_path / 'timm'}" in done.err
    assert {path.name for path in (tmp_path / "timm").iterdir()} == {
        "config.json", "encoder.json", "encoder.safetensors", "export.json", "model.py",
    }  # fmt: skip


def test_every_format_of_the_library_is_offered():
    from coarsecon.exporters import FORMATS

    assert set(typing.get_args(Format)) == set(FORMATS)


def test_mistakes_are_told_in_a_line(coarsecon, tiny_run, tmp_path):
    done = coarsecon("export", tmp_path, "--format", "timm")
    assert done.code == 2
    assert "not a run folder" in done.err
    done = coarsecon("export", tiny_run, "--push", "me/encoder")
    assert done.code == 2
    assert "--format hub" in done.err
    done = coarsecon("export", tiny_run, "--format", "torchvision", "--out", tmp_path / "out")
    assert done.code == 2
    assert "use timm or onnx" in done.err
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_told_in_a_line_and_leaves_nothing(coarsecon, tiny_run, small_disk):
    (small_disk / "ballast").write_bytes(bytes(500_000))
    done = coarsecon("export", tiny_run, "--format", "timm", "--out", small_disk / "timm")
    assert done.code == 1
    assert done.err.startswith("error: No space left on device: make room")
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]
