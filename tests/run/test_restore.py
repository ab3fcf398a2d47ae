"""Heads travel with the encoder: every method is restored with them, and without what only training needs."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from forms import FORMS, trainer
from safetensors.torch import load_file, save_file
from tiny import tiny_settings

from coarsecon.config import to_yaml
from coarsecon.errors import InputError
from coarsecon.methods.salmask import SalMask
from coarsecon.run.folder import RunFolder, open_run
from coarsecon.run.restore import coarse_classes, load_method
from coarsecon.runtime.files import atomic_write
from coarsecon.train.loop import Loop
from coarsecon.train.pretrain import pretrain
from coarsecon.train.resolve import build_run_spec


@pytest.fixture
def saved(tiny_data, tmp_path):
    """`saved(form)`: the method as it left training, and the run it is kept in."""

    def save(form: str):
        made = trainer(tiny_data, form)
        made.run = RunFolder(tmp_path)
        atomic_write(made.run.config_file, to_yaml(made.config))
        Loop(made).save("last")
        return made.method.eval(), made.run

    return save


@pytest.mark.parametrize("form", FORMS)
@torch.no_grad()
def test_every_method_is_restored_with_its_heads_and_without_its_memory(saved, form):
    trained, run = saved(form)
    method = load_method(run)
    assert not any(module.training for module in method.modules())
    images = torch.randn(5, 3, 32, 32)
    features = trained.encoder(images)
    assert torch.equal(method.encoder(images), features)
    projections, logits = trained.project(features), trained.coarse_logits(features)
    for expected, restored in ((projections, method.project(features)), (logits, method.coarse_logits(features))):
        assert (expected is None) == (restored is None)
        assert expected is None or torch.equal(restored, expected)
    assert (projections is None) == (form in ("supce", "cnce"))
    assert (logits is None) == (form.split()[0] not in ("supce", "cnce", "coins", "ancor"))
    buffers = sum(buffer.numel() for name, buffer in method.named_buffers() if name.startswith(("queue", "banks")))
    assert buffers < 100
    assert set(load_file(run.heads())) == {
        name for name in trained.state_dict() if name.startswith(("projector.", "classifier."))
    }


@pytest.mark.parametrize("form", ["supce", "coins", "ancor", "ancor as published", "ancor without mlp"])
@torch.no_grad()
def test_class_weights_are_rows_of_the_classifier_in_the_layer_they_name(saved, form):
    method, _ = saved(form)
    weights, layer = method.class_weights()
    assert layer == ("projector" if form.startswith("ancor") else "backbone")
    features = torch.randn(7, method.encoder.num_features)
    seen = method.project(features) if layer == "projector" else features
    inputs = {"ancor as published": F.relu, "ancor": F.normalize, "ancor without mlp": F.normalize}.get(
        form, lambda x: x
    )
    logits = inputs(seen) @ weights.T
    bias = method.classifier.bias
    torch.testing.assert_close(method.coarse_logits(features), logits if bias is None else logits + bias)


@pytest.mark.parametrize("form", ["maskcon", "simclr", "ancor with fork head"])
def test_without_a_classifier_in_either_layer_there_are_no_class_weights(saved, form):
    assert saved(form)[0].class_weights() is None


def test_a_run_keeps_the_heads_of_both_its_encoders(tiny_data, tmp_path):
    root = pretrain(build_run_spec(tiny_settings(tiny_data, "coins")), tmp_path / "run").root
    run = open_run(root)
    assert (
        coarse_classes(run)
        == coarse_classes(run, "best")
        == build_run_spec(tiny_settings(tiny_data)).dataset.info.levels["coarse"]
    )
    last, best = load_method(run), load_method(run, "best")
    assert torch.equal(last.encoder.conv1[0].weight, load_file(run.encoder())["conv1.0.weight"])
    assert torch.equal(best.encoder.conv1[0].weight, load_file(run.encoder("best"))["conv1.0.weight"])
    assert torch.equal(best.projector[0].weight, load_file(run.heads("best"))["projector.0.weight"])


def test_heads_that_are_missing_broken_or_of_another_method_are_told(saved):
    _, run = saved("coins")
    state = load_file(run.heads())
    save_file({**state, "projector.0.weight": torch.zeros(2, 2)}, run.heads(), metadata={"classes": '["a"]'})
    with pytest.raises(InputError, match="the projector does not fit the method coins"):
        load_method(run)
    run.heads().write_bytes(b"broken")
    with pytest.raises(InputError, match="cannot be read"):
        load_method(run)
    run.heads().unlink()
    with pytest.raises(InputError, match=r"kept no heads .* backbone's features can be evaluated"):
        load_method(run)


def test_no_weights_of_a_saliency_network_are_looked_for():
    settings = SalMask.Config(saliency="resnet18", saliency_weights=Path("gone.safetensors"))
    evaluated = SalMask.for_evaluation(settings)
    assert (evaluated.saliency_pretrained, evaluated.saliency_weights, evaluated.queue_size) == (False, None, 1)
