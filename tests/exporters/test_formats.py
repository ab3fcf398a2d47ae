"""What is exported gives the run's features in the tool it is for, or is not put in place."""

import json
import subprocess
import sys

import pytest
import timm
import torch
from encoders import EVERY, encoder_run
from safetensors.torch import load_file
from torchvision.transforms.functional import to_pil_image

from coarsecon.data.formats.pickles import load_dict
from coarsecon.errors import CoarseconError, InputError
from coarsecon.exporters import export
from coarsecon.exporters.comparison import compare, encoder_of, inputs_of, weights_of
from coarsecon.exporters.detectron2 import renamed
from coarsecon.exporters.graph import EmbeddingGraph
from coarsecon.nn.encoder import load_encoder
from coarsecon.nn.small_stem import use_small_stem
from coarsecon.run.facade import Run
from coarsecon.views.batch import ImageBatch


def images_of(side: int, count: int = 2) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, side, side), generator=torch.Generator().manual_seed(7)).byte()


@pytest.mark.parametrize("family", EVERY)
@torch.no_grad()
def test_timm_loads_equal_features_for_every_backbone_of_the_recipes(family, tmp_path):
    run = encoder_run(tmp_path / "run", family)
    export(run, "timm", tmp_path / "out")
    encoder = load_encoder(run.encoder())
    batch = ImageBatch.full(images_of(encoder.card.input.size))
    model = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True).eval()
    found, wanted = model(encoder.inputs(batch)), encoder.features(batch)
    assert (found - wanted).abs().max() <= 1e-6 * wanted.abs().max()
    recipe = timm.data.resolve_model_data_config(model)
    assert tuple(recipe["input_size"]) == (3, encoder.card.input.size, encoder.card.input.size)
    assert (tuple(recipe["mean"]), tuple(recipe["std"])) == (encoder.card.input.mean, encoder.card.input.std)
    assert (recipe["crop_mode"], recipe["crop_pct"], recipe["interpolation"]) == ("squash", 1.0, "bilinear")


CENTER = {"resize": "shorter", "interpolation": "bicubic", "crop_pct": 0.875}


@torch.no_grad()
def test_timm_applies_the_same_crop_and_interpolation_to_a_photo(tmp_path):
    run = encoder_run(tmp_path / "run", "resnet18 standard", **CENTER)
    export(run, "timm", tmp_path / "out")
    model = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True).eval()
    theirs = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    coarse = torch.rand(1, 3, 8, 11, generator=torch.Generator().manual_seed(0))
    photo = torch.nn.functional.interpolate(coarse, (90, 130), mode="bicubic").mul(255).clamp(0, 255).byte()
    ours = load_encoder(run.encoder()).inputs(ImageBatch.full(photo))[0]
    expected = theirs(to_pil_image(photo[0]))
    assert ours.shape == expected.shape
    assert (ours - expected).abs().max() * 255 * 0.2 < 2.1  # std 0.2 is the smallest
    assert (ours - expected).abs().mean() * 255 * 0.2 < 0.3


@pytest.mark.parametrize("form", ["timm", "torch-export", "torchvision"])
def test_an_encoder_that_crops_is_exported_and_its_framing_is_named(form, tmp_path):
    run = encoder_run(tmp_path / "run", "resnet18 standard", **CENTER)
    notes = export(run, form, tmp_path / "out")
    card = json.loads((tmp_path / "out" / "encoder.json").read_text())
    assert {key: card["input"][key] for key in CENTER} == CENTER
    if form == "torch-export":
        assert "the shorter side resized to 73 px by antialiased bicubic, the center cropped to 64 x 64 px" in str(
            notes
        )


@pytest.mark.slow
def test_an_architecture_that_timm_lacks_comes_with_a_module_that_needs_timm_alone(tmp_path):
    inputs, wanted = torch.rand(1, 3, 32, 32), []
    torch.save(inputs, tmp_path / "inputs.pt")
    for family in ("resnet12", "deep"):
        run = encoder_run(tmp_path / "run" / family, family)
        export(run, "timm", tmp_path / family)
        with torch.no_grad():
            wanted.append(load_encoder(run.encoder()).backbone(inputs).double().sum().item())
    script = """
import sys, timm, torch
sys.modules["coarsecon"] = None
for family in ("resnet12", "deep"):
    sys.path.insert(0, family)
    sys.modules.pop("model", None)
    import model
    net = timm.create_model(f"local-dir:{family}", pretrained=True).eval()
    print(net(torch.load("inputs.pt")).double().sum().item())
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [float(line) for line in done.stdout.split()] == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("stem", ["standard", "small", "small-pool"])
@torch.no_grad()
def test_torchvision_gives_equal_features_by_the_lines_that_are_told(stem, tmp_path):
    run = encoder_run(tmp_path / "run", f"resnet18 {stem}")
    lines = export(run, "torchvision", tmp_path / "out")
    import safetensors.torch
    import torchvision

    scope = {"torch": torch, "torchvision": torchvision, "safetensors": safetensors}
    exec("\n".join(lines[:-1]).replace("resnet.safetensors", str(tmp_path / "out" / "resnet.safetensors")), scope)
    encoder = load_encoder(run.encoder())
    batch = ImageBatch.full(images_of(encoder.card.input.size))
    found, wanted = scope["model"].eval()(encoder.inputs(batch)), encoder.features(batch)
    assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()


def test_other_networks_are_refused_where_only_resnets_are_meant(tmp_path):
    deep = encoder_run(tmp_path / "deep", "deep")
    with pytest.raises(InputError, match=r"the format torchvision supports resnet18.*layers.*; use timm or onnx"):
        export(deep, "torchvision", tmp_path / "out")
    small = encoder_run(tmp_path / "small", "resnet18 small")
    with pytest.raises(InputError, match="standard stem"):
        export(small, "detectron2", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_detectron2_gets_its_names_in_a_pickle_of_arrays_alone(tmp_path):
    run = encoder_run(tmp_path / "run", "resnet50 standard", mean=(0.5, 0.4, 0.2))
    export(run, "detectron2", tmp_path / "out")
    content = (tmp_path / "out" / "encoder.pkl").read_bytes()
    model = load_dict(content, "encoder.pkl")["model"]  # which refuses all but arrays and plain containers
    state = load_file(run.encoder())
    assert model["stem.conv1.weight"].shape == (64, 3, 7, 7)
    assert (model["res2.0.shortcut.norm.weight"] == state["layer1.0.downsample.1.weight"].numpy()).all()
    assert (model["res5.2.conv3.norm.running_var"] == state["layer4.2.bn3.running_var"].numpy()).all()
    assert len(model) == sum("num_batches" not in name for name in state)
    assert renamed("bn1.bias") == "stem.conv1.norm.bias"
    text = (tmp_path / "out" / "detectron2.yaml").read_text()
    assert "PIXEL_MEAN: [127.5, 102.0, 51.0]" in text
    assert "DEPTH: 50" in text


@torch.no_grad()
def test_the_graph_is_the_whole_recipe_and_takes_any_batch(tmp_path):
    run = encoder_run(tmp_path / "run", "deep", filter="high-pass")
    export(run, "torch-export", tmp_path / "out")
    encoder = load_encoder(run.encoder())
    program = torch.export.load(tmp_path / "out" / "encoder.pt2").module()
    for count in (1, 5):
        images = images_of(32, count)
        assert torch.allclose(program(images), encoder.embed(ImageBatch.full(images)), atol=1e-5)
    extra = {"input.json": ""}
    torch.export.load(tmp_path / "out" / "encoder.pt2", extra_files=extra)
    assert json.loads(extra["input.json"])["filter"] == "high-pass"


@pytest.mark.slow
@pytest.mark.parametrize("family", ["deep", "resnet12"])
def test_onnxruntime_gives_equal_embeddings_for_any_batch(family, tmp_path, capfd):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    run = encoder_run(tmp_path / "run", family, filter="high-pass")
    export(run, "onnx", tmp_path / "out")
    assert capfd.readouterr().out == ""
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "encoder.onnx"))
    encoder = load_encoder(run.encoder())
    for count in (1, 5):
        images = images_of(32, count)
        found = torch.from_numpy(session.run(None, {"images": images.numpy()})[0])
        assert torch.allclose(found, encoder.embed(ImageBatch.full(images)), atol=1e-4)
    recipe = json.loads(session.get_modelmeta().custom_metadata_map["coarsecon.input"])
    assert recipe["size"] == 32


def test_a_missing_package_of_the_extra_is_named(tmp_path, monkeypatch):
    run = encoder_run(tmp_path / "run", "deep")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(InputError, match=r"onnxscript.*pip install 'coarsecon\[onnx\]'"):
        export(run, "onnx", tmp_path / "out")


@pytest.mark.parametrize("format_name", ["onnx", "torch-export"])
def test_a_network_that_torch_makes_no_graph_of_is_told_in_a_line(format_name, tmp_path, monkeypatch):
    def fails(*args, **kwargs):
        raise RuntimeError("a page\nof reasons")

    monkeypatch.setattr("torch.onnx.export", fails)
    monkeypatch.setattr("torch.export.export", fails)
    with pytest.raises(CoarseconError, match=r"backbone resnet18: torch cannot trace it \(RuntimeError\); export"):
        export(encoder_run(tmp_path / "run", "deep"), format_name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_gives_other_features_is_not_put_in_place(tmp_path, monkeypatch):
    run = encoder_run(tmp_path / "run", "deep")
    forward = EmbeddingGraph.forward
    monkeypatch.setattr(EmbeddingGraph, "forward", lambda self, images: forward(self, images.flip(1)))
    with pytest.raises(CoarseconError, match="nothing was written"):
        export(run, "torch-export", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_wrong_stem_is_told_by_the_comparison(tmp_path):
    encoder = encoder_of(Run(encoder_run(tmp_path / "run", "resnet18 small")))
    other = timm.create_model("resnet18", num_classes=0)
    use_small_stem(other, keep_pool=True)
    other.load_state_dict(weights_of(encoder))
    with pytest.raises(CoarseconError, match="differ"):
        compare(encoder, "another stem", lambda images: other.eval()(inputs_of(encoder, images)), 1e-4)


def test_other_folders_are_left_alone_and_earlier_exports_replaced(tmp_path):
    run = encoder_run(tmp_path / "run", "deep")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    for out in (tmp_path / "photos", run.root):
        with pytest.raises(InputError, match="name a new folder"):
            export(run, "timm", out)
    export(run, "timm", tmp_path / "out")
    export(run, "hub", tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= {"README.md", "model.safetensors"}
    assert "encoder.safetensors" not in names


@pytest.mark.parametrize("name", ["notes.txt", "README.md"], ids=["added", "edited"])
def test_files_that_a_user_added_or_edited_in_an_export_survive(tmp_path, name):
    run = encoder_run(tmp_path / "run", "deep")
    export(run, "hub", tmp_path / "out")
    (tmp_path / "out" / name).write_text("by hand")
    with pytest.raises(InputError, match=f"{name}.*name a new folder, or move them away"):
        export(run, "hub", tmp_path / "out")
    assert (tmp_path / "out" / name).read_text() == "by hand"
    assert not [*tmp_path.glob(".out.partial"), *tmp_path.glob(".out.lock")]


def test_an_export_follows_a_link_and_leaves_it(tmp_path):
    run = encoder_run(tmp_path / "run", "deep")
    (tmp_path / "disk" / "out").mkdir(parents=True)
    (tmp_path / "out").symlink_to(tmp_path / "disk" / "out")
    for _ in range(2):
        export(run, "timm", tmp_path / "out")
        assert (tmp_path / "out").is_symlink()
        assert (tmp_path / "disk" / "out" / "encoder.json").is_file()
