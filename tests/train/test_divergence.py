"""The advice about a loss that is not finite depends on when it began."""

import pytest
import torch
from tiny import tiny_settings

from coarsecon.errors import CoarseconError
from coarsecon.train.loop import Loop
from coarsecon.train.pretrain import pretrain
from coarsecon.train.resolve import build_run_spec


@pytest.mark.parametrize(
    ("first", "words"),
    [(1, "nan from the first step, before the learning rate had any effect; check the images"),
     (2, "nan at step 3 and was finite before; lower optimizer.lr")],
)  # fmt: skip
def test_advice_depends_on_whether_the_first_step_was_finite(first, words, tiny_data, tmp_path, monkeypatch):
    step, steps = Loop.train_step, []

    def breaks(self, *args):
        steps.append(step(self, *args))
        loss = float("nan") if len(steps) >= first else 1.0
        return {**steps[-1], "loss": torch.tensor(loss)}

    monkeypatch.setattr(Loop, "train_step", breaks)
    with pytest.raises(CoarseconError, match=words):
        pretrain(build_run_spec(tiny_settings(tiny_data, run={"log_every": 3})), tmp_path / "run")
