"""`coarsecon export` from the command line."""

from coarsecon import registry

EXPORTER = '''
from pydantic import Field
from coarsecon.exporters import Exporter, ExporterConfig
class Mine(Exporter):
    """Words."""
    class Config(ExporterConfig):
        times: int = Field(1, ge=1, description="Number of words.")
    def export(self, run, folder, config):
        (folder / "words.txt").write_text(" ".join([run.spec.checkpoint] * config.times))
        return ["written to FOLDER"]
'''


def test_it_says_what_was_written_and_how_it_loads(coarsecon, tiny_run, tmp_path):
    done = coarsecon("export", tiny_run, "--out", tmp_path / "timm")
    assert done.code == 0, done.err
    assert f"local-dir:{tmp_path / 'timm'}" in done.err
    assert f"wrote {tmp_path / 'timm'}" in done.err
    assert {path.name for path in (tmp_path / "timm").iterdir()} == {
        "config.json", "encoder.json", "encoder.safetensors", "export.json", "model.py",
    }  # fmt: skip


def test_every_exporter_is_offered_and_its_own_options_appear_with_it(coarsecon):
    shown = " ".join(coarsecon("export", "--help").out.replace("│", "").split())
    for entry in registry.entries(registry.EXPORTERS):
        assert f"{entry.name}: {entry.describe().summary.rstrip('.')}".replace("`", "") in shown
    assert "--push" not in shown
    assert "--format" not in shown
    assert "--push" in coarsecon("export", "--to", "hub", "--help").out
    assert "--push" in coarsecon("export", "--to=hub", "--help").out


def test_the_former_names_of_options_work_and_warn(coarsecon, tiny_run, tmp_path):
    done = coarsecon("export", tiny_run, "--format", "torchvision", "--encoder", "best", "--out", tmp_path / "out")
    assert "--format is now called --to" in done.err
    assert "--encoder is now called --checkpoint" in done.err


def test_an_exporter_of_another_package_is_used_with_its_options(install_plugin, coarsecon, tiny_run, tmp_path):
    install_plugin("their-exporter", "words", EXPORTER, group=registry.EXPORTERS)
    assert "--times" in coarsecon("export", "--to", "words", "--help").out
    done = coarsecon("export", tiny_run, "--to", "words", "--times", 2, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert (tmp_path / "out" / "words.txt").read_text() == "last last"
    assert f"written to {tmp_path / 'out'}" in done.err
    done = coarsecon("export", tiny_run, "--to", "words", "--times", 0)
    assert done.code == 2
    assert "--times" in done.err


def test_mistakes_are_told_in_a_line(coarsecon, tiny_run, tmp_path):
    done = coarsecon("export", tmp_path, "--to", "timm")
    assert done.code == 2
    assert "not a run folder" in done.err
    done = coarsecon("export", tiny_run, "--push", "me/encoder")
    assert done.code == 2
    assert "No such option: --push" in done.err
    done = coarsecon("export", tiny_run, "--to", "tim")
    assert done.code == 2
    assert "exporter 'tim': not found; did you mean timm?" in done.err
    done = coarsecon("export", tiny_run, "--to", "torchvision", "--out", tmp_path / "out")
    assert done.code == 2
    assert "use timm or onnx" in done.err
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_told_in_a_line_and_leaves_nothing(coarsecon, tiny_run, small_disk):
    (small_disk / "ballast").write_bytes(bytes(500_000))
    done = coarsecon("export", tiny_run, "--to", "timm", "--out", small_disk / "timm")
    assert done.code == 1
    assert done.err.startswith("error: No space left on device: free space")
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]
