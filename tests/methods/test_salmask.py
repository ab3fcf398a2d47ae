"""Saliency-masked contrast: what its encoders see, what it compares, and that it trains on both bases."""

import json

import pytest
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from tiny import tiny_settings
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from coarsecon.data.prepared.loader import ImageLoader
from coarsecon.errors import InputError
from coarsecon.losses import moco_loss
from coarsecon.losses.masked_simclr import masked_simclr_loss
from coarsecon.methods import salmask
from coarsecon.methods.salmask import SalMask
from coarsecon.nn.encoder import load_encoder
from coarsecon.run.features import FeatureStore
from coarsecon.run.folder import RunFolder
from coarsecon.runtime import seeds
from coarsecon.runtime.progress import Reporter
from coarsecon.train import batches
from coarsecon.train.checkpoint import load_checkpoint
from coarsecon.train.loop import Loop
from coarsecon.train.pretrain import Pretraining, pretrain
from coarsecon.train.resolve import build_run_spec
from coarsecon.train.schedule import learning_rate
from coarsecon.train.stopping import InterruptedRunError, StopRequest
from coarsecon.views.batch import ImageBatch
from coarsecon.views.blur import gaussian_blur, high_pass
from coarsecon.views.presets import make_view

BASES = ("moco", "simclr")
STRATEGIES = ("hp", "blur", "mean")
OUTSIDE = {"saliency": "resnet10t", "saliency_pretrained": False}


def planned(tiny_data, **method):
    return build_run_spec(tiny_settings(tiny_data, "salmask", method=method, run={"precision": "float32"}))


def trainer(tiny_data, **method) -> Pretraining:
    return Pretraining(planned(tiny_data, **method), RunFolder(tiny_data / "unused"), Reporter())


def first_batch(made: Pretraining):
    order = batches.epoch_batches(96, 32, seed=0, epoch=0)[:1]
    return next(made.source.draw(order, seeds.VIEWS, 0))


def masked(made: Pretraining, views: dict[str, Tensor], seed: int = 0) -> salmask.Masked:
    torch.manual_seed(seed)
    return made.method.mask(views)


def test_the_defaults_are_the_papers(tiny_data):
    run = planned(tiny_data, dim=128)
    config = run.method_settings
    assert (run.config.optimizer.lr, run.config.optimizer.weight_decay) == (0.015, 1e-4)
    rates = [learning_rate(3 * e, base=1, schedule=run.config.schedule, steps_per_epoch=3) for e in range(2)]
    assert rates == pytest.approx([1, 0.5])
    assert (config.base, config.strategy, config.saliency) == ("moco", "hp", "momentum")
    assert (config.t0, config.momentum, config.dim, config.alpha, config.hard_negatives) == (0.2, 0.999, 128, 1.0, 1)
    assert SalMask.Config().dim == 128
    assert config.query_view == config.key_view == "simclr-blur"
    assert config.queue_size == 80
    assert SalMask.resolve(SalMask.Config(), image_size=224, images=10**6, classes=2).queue_size == 65536
    named = planned(tiny_data, query_view="weak").method_settings
    assert (named.query_view, named.key_view) == ("weak", "simclr-blur")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_query_is_masked_lightly_the_negative_heavily_and_the_key_not_at_all(tiny_data, strategy):
    made = trainer(tiny_data, strategy=strategy, hard_negatives=2)
    views, _ = first_batch(made)
    expected = {name: high_pass(view) if strategy == "hp" else view for name, view in views.items()}
    query, key, negatives = masked(made, views)
    assert negatives.shape == (32, 2, 3, 32, 32)
    torch.testing.assert_close(key, expected["key"])
    changed = (query != expected["query"]).float().mean((1, 2, 3))
    lost = (negatives != key[:, None]).float().mean((2, 3, 4))
    assert changed.max() <= 0.3
    assert 0.05 < changed.mean() < 0.25
    assert lost.max() <= 0.7
    assert 0.15 < lost.mean() < 0.6
    fill = {"blur": lambda: gaussian_blur(key, torch.full((32,), 10.0), 31), "mean": lambda: key.mean((2, 3), True)}
    if strategy in fill:
        torch.testing.assert_close(negatives[:, 0], torch.where(negatives[:, 0] == key, key, fill[strategy]()))


def test_every_query_gets_negatives_of_its_own_image_and_no_two_are_alike(tiny_data):
    made = trainer(tiny_data, strategy="mean", hard_negatives=3)
    _, key, negatives = masked(made, first_batch(made)[0])
    unchanged = (negatives[:, None] == key[None, :, None]).float().mean((3, 4, 5))  # [image, other image, m]
    assert torch.equal(unchanged.mean(2).argmax(1), torch.arange(32))
    alike = (negatives.flatten(0, 1)[:, None] == negatives.flatten(0, 1)[None]).flatten(2).all(2)
    assert alike.sum() <= 96 + 8  # of 16 patches few can be foreground, and then two draws may agree


def test_masks_follow_the_global_random_state_alone(tiny_data):
    made = trainer(tiny_data)
    views, _ = first_batch(made)
    first, again, other = (masked(made, views, seed) for seed in (1, 1, 2))
    assert torch.equal(first.query, again.query)
    assert torch.equal(first.negatives, again.negatives)
    assert not torch.equal(first.query, other.query)


class Calls(TorchDispatchMode):
    """Counts what torch is asked to compute."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("saliency", [{}, OUTSIDE])
def test_a_batch_is_masked_as_a_whole_and_not_image_by_image(tiny_data, strategy, saliency):
    made = trainer(tiny_data, strategy=strategy, hard_negatives=2, **saliency)
    views, _ = first_batch(made)
    counts = []
    for images in (3, 32):
        with Calls() as calls:
            made.method.mask({name: view[:images] for name, view in views.items()})
        counts.append(calls.count)
    assert counts[0] == counts[1] > 50


class FindsSides(nn.Module):
    """A network that finds the right salient in what it sees first, then the left; it keeps what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward_features(self, images: Tensor) -> Tensor:
        salient = torch.tensor([1.0, 1.0, 0.0, 0.0] if self.seen else [0.0, 0.0, 1.0, 1.0])
        self.seen.append(images)
        return salient.expand(len(images), 1, 4, 4)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("outside", [False, True])
def test_negatives_lose_what_the_network_finds_salient_in_the_key_view(tiny_data, strategy, outside):
    made = trainer(tiny_data, strategy=strategy, **(OUTSIDE if outside else {}))
    network = FindsSides()
    if outside:
        made.method.extractor = network
    else:
        made.method.twin.copies[0] = network
    views, _ = first_batch(made)
    _, key, negatives = masked(made, views)
    lost = (negatives[:, 0] != key).any(1)
    grids = lost[:, :, 16:].sum((1, 2)) == 0  # a window of hp's focal masks is wider than half the image
    assert grids.float().mean() > (0.6 if strategy == "hp" else 0.99)
    assert lost[grids][:, :, :16].float().mean() > 0.3
    seen = {"query": network.seen[0], "key": network.seen[1]}
    for name, view in views.items():
        expected = high_pass(view) if strategy == "hp" and not outside else view
        expected = F.interpolate(expected, (128, 128), mode="bilinear") if outside else expected
        torch.testing.assert_close(seen[name], expected)


def with_weights(tiny_data, folder, card: bool, **method) -> Pretraining:
    """A trainer whose saliency network has weights, with a card of other statistics than timm's if asked."""
    file = folder / "saliency.safetensors"
    save_file(timm.create_model("resnet10t", num_classes=0).state_dict(), file)
    if card:
        image = {"size": 64, "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
        file.with_suffix(".json").write_text(json.dumps({"backbone": {"name": "resnet10t"}, "input": image}))
    return trainer(tiny_data, strategy="mean", saliency="resnet10t", saliency_weights=str(file), **method)


@pytest.mark.parametrize("card", [False, True])
def test_the_saliency_network_sees_images_with_the_statistics_of_its_weights(tiny_data, tmp_path, card):
    made = with_weights(tiny_data, tmp_path, card)
    made.method.extractor = network = FindsSides()
    views, _ = first_batch(made)
    masked(made, views)
    image, published = made.spec.card.input, timm.models.get_pretrained_cfg("resnet10t")
    mean, std = ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6]) if card else (published.mean, published.std)
    assert image.mean != tuple(mean)
    pixels = views["query"] * channels(image.std) + channels(image.mean)
    expected = F.interpolate((pixels - channels(mean)) / channels(std), (128, 128), mode="bilinear")
    torch.testing.assert_close(network.seen[0], expected, rtol=1e-4, atol=1e-5)


def channels(values) -> Tensor:
    return torch.tensor(values)[:, None, None]


def test_a_resumed_run_keeps_the_statistics_of_its_saliency_network(tiny_data, tmp_path):
    made = with_weights(tiny_data, tmp_path, card=True)
    state = made.method.state_dict()
    resumed = made.spec.restore(None).build_method()
    assert torch.equal(resumed.extractor_input.scale, torch.ones(3, 1, 1))
    resumed.load_state_dict(state)
    assert torch.equal(resumed.extractor_input.scale, made.method.extractor_input.scale)
    assert torch.equal(resumed.extractor_input.shift, made.method.extractor_input.shift)


def test_a_state_of_an_earlier_version_keeps_the_statistics_of_the_run(tiny_data, tmp_path):
    made = with_weights(tiny_data, tmp_path, card=True)
    state = {name: value for name, value in made.method.state_dict().items() if "extractor_input" not in name}
    resumed = made.spec.restore(None).build_method()
    resumed.load_state_dict(state)
    images = torch.randn(2, 3, 8, 8)
    assert torch.equal(resumed.extractor_input(images), images)


@pytest.mark.parametrize("base", BASES)
def test_the_step_computes_its_loss_of_the_masked_views(tiny_data, base):
    made = trainer(tiny_data, base=base, hard_negatives=2, alpha=1.5)
    made.method.before_training(made.filling_batches())
    views, labels = first_batch(made)
    method = made.method.eval()
    seen = masked(made, views)
    torch.manual_seed(0)
    scalars = method.step(views, labels)
    with torch.no_grad():
        project = method.twin if base == "moco" else lambda images: method.projector(method.encoder(images))
        q, k = method.projector(method.encoder(seen.query)), project(seen.key)
        hard = torch.stack([project(negative) for negative in seen.negatives.unbind(1)], 1)
        if base == "moco":
            expected = moco_loss(q, k, method.queue.keys, t=0.2, hard_negatives=hard, alpha=1.5)
        else:
            expected = masked_simclr_loss(q, k, hard, t=0.2, alpha=1.5)
    torch.testing.assert_close(scalars["loss"], expected)
    own = (F.normalize(q, dim=1) * F.normalize(k, dim=1)).sum(1).mean()
    torch.testing.assert_close(scalars["positive_similarity"], own)
    near = (F.normalize(q, dim=1)[:, None] * F.normalize(hard, dim=2)).sum(2).mean()
    torch.testing.assert_close(scalars["hard_similarity"], near)


def test_the_queue_holds_keys_of_filtered_views(tiny_data):
    made = trainer(tiny_data)
    made.method.eval()
    filling = list(made.filling_batches())
    made.method.before_training(iter(filling))
    expected = F.normalize(made.method.twin(high_pass(filling[0][0]["key"])), dim=1)
    torch.testing.assert_close(made.method.queue.keys[16:32], expected[16:])  # the third batch wrapped over 16
    views, labels = first_batch(made)
    made.method.step(views, labels)
    made.method.after_step()
    torch.testing.assert_close(
        made.method.queue.keys[16:48], F.normalize(made.method.twin(high_pass(views["key"])), dim=1)
    )


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("saliency", [{}, OUTSIDE])
def test_gradients_reach_the_encoder_and_no_network_that_tells_saliency(tiny_data, base, saliency):
    made = trainer(tiny_data, base=base, **saliency)
    views, labels = first_batch(made)
    scalars = made.method.step(views, labels)
    assert [name for name, value in scalars.items() if value.requires_grad] == ["loss"]
    scalars["loss"].backward()
    for label, parameter in made.method.named_parameters():
        trained = label.startswith(("encoder.", "projector."))
        assert parameter.requires_grad == trained, label
        assert (parameter.grad is not None) == trained, label
    trained = sum(parameter.requires_grad for parameter in made.method.parameters())
    assert len(list(made.method.twin.parameters())) == {
        ("moco", 0): trained, ("moco", 2): trained,
        ("simclr", 0): len(list(made.method.encoder.parameters())), ("simclr", 2): 0,
    }[base, len(saliency)]  # fmt: skip


@pytest.mark.parametrize("base", BASES)
def test_the_networks_that_tell_saliency_learn_nothing_from_telling(tiny_data, base):
    made = trainer(tiny_data, base=base, **OUTSIDE)
    views, _ = first_batch(made)
    before = {name: value.clone() for name, value in made.method.state_dict().items()}
    made.method.shown(views)
    trainer_of_own = trainer(tiny_data, base=base)
    own = {name: value.clone() for name, value in trainer_of_own.method.state_dict().items()}
    trainer_of_own.method.shown(views)
    for state, method in ((before, made.method), (own, trainer_of_own.method)):
        for name, value in method.state_dict().items():
            assert torch.equal(value, state[name]), name
    assert made.method.training


def test_on_the_simclr_base_the_twin_of_the_encoder_moves_with_it(tiny_data):
    made = trainer(tiny_data, base="simclr", momentum=0.9)
    views, labels = first_batch(made)
    with torch.no_grad():
        for parameter in made.method.encoder.parameters():
            parameter.add_(0.1)
    source, copy = next(made.method.encoder.parameters()), next(made.method.twin.parameters())
    expected = torch.lerp(copy, source, 0.1)
    made.method.step(views, labels)
    torch.testing.assert_close(copy, expected)


def test_a_network_that_cannot_tell_is_refused_before_training(tiny_data):
    with pytest.raises(InputError, match="no model called"):
        planned(tiny_data, saliency="resnet_18", saliency_pretrained=False).build_method()
    with pytest.raises(InputError, match="has tokens"):
        planned(tiny_data, saliency="vit_tiny_patch16_224", saliency_pretrained=False).build_method()
    coarse = tiny_settings(tiny_data, "salmask", backbone={"stem": "standard"})
    with pytest.raises(InputError, match="single cell"):
        build_run_spec(coarse).build_method()


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_loss_falls_when_one_batch_is_learned_by_heart(tiny_data, base, strategy):
    made = trainer(tiny_data, base=base, strategy=strategy)
    made.method.before_training(made.filling_batches())
    views, labels = first_batch(made)
    losses = [Loop(made).train_step((views, labels), 0.1)["loss"].item() for _ in range(30)]
    assert sum(losses[-5:]) < 0.97 * sum(losses[:5]), losses


@pytest.mark.parametrize(
    ("base", "strategy", "saliency"), [("moco", "hp", {}), ("simclr", "hp", {}), ("moco", "blur", OUTSIDE)]
)
def test_it_trains_through_the_loop_and_the_encoder_remembers_its_filter(tiny_data, tmp_path, base, strategy, saliency):
    prepared = planned(tiny_data, base=base, strategy=strategy, **saliency)
    run = pretrain(prepared, tmp_path / "run")
    trained = [row for row in run.metrics() if "loss" in row]
    assert trained[-1]["epoch"] == 2
    assert all(torch.isfinite(torch.tensor(row["loss"])) for row in trained)
    assert all("hard_similarity" in row for row in trained)
    assert all(("queue_fill" in row) == (base == "moco") for row in trained)
    assert run.views_picture.exists()

    card = json.loads(run.encoder().with_suffix(".json").read_text())
    assert card["input"]["filter"] == ("high-pass" if strategy == "hp" else "none")
    encoder = load_encoder(run.encoder())
    batch = ImageBatch.full(torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8))
    images = make_view("test", size=32, mean=card["input"]["mean"], std=card["input"]["std"])(batch, None)
    with torch.no_grad():
        expected = encoder.backbone(high_pass(images) if strategy == "hp" else images)
    torch.testing.assert_close(encoder.embed(batch), F.normalize(expected, dim=1), rtol=1e-4, atol=1e-5)

    # What evaluations and searches see is filtered too, from the dataset and from files alike.
    split = prepared.dataset.split("test")
    batch = next(ImageLoader(split, torch.device("cpu"), 0).batches([torch.arange(3)]))
    files = [tmp_path / f"{i}.png" for i in range(3)]
    for i, file in enumerate(files):
        Image.fromarray(split.image(i)).save(file)
    expected = encoder.embed(batch)
    features = FeatureStore(run)
    for seen in (features.split(prepared.dataset, "test")[:3], features.files(files)):
        torch.testing.assert_close(seen, expected, rtol=1e-4, atol=1e-5)


def test_masks_say_nothing_of_the_crops_drawn_from_the_same_seed(tiny_data):
    """The loop seeds the views' generator and the global one from the same place of the run."""
    made = trainer(tiny_data, strategy="mean")
    drawn, crops, pattern = [], [], torch.linspace(-1, 1, 32)
    for step in range(60):
        generator = seeds.step_generator(0, seeds.VIEWS, step, 0, torch.device("cpu"))
        crops.append(torch.empty(32).uniform_(generator=generator))
        query, key, _ = made.method.mask(dict.fromkeys(("query", "key"), torch.ones(32, 3, 32, 32) * pattern))
        drawn.append((query != key).float().mean((1, 2, 3)))
    pairs = torch.stack([torch.cat(drawn), torch.cat(crops)])
    assert torch.corrcoef(pairs)[0, 1].abs() < 0.1


def test_the_picture_shows_what_the_encoders_see(tiny_data):
    made = trainer(tiny_data, hard_negatives=2)
    views, _ = first_batch(made)
    torch.manual_seed(0)
    shown = made.method.shown(views)
    seen = masked(made, views)
    assert list(shown) == ["query", "key", "negative"]
    for name, images in zip(shown, (seen.query, seen.key, seen.negatives[:, 0]), strict=True):
        assert torch.equal(shown[name], images)


def test_a_resumed_run_draws_the_masks_it_would_have_drawn(tiny_data, tmp_path):
    straight = pretrain(planned(tiny_data), tmp_path / "straight")
    broken = tmp_path / "broken"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StopRequest, "__enter__", lambda self: vars(self).update(requested=True) or self)
        with pytest.raises(InterruptedRunError, match="step 1"):
            pretrain(planned(tiny_data), broken)
    resumed = pretrain(planned(tiny_data), broken, resume=True)
    states = [load_checkpoint(run.checkpoint("last"))["method"] for run in (straight, resumed)]
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


@pytest.mark.parametrize("base", BASES)
def test_every_set_of_hard_negatives_has_batch_statistics_of_its_own(tiny_data, base):
    made = trainer(tiny_data, base=base, hard_negatives=3)
    made.method.before_training(made.filling_batches())
    network = made.method.twin.copies[0] if base == "moco" else made.method.encoder
    sizes: list[int] = []
    network.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    made.method.step(*first_batch(made))
    assert sizes == [32] * (4 if base == "moco" else 5)
