"""A classifier on random views against a plain loop; what is trained and what stays as it was."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from coarsecon.data.prepared.store import Split, open_dataset
from coarsecon.errors import CoarseconError, InputError
from coarsecon.nn.encoder import Encoder, load_encoder
from coarsecon.run.folder import open_run
from coarsecon.train import batches, classifier
from coarsecon.train.classifier import FINETUNING, ClassifierSettings, paper_settings, view_probe
from coarsecon.train.linear_probe import PRESETS
from coarsecon.views.geometry import Resize

CPU = torch.device("cpu")
FROZEN = replace(paper_settings("ascl"), lr=0.05, epochs=3, batch_size=20)
TUNED = replace(FINETUNING, epochs=3, batch_size=16)


@pytest.fixture
def encoder(tiny_run) -> Encoder:
    return load_encoder(open_run(tiny_run).encoder())


@pytest.fixture
def splits(tiny_data) -> tuple[Split, Split]:
    dataset = open_dataset(tiny_data)
    return dataset.split("train"), dataset.split("test")


def probe(
    encoder: Encoder, splits: tuple[Split, Split], settings: ClassifierSettings, level: str = "coarse", **options
):
    train, test = splits
    return view_probe(encoder, train, train.labels[level], test, test.labels[level], settings, device=CPU, **options)


def weights(encoder: Encoder) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in encoder.backbone.state_dict().items()}


def test_on_whole_images_a_frozen_backbone_gives_what_a_plain_loop_learns(encoder, splits, monkeypatch) -> None:
    monkeypatch.setattr(classifier, "RandomResizedCrop", lambda **_: Resize())
    found = probe(encoder, splits, FROZEN, seed=5)
    features, judged = (
        torch.cat(
            [
                encoder.features(batch)
                for batch in classifier.ImageLoader(split, CPU).batches([torch.arange(len(split))])
            ]
        )
        for split in splits
    )
    labels, truth = (split.labels["coarse"] for split in splits)
    layer = torch.nn.Linear(features.shape[1], 4)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    accuracies = []
    for epoch in range(3):
        optimizer.param_groups[0]["lr"] = 0.05 * 0.1 ** sum(epoch / 3 >= step for step in (0.6, 0.8))
        for batch in batches.epoch_batches(96, 20, seed=5, epoch=epoch):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(layer(features[batch]), labels[batch]).backward()
            optimizer.step()
        accuracies.append(float((layer(judged).argmax(1) == truth).float().mean()))
    assert found["top1"] == pytest.approx(accuracies[-1])
    assert found["best"]["top1"] == pytest.approx(max(accuracies))
    assert found["best"]["epoch"] == accuracies.index(max(accuracies)) + 1
    assert (found["queries"], found["classes"], found["train_images"]) == (48, 4, 96)


def test_a_frozen_backbone_stays_and_a_tuned_one_moves_slowly(encoder, splits) -> None:
    before = weights(encoder)
    probe(encoder, splits, FROZEN)
    after = weights(encoder)
    assert all(torch.equal(before[name], after[name]) for name in before)
    found = probe(encoder, splits, TUNED)
    tuned = weights(encoder)
    assert all(not torch.equal(before[name], tuned[name]) for name in before if "num_batches" not in name)
    assert not encoder.backbone.training
    assert found["backbone_lr"] == 0.01


def test_fine_tuning_learns_the_labels_it_is_given(encoder, splits) -> None:
    train, _ = splits
    found = probe(encoder, (train, train), replace(TUNED, epochs=10, backbone_lr=0.1))
    assert found["top1"] > 0.5


def test_a_seed_gives_one_result_and_another_seed_another(tiny_run, splits) -> None:
    def trained(seed: int) -> Tensor:
        encoder = load_encoder(open_run(tiny_run).encoder())
        probe(encoder, splits, replace(TUNED, epochs=1), seed=seed)
        return torch.cat([value.flatten().float() for value in encoder.backbone.state_dict().values()])

    first = trained(1)
    assert torch.equal(trained(1), first)
    assert not torch.equal(trained(2), first)


def test_unlabeled_images_are_left_out_and_few_make_one_batch(encoder, splits) -> None:
    train, test = splits
    few = torch.full_like(train.labels["fine"], -1)
    few[:7] = train.labels["fine"][:7]
    found = view_probe(encoder, train, few, test, test.labels["fine"], FROZEN, device=CPU)
    assert (found["train_images"], found["batch_size"]) == (7, 7)
    with pytest.raises(InputError, match="no training image"):
        view_probe(encoder, train, torch.full_like(few, -1), test, test.labels["fine"], FROZEN, device=CPU)


def test_a_diverging_rate_is_told(encoder, splits) -> None:
    with pytest.raises(CoarseconError, match="lower the learning rate"):
        probe(encoder, splits, replace(TUNED, lr=1e30, backbone_lr=1e30))


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_train_as_their_papers_do(preset: str) -> None:
    settings = paper_settings(preset)
    assert (settings.backbone_lr, settings.weight_decay, settings.epochs) == (0, 0, 100)
    assert settings.scale == ((0.2, 1.0) if preset == "supcon" else (0.08, 1.0))
    assert settings.nesterov == (preset == "ascl")
