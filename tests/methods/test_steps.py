"""Every method's step: its loss is that of its function, gradients reach what is trained, and it learns."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from forms import FAMILY, FORMS, trainer
from tiny import first_batch, tiny_settings
from torch import nn

from coarsecon.data.prepare.dataset import write_dataset
from coarsecon.data.sources import SourceData, SplitData
from coarsecon.errors import InputError
from coarsecon.losses import ascl_loss, class_conditional_infonce, coins_loss, grafit_loss, maskcon_loss, moco_loss
from coarsecon.run.folder import RunFolder
from coarsecon.runtime.distributed import Distributed
from coarsecon.runtime.progress import Reporter
from coarsecon.train.loop import Loop
from coarsecon.train.pretrain import Pretraining, pretrain
from coarsecon.train.resolve import build_run_spec


@pytest.mark.parametrize("name", FAMILY)
def test_the_step_computes_the_published_loss(tiny_data, name):
    made = trainer(tiny_data, name)
    made.method.before_training(made.filling_batches())
    views, labels = first_batch(made)
    method = made.method
    keys, queue_labels = method.queue.keys.clone(), method.queue.labels.clone()
    encoder, projector = method.encoder, method.projector
    method.eval()
    scalars = method.step(views, labels)
    with torch.no_grad():
        features = encoder(views["query"])
        q, k = projector(features), method.twin(views["key"])
        c = method.config
        expected = {
            "maskcon": lambda: maskcon_loss(q, k, labels, keys, queue_labels, w=c.w, t0=c.t0, t=c.t),
            "grafit": lambda: grafit_loss(q, k, labels, keys, queue_labels, w=c.w, t0=c.t0),
            "coins": lambda: coins_loss(q, k, method.classifier(features), labels, keys, w=c.w, t0=c.t0),
            "moco": lambda: moco_loss(q, k, keys, t=c.t0),
            "ascl": lambda: ascl_loss(q, k, keys, t1=c.t0, t2=c.t, num_neighbors=c.neighbors, kind=c.kind),
        }[name]()
    torch.testing.assert_close(scalars["loss"], expected)
    own = (F.normalize(q, dim=1) * F.normalize(k, dim=1)).sum(1).mean()
    torch.testing.assert_close(scalars["positive_similarity"], own)
    others = (F.normalize(q, dim=1) @ keys.T).mean()
    torch.testing.assert_close(scalars["negative_similarity"], others)


@pytest.mark.parametrize("name", FAMILY)
def test_the_queue_is_filled_with_real_keys_before_training(tiny_data, name):
    made = trainer(tiny_data, name)
    queue = made.method.queue
    assert queue.filled == 0
    made.method.before_training(made.filling_batches())
    assert queue.filled == queue.size == 80
    assert (queue.labels >= 0).all()
    torch.testing.assert_close(queue.keys.norm(dim=1), torch.ones(80))


def test_the_enqueue_comes_after_the_step(tiny_data):
    made = trainer(tiny_data, "maskcon")
    views, labels = first_batch(made)
    before = made.method.queue.keys.clone()
    made.method.step(views, labels)
    assert torch.equal(made.method.queue.keys, before)
    made.method.after_step()
    assert torch.equal(made.method.queue.labels[:32], labels)


def test_the_twin_moves_before_its_forward_pass(tiny_data):
    made = trainer(tiny_data, "moco")
    views, labels = first_batch(made)
    with torch.no_grad():
        for parameter in made.method.encoder.parameters():
            parameter.add_(0.1)
    source = next(made.method.encoder.parameters())
    copy = next(made.method.twin.parameters())
    expected = torch.lerp(copy, source, 0.01)
    made.method.step(views, labels)
    torch.testing.assert_close(copy, expected)


@pytest.mark.parametrize("name", FORMS)
def test_gradients_reach_every_trained_parameter_and_no_other(tiny_data, name):
    made = trainer(tiny_data, name)
    views, labels = first_batch(made)
    made.method.step(views, labels)["loss"].backward()
    for label, parameter in made.method.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, label
        assert parameter.requires_grad != label.startswith("twin."), label


@pytest.mark.parametrize("name", FORMS)
def test_the_loss_falls_when_one_batch_is_learned_by_heart(tiny_data, name):
    made = trainer(tiny_data, name, side=24)
    made.method.before_training(made.filling_batches())
    views, labels = first_batch(made)
    losses = [Loop(made).train_step((views, labels), 0.05)["loss"].item() for _ in range(25)]
    assert losses[-1] < losses[0] - 0.1, losses  # soft targets leave their entropy behind


@pytest.mark.parametrize("name", FORMS)
def test_every_method_trains_through_the_loop(tiny_data, tmp_path, name):
    settings = tiny_settings(tiny_data, name.split()[0], schedule={"epochs": 1}, method=FORMS[name])
    run = pretrain(build_run_spec(settings), tmp_path / "run")
    assert run.encoder().exists()
    assert all(torch.isfinite(torch.tensor(row["loss"])) for row in run.metrics() if "loss" in row)


def test_an_unknown_class_count_comes_from_the_labels_learned_from(tiny_data):
    fine = build_run_spec(tiny_settings(tiny_data, "supce", data={"labels": "fine"})).build_method()
    assert fine.classifier.out_features == 16
    assert build_run_spec(tiny_settings(tiny_data, "supce")).build_method().classifier.out_features == 4


@pytest.mark.parametrize("name", ["moco", "ascl", "simclr", "salmask"])
def test_methods_that_look_at_no_label_train_on_images_without(tmp_path, name):
    split = SplitData({"coarse": np.full(64, -1)}, np.random.default_rng(0).integers(0, 256, (64, 3, 32, 32), np.uint8))
    write_dataset(tmp_path / "data", SourceData("unlabelled", 32, {"coarse": ["a", "b"]}, {"train": split}))
    pretrain(build_run_spec(tiny_settings(tmp_path / "data", name, schedule={"epochs": 1})), tmp_path / "run")
    with pytest.raises(InputError, match=r"^data\.labels: no training image of .* has a coarse label"):
        build_run_spec(tiny_settings(tmp_path / "data", "supcon"))


def test_with_split_batch_norm_a_key_does_not_share_its_group_with_those_of_its_query(tiny_data):
    settings = tiny_settings(tiny_data, "moco", backbone={"batch_norm_splits": 4}, run={"precision": "float32"})
    made = Pretraining(build_run_spec(settings), RunFolder(tiny_data / "unused"), Reporter())
    seen = []
    made.method.twin.copies[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    (views, labels) = first_batch(made)
    made.method.step(views, labels)
    assert not torch.equal(seen[0], views["key"])
    assert torch.equal(seen[0].sum((1, 2, 3)).sort().values, views["key"].sum((1, 2, 3)).sort().values)
    made.method.twin.eval()  # without batch statistics, restoring the order is all there is to it
    torch.testing.assert_close(made.method.project_keys(views["key"]), made.method.twin(views["key"]))


def test_the_byol_base_keeps_keys_in_the_groups_of_their_queries(tiny_data):
    method = {"base": "byol", "dim": 16, "hidden": 16}
    settings = tiny_settings(tiny_data, "ascl", method=method, backbone={"batch_norm_splits": 4})
    made = Pretraining(build_run_spec(settings), RunFolder(tiny_data / "unused"), Reporter())
    seen = []
    made.method.twin.copies[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    (views, labels) = first_batch(made)
    made.method.step(views, labels)
    assert torch.equal(seen[0], views["key"])


class Ranks(Distributed):
    """Claims to be one of several ranks."""

    def __init__(self, world_size: int) -> None:
        self.world_size = world_size


@pytest.mark.parametrize(("ranks", "splits"), [(1, 4), (2, 2), (3, 1), (4, 1), (8, 1)])
def test_batch_norm_splits_are_those_of_the_global_batch(tiny_data, ranks, splits):
    ready = build_run_spec(tiny_settings(tiny_data, "moco", backbone={"batch_norm_splits": 4}), Ranks(ranks))
    method = ready.build_method(Ranks(ranks))
    assert {getattr(norm, "splits", 1) for norm in method.modules() if isinstance(norm, nn.BatchNorm2d)} == {splits}
    assert method._shuffles


def test_synchronized_batch_norm_cannot_be_split(tiny_data):
    settings = tiny_settings(tiny_data, "moco", backbone={"batch_norm_splits": 4}, run={"batch_norm": "sync"})
    for ranks in (2, 4):
        with pytest.raises(InputError, match=r"set backbone\.batch_norm_splits to 1"):
            build_run_spec(settings, Ranks(ranks))
    build_run_spec(settings, Ranks(1))


def test_cnce_adds_contrast_inside_the_class_to_cross_entropy(tiny_data):
    made = trainer(tiny_data, "cnce")
    views, labels = first_batch(made)
    method = made.method.eval()
    with torch.no_grad():
        features = [method.encoder(view) for view in views.values()]
        cross_entropy = sum(F.cross_entropy(method.classifier(part), labels) for part in features) / 2
        pairs = torch.stack([F.normalize(part, dim=1) for part in features], dim=1)
        expected = cross_entropy + 0.5 * class_conditional_infonce(pairs, labels, temperature=0.2)
    torch.testing.assert_close(method.step(views, labels)["loss"], expected)
