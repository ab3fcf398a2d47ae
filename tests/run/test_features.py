"""Features: unit-norm, extracted once for all that is made of them, the same for a file as for the image it became."""

import os
import shutil
import signal

import numpy as np
import pytest
import torch
from launch import python
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny import tiny_settings

from coarsecon.data.prepared.store import open_dataset
from coarsecon.errors import InputError
from coarsecon.evaluation.support import embedded_split, predicted_classes
from coarsecon.nn.encoder import Encoder, load_encoder
from coarsecon.run.features import FeatureStore
from coarsecon.run.folder import RunFolder, open_run
from coarsecon.run.marks import encoder_mark
from coarsecon.run.restore import open_encoder
from coarsecon.run.spec import FeatureSpec
from coarsecon.search.exact import l2_normalize
from coarsecon.train.pretrain import pretrain
from coarsecon.train.resolve import build_run_spec
from coarsecon.views.batch import ImageBatch


@pytest.fixture
def run(tiny_run):
    return open_run(tiny_run)


@pytest.fixture
def fresh(tiny_run, tmp_path) -> RunFolder:
    """A copy of the run without features."""
    root = tmp_path / "copy"
    shutil.copytree(tiny_run, root, ignore=shutil.ignore_patterns("features"))
    return open_run(root)


@pytest.fixture
def dataset(tiny_data):
    return open_dataset(tiny_data)


@pytest.fixture
def seen(monkeypatch) -> list[int]:
    """How many images each pass through the backbone had."""
    counts: list[int] = []
    original = Encoder.features

    def counting(self, batch, **options):
        counts.append(len(batch))
        return original(self, batch, **options)

    monkeypatch.setattr(Encoder, "features", counting)
    return counts


@pytest.fixture
def files(dataset, tmp_path):
    """Five test images as files."""
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for i, path in enumerate(paths):
        Image.fromarray(np.asarray(dataset.split("test").image(i))).save(path)
    return paths


def test_features_are_unit_norm_float32_in_the_splits_order(run, dataset):
    features = FeatureStore(run).split(dataset, "test")
    assert features.dtype == torch.float32
    assert len(features) == 48
    torch.testing.assert_close(features.norm(dim=1), torch.ones(48))
    assert torch.equal(features, FeatureStore(run).split(dataset, "test"))
    direct = load_encoder(run.encoder()).embed(ImageBatch.full(dataset.split("test").images[7:9]))
    torch.testing.assert_close(features[7:9], direct)


def test_a_file_embeds_as_the_prepared_image_it_became(run, dataset, files):
    for flip in (False, True):
        store = FeatureStore(run, FeatureSpec(flip=flip))
        torch.testing.assert_close(store.files(files), store.split(dataset, "test")[:5], rtol=0, atol=1e-5)


def test_all_that_is_made_of_a_split_needs_one_pass_of_its_images(fresh, dataset, seen):
    backbone = FeatureStore(fresh).split(dataset, "test")
    assert sum(seen) == 48
    projected = FeatureStore(fresh, FeatureSpec(layer="projector")).split(dataset, "test")
    assert FeatureStore(fresh).coarse_logits(dataset, "test") is None
    assert torch.equal(FeatureStore(fresh).split(dataset, "test"), backbone)
    assert sum(seen) == 48
    flipped = FeatureStore(fresh, FeatureSpec(flip=True)).split(dataset, "test")
    assert sum(seen) == 96  # the mirror images
    FeatureStore(fresh, FeatureSpec(layer="projector", flip=True)).split(dataset, "test")
    assert sum(seen) == 96
    assert backbone.shape == flipped.shape == (48, backbone.shape[1])
    assert projected.shape == (48, 16)


def test_a_folder_is_extracted_once_and_again_when_it_changes(fresh, files, seen):
    first = FeatureStore(fresh).files(files, name="my photos")
    assert torch.equal(FeatureStore(fresh).files(files, name="my photos"), first)
    assert sum(seen) == 5
    os.utime(files[0], (1, 1))
    FeatureStore(fresh).files(files, name="my photos")
    assert sum(seen) == 10


def test_nothing_is_loaded_where_all_is_kept(run, dataset, monkeypatch):
    FeatureStore(run).split(dataset, "test")
    monkeypatch.setattr("coarsecon.run.features.open_encoder", lambda *_: pytest.fail("loaded"))
    FeatureStore(run).split(dataset, "test")


def test_projected_features_are_the_methods_projection_of_the_image(run, dataset):
    store = FeatureStore(run, FeatureSpec(layer="projector"))
    with torch.no_grad():
        raw = store.encoder.features(ImageBatch.full(dataset.split("test").images))
        expected = torch.nn.functional.normalize(store.method.projector(raw), dim=1)
    torch.testing.assert_close(store.split(dataset, "test"), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("layer", ["backbone", "projector"])
def test_flipping_averages_the_features_of_an_image_and_its_mirror(run, dataset, layer):
    plain, store = FeatureStore(run, FeatureSpec(layer=layer)), FeatureStore(run, FeatureSpec(layer=layer, flip=True))
    images = dataset.split("test").images
    sides = [plain.encoder.features(ImageBatch.full(side)) for side in (images, images.flip(3).contiguous())]
    expected = l2_normalize(plain.finished(sides[0]) + plain.finished(sides[1]))
    torch.testing.assert_close(store.split(dataset, "test"), expected, rtol=0, atol=1e-5)
    assert store.mark("a") != plain.mark("a")


def test_the_mirror_of_images_of_different_sizes_is_that_of_each_alone(run):
    encoder = load_encoder(run.encoder())
    pixels = torch.randint(0, 256, (1, 3, 20, 30), dtype=torch.uint8)
    wide = torch.zeros(2, 3, 40, 50, dtype=torch.uint8)
    wide[0, :, :20, :30] = pixels[0]
    wide[1] = 9
    together = encoder.features(ImageBatch(wide, torch.tensor([[20, 30], [40, 50]])), mirrored=True)
    alone = encoder.features(ImageBatch.full(pixels.flip(3)))
    torch.testing.assert_close(together[:1], alone, rtol=1e-3, atol=1e-3)


def test_extraction_goes_on_where_it_was_killed(fresh, dataset, tiny_data, monkeypatch, seen):
    script = (
        "import os, signal; from pathlib import Path\n"
        "from coarsecon.data.prepared.store import open_dataset; from coarsecon.run import features\n"
        "from coarsecon.nn.encoder import Encoder; from coarsecon.run.folder import RunFolder\n"
        "features.BATCH, embed, calls = 10, Encoder.features, []\n"
        "def dies(self, batch, **options):\n"
        "    calls.append(1)\n"
        "    if len(calls) == 4: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return embed(self, batch, **options)\n"
        "Encoder.features = dies\n"
        f"store = features.FeatureStore(RunFolder(Path({str(fresh.root)!r})))\n"
        f"store.split(open_dataset(Path({str(tiny_data)!r})), 'test')"
    )
    done = python("-c", script)
    assert done.code == -signal.SIGKILL, done.err
    monkeypatch.setattr("coarsecon.run.features.BATCH", 10)
    features = FeatureStore(fresh).split(dataset, "test")
    assert sum(seen) == 48 - 30
    torch.testing.assert_close(features, FeatureStore(RunFolder(fresh.root)).split(dataset, "test"))
    assert len(list(fresh.features.iterdir())) == 1
    whole = load_encoder(fresh.encoder()).embed(ImageBatch.full(dataset.split("test").images))
    torch.testing.assert_close(features, whole, rtol=0, atol=1e-5)


def test_the_mark_follows_the_encoder_and_dead_features_go(fresh, dataset):
    FeatureStore(fresh).split(dataset, "test")
    old = encoder_mark(fresh, "last")
    fresh.encoder().write_bytes(fresh.encoder("best").read_bytes())
    card = fresh.encoder().with_suffix(".json")
    card.write_text(card.read_text() + "\n")
    FeatureStore(fresh).split(dataset, "train")
    assert encoder_mark(fresh, "last") != old
    assert {file.name.rpartition("-")[2] for file in fresh.features.iterdir()} == {f"{encoder_mark(fresh, 'last')}.npy"}


def test_a_state_saved_while_features_are_made_does_not_mix_with_the_former(fresh, dataset):
    """A store that looked at one encoder never works with the next one of a training in progress."""
    early, late = FeatureStore(fresh), FeatureStore(fresh)
    assert early.encoder_mark == late.encoder_mark
    assert late.encoder is not None
    weights = load_file(fresh.encoder())
    save_file({name: value + 1 for name, value in weights.items()}, fresh.encoder())
    with pytest.raises(InputError, match="was saved by a training while it was read; run the command again"):
        early.split(dataset, "test")
    with pytest.raises(InputError, match=r"these heads were saved with another encoder|a training saved this run"):
        assert late.method


def test_a_damaged_cache_is_made_anew(run, dataset):
    features = FeatureStore(run).split(dataset, "test").clone()
    for file in run.features.glob("test-*"):
        file.write_bytes(b"damaged")
    torch.testing.assert_close(FeatureStore(run).split(dataset, "test"), features)


def test_copies_of_images_are_kept_and_resume_with_the_same_draws(fresh, dataset, seen, monkeypatch):
    monkeypatch.setattr("coarsecon.evaluation.support.BATCH", 10)
    whole = embedded_split(FeatureStore(fresh), dataset, "test", 2)
    assert whole.support.shape[:2] == (48, 2)
    path = next(fresh.features.glob("test-copies2-*"))
    partial = path.with_name(f".{path.name}.partial")
    path.rename(partial)
    os.truncate(partial, partial.stat().st_size // 2)
    seen.clear()
    again = embedded_split(FeatureStore(fresh), dataset, "test", 2)
    assert sum(seen) == 2 * (48 - 20)
    torch.testing.assert_close(again.support, whole.support, rtol=0, atol=1e-5)


def test_a_classifier_tells_the_coarse_class_of_images_and_copies(tiny_data, tmp_path, dataset):
    run = pretrain(build_run_spec(tiny_settings(tiny_data, "ancor", method={"queue_size": 20})), tmp_path / "ancor")
    store = FeatureStore(run)
    raw = store.encoder.features(ImageBatch.full(dataset.split("test").images))
    expected = store.method.coarse_logits(raw).argmax(1)
    classes = predicted_classes(store, dataset, "test", 1)
    assert torch.equal(classes.query, expected)
    assert torch.equal(classes.support, expected[:, None])
    assert predicted_classes(store, dataset, "test", 2).support.shape == (48, 2)


def test_a_run_without_heads_has_backbone_features_alone(fresh, dataset):
    fresh.heads().unlink()
    assert len(FeatureStore(fresh).split(dataset, "test")) == 48
    with pytest.raises(InputError, match="kept no heads"):
        FeatureStore(fresh, FeatureSpec(layer="projector"))


def test_a_method_without_projector_is_told(tiny_data, tmp_path):
    run = pretrain(build_run_spec(tiny_settings(tiny_data, "supce", schedule={"epochs": 1})), tmp_path / "supce")
    with pytest.raises(InputError, match="supce has no projector"):
        FeatureStore(run, FeatureSpec(layer="projector"))


def test_embedding_leaves_the_backbones_mode_as_it_was(run):
    encoder = load_encoder(run.encoder())
    encoder.backbone.train()
    encoder.embed(ImageBatch.full(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)))
    assert encoder.backbone.training


def test_weights_that_do_not_belong_to_their_card_are_refused(run, tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "encoder.safetensors"
    shutil.copy(run.encoder().with_suffix(".json"), path.with_suffix(".json"))
    save_file({"other": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="the weights are not those of resnet18"):
        load_encoder(path)
    path.with_suffix(".json").write_text('{"backbone": {}}')
    with pytest.raises(InputError, match="cannot be read"):
        load_encoder(path)
    with pytest.raises(InputError, match="no encoder here"):
        open_encoder(RunFolder(tmp_path / "nothing"))
