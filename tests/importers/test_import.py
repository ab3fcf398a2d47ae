"""Every published form of checkpoint becomes a run with the same features, heads and evaluations."""

import json

import pytest
import timm
import torch
from encoders import FEW, encoder_run
from published import STAND_INS, maskcon, moco, resnet, supervised
from safetensors.torch import load_file, save_file
from timm.layers import resample_abs_pos_embed

from coarsecon.errors import InputError
from coarsecon.exporters import export
from coarsecon.importers.convert import import_checkpoint
from coarsecon.metrics.retrieval import recall_at_k
from coarsecon.nn.encoder import InputTransform, load_encoder
from coarsecon.nn.published import find_published_transform
from coarsecon.run.features import FeatureStore
from coarsecon.run.folder import open_run
from coarsecon.run.restore import coarse_classes, load_method
from coarsecon.views.batch import ImageBatch


@pytest.mark.parametrize("name", STAND_INS)
@torch.no_grad()
def test_every_published_form_is_imported_and_evaluates(name, tmp_path, tiny_data):
    form, make, settings = STAND_INS[name]
    content, features = make()
    torch.save(content, tmp_path / "checkpoint.pth")
    account = import_checkpoint(tmp_path / "checkpoint.pth", form, tmp_path / "run", data=tiny_data, **settings)
    run = open_run(tmp_path / "run")
    encoder = load_encoder(run.encoder())
    images = torch.randint(0, 256, (2, 3, 32, 32), generator=torch.Generator().manual_seed(0)).byte()
    batch = ImageBatch.full(images)
    wanted, found = features(encoder.inputs(batch)), encoder.features(batch)
    assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()
    from coarsecon.data.prepared.store import open_dataset

    dataset = open_dataset(tiny_data)
    recall = recall_at_k(FeatureStore(run).split(dataset, "test"), dataset.split("test").labels["fine"], [1, 5])
    assert 0 <= recall[1] <= recall[5] <= 1
    if form not in ("swav", "timm", "torchvision"):
        assert load_method(run).project(found) is not None
        assert "projector" in account.loaded[1]


@torch.no_grad()
def test_heads_are_those_of_the_checkpoint(tmp_path, tiny_data):
    _, make, _ = STAND_INS["ancor"]
    content, net = make()
    torch.save(content, tmp_path / "a.pth")
    account = import_checkpoint(tmp_path / "a.pth", "ancor", tmp_path / "run", data=tiny_data)
    run = open_run(tmp_path / "run")
    method, state = load_method(run), content["state_dict"]
    x = net(torch.rand(3, 3, 32, 32))

    def linear(name, inputs):
        return inputs @ state[f"module.encoder_q.fc.{name}.weight"].T + state[f"module.encoder_q.fc.{name}.bias"]

    embedding = linear("2.fc1", linear("0", x).relu())
    assert torch.allclose(method.project(x), embedding, atol=1e-5)
    assert torch.allclose(method.coarse_logits(x), linear("2.fc2", embedding.relu()), atol=1e-5)
    assert len(coarse_classes(run)) == 4
    assert any("order" in doubt for doubt in account.assumed)


def test_what_was_not_loaded_is_named_on_screen_and_in_the_run(coarsecon, tmp_path, tiny_data):
    torch.save({"state_dict": maskcon(small=True)[0], "epoch": 7}, tmp_path / "m.pth")
    done = coarsecon("import", tmp_path / "m.pth", "--from", "maskcon", "--out", tmp_path / "run", "--data", tiny_data)
    assert done.code == 0, done.err
    for name in ("encoder_q.classifer (2)", "encoder_k (120)", "queue_ptr", "not weights: epoch", "statistics of data"):
        assert name in done.err, name
    origin = json.loads((tmp_path / "run" / "environment.json").read_text())["imported"]
    assert origin["from"] == "maskcon"
    assert "queue" in origin["not_loaded"]
    assert len(origin["sha256"]) == 64


@pytest.mark.slow
def test_every_evaluation_takes_an_imported_run(coarsecon, tmp_path, tiny_data):
    torch.save(maskcon(small=True)[0], tmp_path / "m.pth")
    run = tmp_path / "run"
    assert coarsecon("import", tmp_path / "m.pth", "--from", "maskcon", "--out", run, "--data", tiny_data).code == 0
    for command in (
        ("retrieve", run, "--layer", "projector"),
        ("retrieve", run),
        ("knn", run, "--k", "5"),
        ("linear", run),
        ("fewshot", run, "--ways", "2", "--shots", "1", "--queries", "1", "--episodes", "5"),
        ("report", run),
    ):
        done = coarsecon(*command)
        assert done.code == 0, (command, done.err)
    done = coarsecon("pretrain", "--data", tiny_data, "--out", run, "--batch-size", "32")
    assert done.code == 2
    assert "without a training state" in done.err


@pytest.mark.parametrize("family", FEW)
@torch.no_grad()
def test_what_was_exported_comes_back_with_equal_features(family, tmp_path):
    run = encoder_run(tmp_path / "run", family, filter="high-pass")
    export(run, "timm", tmp_path / "out")
    import_checkpoint(tmp_path / "out" / "encoder.safetensors", "timm", tmp_path / "back")
    before, after = load_encoder(run.encoder()), load_encoder(open_run(tmp_path / "back").encoder())
    assert after.card.input == before.card.input
    side = before.card.input.size
    batch = ImageBatch.full(torch.randint(0, 256, (2, 3, side, side)).byte())
    assert torch.equal(after.embed(batch), before.embed(batch))


def refused(tmp_path, content, form, **settings):
    torch.save(content, tmp_path / "c.pth")
    with pytest.raises(InputError) as error:
        import_checkpoint(tmp_path / "c.pth", form, tmp_path / "refused", **settings)
    assert not (tmp_path / "refused").exists()
    return str(error.value)


def test_what_only_the_user_can_say_is_asked_for(tmp_path):
    assert "normalize: the mean and std of its images are unknown" in refused(
        tmp_path, maskcon(small=True)[0], "maskcon"
    )
    assert "filter: checkpoints of salmask do not record it" in refused(tmp_path, moco()[0], "salmask")
    assert "normalize: data means" in refused(tmp_path, moco()[0], "moco", normalize="data")
    assert "set backbone to its timm name" in refused(tmp_path, {"blocks.0.norm1.weight": torch.ones(4)}, "timm")


def test_a_checkpoint_of_another_form_or_network_is_told(tmp_path):
    assert "its names begin with bn1, conv1" in refused(tmp_path, supervised()[0], "moco")
    state = resnet().state_dict()
    del state["layer4.1.bn2.weight"]
    assert "layer4.1.bn2.weight is missing" in refused(tmp_path, state, "torchvision")
    state["layer4.1.bn2.weight"] = torch.ones(7)
    assert "[7] instead of [512]" in refused(tmp_path, state, "torchvision")


def imported(tmp_path, content, form, out="run", **settings):
    torch.save(content, tmp_path / "c.pth")
    account = import_checkpoint(tmp_path / "c.pth", form, tmp_path / out, **settings)
    return account, load_file(open_run(tmp_path / out).encoder())


def below(prefix, state):
    return {f"{prefix}{name}": value for name, value in state.items()}


def test_a_network_below_another_prefix_is_taken_and_the_prefix_is_named(tmp_path):
    net, other = resnet(), resnet()
    numbered = torch.nn.Sequential(*net.children()).state_dict()
    files = {
        ("torchvision", "state_dict.model"): {"state_dict": below("model.", net.state_dict())},
        ("timm", "state_dict.backbone"): {"state_dict": below("backbone.", numbered)},
        ("moco", "base_encoder"): {**below("module.momentum_encoder.", other.state_dict()),
                                   **below("module.base_encoder.", net.state_dict())},
        ("timm", "teacher.backbone"): {"student": below("module.backbone.", other.state_dict()),
                                       "teacher": below("backbone.", net.state_dict())},
    }  # fmt: skip
    for i, ((form, place), content) in enumerate(files.items()):
        account, state = imported(tmp_path, content, form, str(i))
        assert all(torch.equal(state[name], value) for name, value in net.state_dict().items())
        assert f"found below {place}" in account.loaded[0]
    assert any("weights_key: these weights, not those of student.backbone" in line for line in account.assumed)
    account, state = imported(tmp_path, content, "timm", "student", weights_key="student")
    assert torch.equal(state["conv1.weight"], other.conv1.weight)


def test_averaged_weights_are_left_beside_plain_ones_unless_they_are_chosen(coarsecon, tmp_path):
    net, average = resnet(), resnet()
    torch.save({"model": net.state_dict(), "model_ema": average.state_dict()}, tmp_path / "c.pth")
    for out, chosen, words in (("plain", net, ()), ("average", average, ("--weights-key", "model_ema"))):
        done = coarsecon("import", tmp_path / "c.pth", "--from", "torchvision", "--out", tmp_path / out, *words)
        assert done.code == 0, done.err
        state = load_file(open_run(tmp_path / out).encoder())
        assert torch.equal(state["conv1.weight"], chosen.conv1.weight)
    done = coarsecon(
        "import", tmp_path / "c.pth", "--from", "torchvision", "--out", tmp_path / "x", "--weights-key", "k"
    )
    assert done.code == 2
    assert "no weights called 'k'; use one of model, model_ema" in done.err


def test_a_transformer_is_imported_for_images_of_another_size(tmp_path):
    args = {"embed_dim": 16, "depth": 1, "num_heads": 2}
    donor = timm.create_model("vit_tiny_patch16_224", img_size=96, **args)
    card = {"backbone": {"name": "vit_tiny_patch16_224", "stem": "standard", "args": args},
            "input": {"size": 96, "mean": [0.5] * 3, "std": [0.25] * 3}}  # fmt: skip
    (tmp_path / "encoder.json").write_text(json.dumps(card))
    _, state = imported(tmp_path, donor.state_dict(), "timm", size=64)
    assert state["pos_embed"].shape == (1, 17, 16)
    expected = resample_abs_pos_embed(donor.pos_embed, (4, 4), num_prefix_tokens=1)
    torch.testing.assert_close(state["pos_embed"], expected.detach())


def test_one_channel_is_repeated_and_numbers_that_are_none_are_refused(tmp_path):
    gray = timm.create_model("resnet18", in_chans=1, num_classes=3).state_dict()
    account, state = imported(tmp_path, gray, "timm")
    assert any("one channel, which is repeated for 3" in line for line in account.assumed)
    torch.testing.assert_close(state["conv1.weight"].sum(1, keepdim=True), gray["conv1.weight"])
    gray["layer3.0.bn2.weight"][0] = float("nan")
    assert "layer3.0.bn2.weight contains NaN (1 of 256 values)" in refused(tmp_path, gray, "timm")


def test_old_files_without_counters_are_taken(tmp_path):
    state = {name: value for name, value in resnet().state_dict().items() if "num_batches" not in name}
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    account = import_checkpoint(tmp_path / "old.pth", "torchvision", tmp_path / "run")
    assert account.loaded[0].startswith(f"{len(state)} entries")


def test_an_importer_of_another_package_is_used_by_its_name(install_plugin, coarsecon, tmp_path):
    source = (
        "from coarsecon.importers import Importer\n"
        'class Mine(Importer):\n    """A form of our lab."""\n    prefixes = ("trunk.",)\n'
    )
    install_plugin("their-importer", "lab", source, group="coarsecon.importers")
    net = resnet()
    torch.save({f"trunk.{name}": value for name, value in net.state_dict().items()}, tmp_path / "c.pth")
    done = coarsecon("import", tmp_path / "c.pth", "--from", "lab", "--out", tmp_path / "run", "--normalize", "cifar10")
    assert done.code == 0, done.err
    assert "by A form of our lab" in done.err
    assert torch.equal(load_file(open_run(tmp_path / "run").encoder())["conv1.weight"], net.conv1.weight)


TINY_LITE = "test_efficientnet"


@pytest.fixture
def tiny_lite(tmp_path):
    """Random weights of a small network of timm, whose published weights are for mean = std = 0.5."""
    file = tmp_path / "lite.safetensors"
    save_file(timm.create_model(TINY_LITE, num_classes=0).state_dict(), file)
    return file


def imported_lite(file, out, **settings):
    report = import_checkpoint(file, "timm", out, backbone=TINY_LITE, **settings)
    return load_encoder(open_run(out).encoder()).card.input, report.assumed


def test_weights_of_timm_bring_their_transform_and_it_is_reported(tiny_lite, tmp_path):
    transform, assumed = imported_lite(tiny_lite, tmp_path / "run")
    cfg = timm.models.get_pretrained_cfg(TINY_LITE)
    assert transform == find_published_transform(TINY_LITE).transform
    assert (transform.size, transform.mean, transform.crop_pct) == (cfg.input_size[1], cfg.mean, cfg.crop_pct)
    assert assumed[0] == f"size: images of {transform.size} px, that of the weights"
    assert assumed[1] == (
        f"normalize: timm's configuration of {TINY_LITE}.r160_in1k: {transform.normalization}, {transform.framing}"
    )
    transform, assumed = imported_lite(tiny_lite, tmp_path / "other", size=96)
    assert transform == find_published_transform(TINY_LITE, 96).transform
    assert len(assumed) == 1


def test_a_configuration_next_to_the_file_comes_before_timms(tiny_lite, tmp_path):
    published = {
        "mean": [0.1] * 3,
        "std": [0.2] * 3,
        "interpolation": "bilinear",
        "crop_mode": "squash",
        "crop_pct": 1.0,
    }
    (tmp_path / "config.json").write_text(json.dumps({"pretrained_cfg": published}))
    transform, _ = imported_lite(tiny_lite, tmp_path / "run", size=96)
    assert (transform.mean, transform.resize, transform.interpolation) == ((0.1,) * 3, "square", "bilinear")


def test_statistics_that_the_user_names_come_with_complete_images(tiny_lite, tmp_path):
    transform, _ = imported_lite(tiny_lite, tmp_path / "run", normalize="half", size=96)
    assert transform == InputTransform(size=96, mean=(0.5,) * 3, std=(0.5,) * 3)
    transform, _ = imported_lite(tiny_lite, tmp_path / "other", normalize="imagenet", size=96)
    assert transform.mean == (0.485, 0.456, 0.406)


def test_a_patch_size_that_does_not_divide_the_size_is_an_error(tmp_path):
    name, file = "vit_tiny_patch16_224", tmp_path / "vit.safetensors"
    save_file(timm.create_model(name, num_classes=0).state_dict(), file)
    with pytest.raises(InputError, match=r"size: 90 px is not divisible by .* \(16 px\); set size to 80 or 96"):
        import_checkpoint(
            tmp_path / "vit.safetensors", "timm", tmp_path / "run", backbone="vit_tiny_patch16_224", size=90
        )
    assert not (tmp_path / "run").exists()


def test_the_frozen_figures_of_the_grocery_photos_need_the_transform_of_the_weights(shared, tmp_path):
    file = shared / "data" / "weights" / "tf_efficientnet_lite0.fp16.safetensors"
    import_checkpoint(file, "timm", tmp_path / "run", backbone="tf_efficientnet_lite0", size=128)
    card = load_encoder(open_run(tmp_path / "run").encoder()).card.input
    assert (card.mean, card.std, card.interpolation, card.crop_pct) == ((0.5,) * 3, (0.5,) * 3, "bicubic", 0.875)


def test_the_former_spelling_of_normalize_works_and_warns(coarsecon, tmp_path):
    torch.save(resnet().state_dict(), tmp_path / "c.pth")
    words = ("--from", "torchvision", "--out", tmp_path / "run", "--size", 64, "--normalise", "cifar10")
    done = coarsecon("import", tmp_path / "c.pth", *words)
    assert done.code == 0, done.err
    assert "--normalise is now called --normalize" in done.err
    assert load_encoder(open_run(tmp_path / "run").encoder()).card.input.mean == (0.4914, 0.4822, 0.4465)
