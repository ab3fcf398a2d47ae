"""ANCOR's heads, banks and settings."""

import pytest
import torch
import torch.nn.functional as F
from tiny import first_batch, tiny_trainer

from coarsecon.errors import InputError
from coarsecon.losses import ancor_loss


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
