"""Gradient accumulation: parts of a batch give the gradient of the complete batch if the loss is a mean."""

import pytest
import torch
from tiny import first_batch, tiny_settings, tiny_trainer

from coarsecon.errors import InputError
from coarsecon.run.folder import RunFolder
from coarsecon.runtime.progress import Reporter
from coarsecon.train.loop import Loop
from coarsecon.train.pretrain import Pretraining, pretrain
from coarsecon.train.resolve import build_run_spec


def stepped(tiny_data, name: str, parts: int) -> tuple[dict, dict]:
    """Gradients and state after two steps without batch statistics."""
    trainer = tiny_trainer(tiny_data, name)
    trainer.config.run.accumulate = parts
    trainer.method.eval()  # batch norm has the statistics of a part in training
    batch = first_batch(trainer)
    for _ in range(2):
        Loop(trainer).train_step(batch, 0.01)
    gradients = {key: p.grad.clone() for key, p in trainer.method.named_parameters() if p.grad is not None}
    return gradients, trainer.method.state_dict()


@pytest.mark.parametrize("name", ["supce", "moco", "maskcon", "ancor"])
def test_parts_give_the_step_of_the_complete_batch(name, tiny_data):
    (expected, state), (gradients, in_parts) = (stepped(tiny_data, name, parts) for parts in (1, 4))
    for found, wanted in ((gradients, expected), (in_parts, state)):
        assert found.keys() == wanted.keys()
        for key, value in wanted.items():
            torch.testing.assert_close(found[key], value, rtol=1e-4, atol=1e-6, msg=key)


class Lines(Reporter):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, message: str) -> None:
        self.lines.append(message)


@pytest.mark.parametrize(("name", "warns"), [("supcon", True), ("maskcon", False)])
def test_methods_that_compare_the_images_of_a_batch_warn_once(name, warns, tiny_data, tmp_path):
    lines = Lines()
    settings = tiny_settings(tiny_data, name, run={"accumulate": 4}, schedule={"epochs": 1, "warmup_epochs": 0})
    pretrain(build_run_spec(settings), tmp_path / "run", reporter=lines)
    found = [line for line in lines.lines if "run.accumulate=4" in line]
    assert len(found) == warns
    assert all(line.startswith("Warning: supcon compares the images of a batch") for line in found)


def test_parts_of_the_ascl_predictor_are_not_those_of_its_batch(tiny_data):
    settings = tiny_settings(tiny_data, "ascl", method={"base": "byol"})
    assert not Pretraining(build_run_spec(settings), RunFolder(tiny_data / "unused"), Reporter()).method.mean_loss


@pytest.mark.parametrize("parts", [5, 32])
def test_a_batch_that_cannot_be_divided_is_refused(parts, tiny_data, tmp_path):
    spec = build_run_spec(tiny_settings(tiny_data, run={"accumulate": parts}))
    with pytest.raises(InputError, match=rf"run\.batch_size: 32 must be a multiple of run\.accumulate \({parts}\)"):
        pretrain(spec, tmp_path / "run")
