"""What a run's folder tells of itself."""

import shutil
from pathlib import Path

import pytest
from kills import killed_at_every_change
from safetensors.torch import load_file, save_file
from tiny import tiny_settings

from coarsecon.errors import InputError
from coarsecon.run.folder import RunFolder
from coarsecon.run.log import last_epoch
from coarsecon.run.missing import no_encoder
from coarsecon.runtime.files import atomic_write
from coarsecon.runtime.progress import Reporter
from coarsecon.train.pretrain import pretrain
from coarsecon.train.resolve import build_run_spec


def test_the_last_epoch_is_the_largest_that_a_log_tells():
    assert last_epoch([{"epoch": 1}, {"epoch": 3, "loss": 1.0}, {"epoch": 2}]) == 3
    assert last_epoch([{"loss": 1.0}, {"epoch": "x"}, {"epoch": float("nan")}]) == 0
    assert last_epoch([]) == 0


def test_limited_runs_of_earlier_versions_were_trained_on_their_first_images(tmp_path):
    run = RunFolder(tmp_path)
    for values, draw in (("limit: 40", "first"), ("limit: 40, limit_draw: even", "even"), ("limit: null", "even")):
        run.config_file.write_text(f"data: {{{values}}}")
        assert run.config().data.limit_draw == draw


@pytest.fixture(scope="module")
def unmonitored(tiny_data, tmp_path_factory):
    """A finished run that was trained without monitoring."""
    settings = tiny_settings(tiny_data, run={"monitor_every": 0}, schedule={"epochs": 1, "warmup_epochs": 0})
    return pretrain(build_run_spec(settings), tmp_path_factory.mktemp("runs") / "unmonitored")


@pytest.mark.parametrize("command", ["retrieve", "knn", "localize", "export"])
def test_a_run_without_monitoring_says_why_it_has_no_best_encoder(command, coarsecon, unmonitored):
    more = ["--to", "timm"] if command == "export" else ["--device", "cpu"]
    done = coarsecon(command, unmonitored.root, "--encoder", "best", *more)
    assert done.code == 2
    assert "has no best encoder, because it was trained without monitoring (run.monitor_every=0)" in done.err
    assert "use the checkpoint last" in done.err
    assert "first epoch" not in done.err


def test_other_runs_without_a_best_encoder_say_why(unmonitored, tmp_path):
    copy = RunFolder(Path(shutil.copytree(unmonitored.root, tmp_path / "copy")))
    text = copy.config_file.read_text()
    copy.config_file.write_text(text.replace("monitor_every: 0", "monitor_every: 10"))
    assert "no epoch has been monitored yet (run.monitor_every=10)" in str(no_encoder(copy.encoder("best")))
    copy.checkpoint("last").unlink()
    assert "it was imported" in str(no_encoder(copy.encoder("best")))
    copy.encoder().unlink()
    assert "has the run finished its first epoch?" in str(no_encoder(copy.encoder("best")))


def test_a_run_whose_weights_are_no_numbers_is_not_evaluated(coarsecon, unmonitored, tmp_path):
    copy = RunFolder(Path(shutil.copytree(unmonitored.root, tmp_path / "copy")))
    state = load_file(copy.encoder())
    name = next(name for name in state if name.endswith("bn2.weight"))
    state[name][0] = float("nan")
    save_file(state, copy.encoder())
    done = coarsecon("retrieve", copy.root, "--device", "cpu")
    assert done.code == 2
    assert f"encoder.safetensors: {name} contains NaN (1 of 16 values)" in done.err


@pytest.mark.parametrize(
    "row",
    ["[1]", "null", '"text"', '{"step": -1}', '{"step": Infinity}', '{"step": "3"}', '{"step": 1, "epoch": 1e999}',
     '{"step": ' + "9" * 30 + "}", "[" * 9000, '{"step": 1, "loss": '],
    ids=lambda row: row[:24],
)  # fmt: skip
def test_a_line_of_the_log_that_is_no_row_is_named_with_the_remedy(tmp_path, row):
    run = RunFolder(tmp_path)
    run.metrics_file.write_text(f'{{"step": 1}}\n{row}\n{{"step": 3}}\n')
    with pytest.raises(InputError, match=rf"{run.metrics_file}, line 2: .*; delete that line$"):
        run.metrics()


def test_losses_that_are_not_finite_are_rows_and_a_line_cut_by_a_crash_is_none(tmp_path):
    run = RunFolder(tmp_path)
    run.metrics_file.write_text('{"step": 1, "loss": NaN}\n{"step": 2, "loss": Infinity}\n{"step": 3, "lo')
    assert [row["step"] for row in run.metrics()] == [1, 2]


@pytest.mark.parametrize("content", ["{" * 5000, '{"a":' * 5000 + "1" + "}" * 5000, "[]", "\x00", '{"packages": 3}'])
def test_a_broken_description_of_the_environment_does_not_refuse_a_run(tmp_path, content):
    run = RunFolder(tmp_path)
    run.environment_file.write_text(content)
    run.check_format()


@pytest.mark.parametrize("version", ['"2"', "0", "null", "1.5"])
def test_a_format_version_that_is_no_number_is_refused(tmp_path, version):
    run = RunFolder(tmp_path)
    run.environment_file.write_text(f'{{"format_version": {version}}}')
    with pytest.raises(InputError, match="is no format version"):
        run.check_format()


def store_results(run: RunFolder, content: str) -> None:
    with run.storing_together(Reporter()):
        for path in (run.results / "cluster.json", run.results / "cluster.csv", run.figures / "cluster.png"):
            run.store(path, lambda place: atomic_write(place, content), Reporter())


def test_results_that_belong_together_are_all_old_or_all_new_after_a_kill(tmp_path: Path) -> None:
    run, seen = RunFolder(tmp_path / "run"), set()

    def prepare() -> None:
        shutil.rmtree(run.root, ignore_errors=True)
        store_results(run, "old")

    for change in killed_at_every_change(prepare, lambda: store_results(RunFolder(run.root), "new"), step=3):
        files = [*run.files(run.results, "*"), *run.files(run.figures, "*.png")]
        found = {path.read_text() for path in files if not path.name.startswith(".")}
        assert len(found) == 1, change
        seen |= found
    assert seen == {"old", "new"}
    store_results(run, "newer")
    assert {path.read_text() for path in run.root.rglob("cluster.*")} == {"newer"}
    assert {path.name for path in run.root.iterdir()} == {"results", "figures"}


def test_stored_files_are_listed_once_they_are_in_place(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    given = tmp_path / "given.txt"
    with run.storing_together(Reporter()):
        for place in (None, given):
            run.store(run.results / "a.txt", lambda path: atomic_write(path, "text"), Reporter(), given=place)
        assert not (run.results / "a.txt").exists()
    assert (run.results / "a.txt").read_text() == given.read_text() == "text"
    assert set(run.stored) == {run.results / "a.txt", given}


def test_one_process_trains_a_run_at_a_time(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    message = "run: another process is training this run; wait for it to end, or choose another folder"
    with run.locked():
        with pytest.raises(InputError, match=message), RunFolder(tmp_path / "run").locked():
            pass
        assert run.is_empty()
    with run.locked():
        pass
