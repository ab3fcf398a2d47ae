"""The log: rows survive a cut-off line, and rows behind the last state are dropped on resuming."""

import json

import pytest

from coarsecon.config import RunConfig
from coarsecon.errors import InputError
from coarsecon.run.folder import RunFolder
from coarsecon.train import log


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path)


def test_rows_behind_the_last_state_are_dropped(run):
    run.metrics_file.write_text("".join(f"{json.dumps({'step': step})}\n" for step in (2, 4, 6)) + '{"step": 8, "lo')
    written = log.MetricLog(run, RunConfig(), from_step=4)
    written.write({"step": 6, "loss": 1.0})
    written.close()
    assert run.metrics() == [{"step": 2}, {"step": 4}, {"step": 6, "loss": 1.0}]


def test_rows_are_on_disk_as_soon_as_they_are_written(run):
    written = log.MetricLog(run, RunConfig(), from_step=0)
    written.write({"step": 1})
    assert run.metrics() == [{"step": 1}]
    written.close()


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_missing_logger_tells_how_to_install_it(run, monkeypatch, name):
    import sys

    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match=rf"coarsecon\[{name}\]"):
        log.SINKS[name](run, RunConfig())
