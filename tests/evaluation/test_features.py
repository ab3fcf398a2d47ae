"""Features: unit-norm, cached by content, the same for a file as for the prepared image it became."""

import numpy as np
import pytest
import torch
from PIL import Image

from coarsecon.data.store import open_dataset
from coarsecon.errors import InputError
from coarsecon.evaluation.features import embed_files, fingerprint, split_features
from coarsecon.nn.encoder import load_encoder
from coarsecon.runs import open_run


@pytest.fixture
def run(tiny_run):
    return open_run(tiny_run)


def test_features_are_unit_norm_float32_in_the_splits_order(run, tiny_data):
    dataset = open_dataset(tiny_data)
    features = split_features(run, dataset, "test")
    assert features.dtype == torch.float32
    assert len(features) == 48
    torch.testing.assert_close(features.norm(dim=1), torch.ones(48))
    assert torch.equal(features, split_features(run, dataset, "test"))


def test_a_file_embeds_as_the_prepared_image_it_became(run, tiny_data, tmp_path):
    dataset = open_dataset(tiny_data)
    split = dataset.split("test")
    files = []
    for i in range(5):
        files.append(tmp_path / f"{i}.png")
        Image.fromarray(np.asarray(split.image(i))).save(files[-1])
    embedded = embed_files(load_encoder(run.encoder()), files, device="cpu")
    torch.testing.assert_close(embedded, split_features(run, dataset, "test")[:5], rtol=0, atol=1e-5)


def test_the_fingerprint_follows_encoder_and_images(run, tiny_data):
    marks = {fingerprint(run, "last", "a"), fingerprint(run, "last", "b"), fingerprint(run, "best", "a")}
    assert len(marks) >= 2
    assert fingerprint(run, "last", "a") == fingerprint(run, "last", "a")


def test_a_damaged_cache_is_made_anew(run, tiny_data):
    dataset = open_dataset(tiny_data)
    features = split_features(run, dataset, "test").clone()  # read from the cache, it is mapped from the file
    for file in run.features.glob("test-*"):
        file.write_bytes(b"damaged")
    torch.testing.assert_close(split_features(run, dataset, "test"), features)


def test_embedding_leaves_the_backbones_mode_as_it_was(run):
    encoder = load_encoder(run.encoder())
    encoder.backbone.train()
    from coarsecon.data.batch import ImageBatch

    encoder.embed(ImageBatch.full(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)))
    assert encoder.backbone.training


def test_weights_that_do_not_belong_to_their_card_are_refused(run, tmp_path):
    import shutil

    from safetensors.torch import save_file

    path = tmp_path / "encoder.safetensors"
    shutil.copy(run.encoder().with_suffix(".json"), path.with_suffix(".json"))
    save_file({"other": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="do not belong"):
        load_encoder(path)
    path.with_suffix(".json").write_text('{"backbone": {}}')
    with pytest.raises(InputError, match="cannot be read"):
        load_encoder(path)
    with pytest.raises(InputError, match="no encoder here"):
        load_encoder(tmp_path / "nothing.safetensors")
