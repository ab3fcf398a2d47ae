"""From Python: the same features as the commands', of images in any form, and a step of a pipeline."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import coarsecon
from coarsecon.data.prepared.store import open_dataset
from coarsecon.errors import InputError
from coarsecon.search.exact import nearest


@pytest.fixture(scope="module")
def encoder(tiny_run):
    return coarsecon.load(tiny_run, device="cpu")


@pytest.fixture(scope="module")
def pixels(tiny_data):
    images = open_dataset(tiny_data).split("test").images
    assert images is not None
    return images[:5]


def test_importing_coarsecon_loads_nothing_heavy():
    script = "import coarsecon, sys; print(sorted({'torch', 'numpy', 'PIL', 'pydantic'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout.strip() == "[]"


def test_every_form_of_an_image_has_the_features_of_the_prepared_one(encoder, pixels, tmp_path):
    wanted = encoder.features("test").numpy()[:5]
    arrays = pixels.permute(0, 2, 3, 1).numpy()
    files = [tmp_path / f"{i}.png" for i in range(5)]
    for array, file in zip(arrays, files, strict=True):
        Image.fromarray(array).save(file)
    forms = {
        "tensor": pixels, "array": arrays, "tensors": list(pixels), "arrays": list(arrays), "files": files,
        "texts": [str(file) for file in files], "folder": tmp_path, "PIL": [Image.fromarray(a) for a in arrays],
        "mixed": [pixels[0], arrays[1], files[2], str(files[3]), Image.fromarray(arrays[4])],
    }  # fmt: skip
    for name, form in forms.items():
        found = encoder.embed(form)
        assert found.dtype == np.float32
        assert np.allclose(found, wanted, atol=1e-5), name
    assert np.allclose(encoder.embed(files[2]), wanted[2:3], atol=1e-5)
    assert np.allclose(np.linalg.norm(wanted, axis=1), 1, atol=1e-5)
    assert encoder.embed([]).shape == (0, encoder.dim)


@pytest.mark.parametrize("options", [{"flip": True}, {"layer": "projector"}, {"checkpoint": "best"}])
def test_options_mean_what_they_mean_for_commands(options, tiny_run, pixels):
    encoder = coarsecon.load(tiny_run, device="cpu", **options)
    assert np.allclose(encoder.embed(pixels), encoder.features("test").numpy()[:5], atol=1e-5)


def test_what_is_no_image_is_told(encoder):
    for wrong in (torch.rand(3, 32, 32), np.zeros((4, 4), np.uint8), torch.zeros(4, 32, 32, dtype=torch.uint8)):
        with pytest.raises(InputError, match="8-bit RGB"):
            encoder.embed(wrong)
    with pytest.raises(InputError, match="no such image"):
        encoder.embed("missing.jpg")
    with pytest.raises(InputError, match="an array or a tensor, not int"):
        encoder.embed(3)
    with pytest.raises(InputError, match="not a run folder"):
        coarsecon.load("missing")


@pytest.mark.parametrize("options", [{"checkpoint": "first"}, {"layer": "projecter"}])
def test_an_encoder_or_a_layer_that_is_none_is_told(options, tiny_run):
    """They would pass for the best one and for the projector."""
    (name,) = options
    with pytest.raises(InputError, match=f"{name}: .* is not known; choose "):
        coarsecon.load(tiny_run, **options)


def test_no_neighbour_at_all_cannot_be_asked_for(encoder, pixels):
    with pytest.raises(InputError, match="k: 0 is below 1; ask for one neighbor or more"):
        encoder.search(pixels[0], k=0)


def test_it_says_what_it_is(encoder):
    assert repr(encoder).startswith("Run(")
    assert "checkpoint='last', layer='backbone', flip=False" in repr(encoder)


def test_search_finds_the_nearest_of_a_split(encoder, pixels):
    found = encoder.search(pixels, k=3, split="train")
    scores, indices = nearest(torch.from_numpy(encoder.embed(pixels)), encoder.features("train"), 3)
    assert found.indices == indices.tolist()
    assert np.allclose(found.scores, scores, atol=1e-5)
    dataset = open_dataset(encoder.dataset.root)
    names = dataset.info.levels["fine"]
    assert found.labels["fine"][0][0] == names[dataset.split("train").labels["fine"][indices[0, 0]]]
    assert found.names[0][0] == dataset.split("train").names[indices[0, 0]]
    assert encoder.search(encoder.embed(pixels), k=3) == found


def test_a_file_of_the_split_is_not_its_own_neighbor(encoder, pixels, tmp_path):
    file = tmp_path / "a.png"
    Image.fromarray(pixels[0].permute(1, 2, 0).numpy()).save(file)
    first = encoder.search(pixels[:1], k=3, split="test").indices[0]
    assert first[0] == 0
    assert encoder.search(file, k=2, split="test").indices[0] == first[1:]


def test_broken_files_in_a_folder_are_skipped_with_a_warning(encoder, pixels, tmp_path):
    for i in range(2):
        Image.fromarray(pixels[i].permute(1, 2, 0).numpy()).save(tmp_path / f"{i}.png")
    expected = encoder.embed(tmp_path)
    (tmp_path / "0broken.png").write_bytes(b"x")
    with pytest.warns(UserWarning, match=r"skipped 1 images that cannot be read: .*0broken\.png"):
        assert np.array_equal(encoder.embed(tmp_path), expected)
    with pytest.raises(InputError, match=r"0broken\.png: not a readable image"):
        encoder.embed([tmp_path / "0.png", tmp_path / "0broken.png"])


def test_it_is_a_step_of_a_pipeline(encoder, tiny_data):
    sklearn = pytest.importorskip("sklearn")
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline

    copy = sklearn.base.clone(encoder)
    assert copy.get_params() == encoder.get_params()
    train = open_dataset(tiny_data).split("train")
    pipeline = make_pipeline(copy, KNeighborsClassifier(1))
    predicted = pipeline.fit(train.images, train.labels["fine"]).predict(train.images)
    assert (predicted == train.labels["fine"].numpy()).mean() > 0.9
    assert copy.set_params(flip=True).spec.flip
    with pytest.raises(InputError, match="depth: no such parameter"):
        copy.set_params(depth=3)
