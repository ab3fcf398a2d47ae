"""ANCOR's heads, banks and settings."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from tiny import first_batch, tiny_trainer
from torch import nn

from coarsecon.errors import InputError
from coarsecon.losses import ancor_loss
from coarsecon.methods import Setup
from coarsecon.methods.ancor import ANCOR


def made(tiny_data, **settings):
    return tiny_trainer(tiny_data, "ancor", **{"queue_size": 20, **settings})


def test_the_papers_classifier_is_linear_without_bias_on_the_unit_norm_embedding(tiny_data):
    method = made(tiny_data).method
    assert method.classifier.bias is None
    embedding = torch.randn(5, 16)
    expected = F.normalize(embedding, dim=1) @ method.classifier.weight.T
    torch.testing.assert_close(method.class_logits(torch.empty(0), embedding), expected)


def test_the_published_codes_classifier_has_a_bias_and_follows_a_relu(tiny_data):
    method = made(tiny_data, classifier="relu").method
    embedding = torch.randn(5, 16)
    expected = embedding.relu() @ method.classifier.weight.T + method.classifier.bias
    torch.testing.assert_close(method.class_logits(torch.empty(0), embedding), expected)


def test_the_fork_head_classifies_what_the_embedding_is_made_from(tiny_data):
    method = made(tiny_data, head="fork", classifier="relu").method
    features = torch.randn(5, 16)
    hidden = method.projector[:-1](features)
    torch.testing.assert_close(method.class_logits(features, torch.empty(0)), method.classifier(hidden.relu()))


def test_the_hidden_layer_has_the_width_it_is_told(tiny_data):
    method = made(tiny_data, head="fork", hidden=24).method
    assert method.projector[0].out_features == method.classifier.in_features == 24


KINDS = ("cst_by_class", "cst_all_by_class", "cst_all")


@pytest.mark.parametrize(("kind", "metric"), list(product(KINDS, ("angular", "norm"))))
@pytest.mark.parametrize("classifier", ["unit", "relu"])
@pytest.mark.parametrize("mlp", [True, False])
@pytest.mark.parametrize("head", ["seq", "fork"])
def test_every_form_is_its_equation_or_refused(head, mlp, classifier, kind, metric):
    form = {"head": head, "mlp": mlp, "classifier": classifier, "kind": kind, "metric": metric}
    config = ANCOR.Config(**form, dim=6, hidden=7, queue_size=9)
    size = {"image_size": 32, "images": 1000, "classes": 3}
    if metric == "angular" and (head == "fork" or kind == "cst_all"):
        with pytest.raises(InputError, match=r"method\.metric: angular needs"):
            ANCOR.resolve(config, **size)
        return
    setup = Setup(encoder=nn.Identity(), feature_dim=5, num_classes=3, image_size=32, mean=(0.5,) * 3, std=(0.2,) * 3)
    method = ANCOR(ANCOR.resolve(config, **size), setup)
    features, k, labels = torch.randn(8, 5), torch.randn(8, 6), torch.randint(3, (8,))
    q = method.projector(features)

    hidden = method.projector[0](features).relu() if mlp else features
    inputs = q if head == "seq" else hidden
    inputs = F.normalize(inputs, dim=1) if classifier == "unit" else inputs.relu()
    assert (method.classifier.bias is None) == (classifier == "unit")
    logits = inputs @ method.classifier.weight.T + (0 if classifier == "unit" else method.classifier.bias)
    memory = method.queue.keys if kind == "cst_all" else method.banks.keys
    assert memory.shape == ((9, 6) if kind == "cst_all" else (3, 9, 6))
    contrast = ancor_loss(q, k, labels, method.classifier.weight, memory, t=0.2, kind=kind, metric=metric)
    expected = F.cross_entropy(logits, labels) + contrast

    torch.testing.assert_close(method.loss(q, k, features, labels), expected)
    (of_loss,) = torch.autograd.grad(method.loss(q, k, features, labels), method.classifier.weight, retain_graph=True)
    (of_classification,) = torch.autograd.grad(F.cross_entropy(logits, labels), method.classifier.weight)
    torch.testing.assert_close(of_loss, of_classification)


def test_the_step_is_cross_entropy_plus_angular_contrast_with_the_banks_of_before(tiny_data):
    work = made(tiny_data)
    method = work.method
    method.before_training(work.filling_batches())
    assert method.banks.written.tolist() == [20] * 4
    views, labels = first_batch(work)
    method.eval()
    banks = method.banks.keys.clone()
    scalars = method.step(views, labels)
    with torch.no_grad():
        q, k = method.projector(method.encoder(views["query"])), method.twin(views["key"])
        contrast = ancor_loss(q, k, labels, method.classifier.weight, banks, t=0.2)
        expected = F.cross_entropy(method.class_logits(q, q), labels) + contrast
    torch.testing.assert_close(scalars["loss"], expected)
    assert torch.equal(method.banks.keys, banks)
    method.after_step()
    newest = k[labels == 2][-1]
    assert (method.banks.keys[2] - newest).norm(dim=1).min() < 1e-5  # kept raw, in the bank of its class


def test_the_metric_is_angular_where_classes_have_directions_in_the_embeddings_space(tiny_data):
    assert made(tiny_data).method.config.metric == "angular"
    assert made(tiny_data, head="fork").method.config.metric == "norm"
    assert made(tiny_data, kind="cst_all").method.config.metric == "norm"
    for settings in ({"head": "fork"}, {"kind": "cst_all"}):
        with pytest.raises(InputError, match=r"method\.metric: angular needs"):
            made(tiny_data, metric="angular", **settings)


def test_a_bank_holds_half_a_class_by_default(tiny_data):
    assert made(tiny_data, queue_size=None).method.banks.size == 96 // 4 // 2
