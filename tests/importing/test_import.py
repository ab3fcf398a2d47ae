"""Every published form of checkpoint becomes a run with the same features, heads and evaluations."""

import json

import pytest
import torch
from encoders import FEW, encoder_run
from published import STAND_INS, maskcon, moco, resnet, supervised

from coarsecon.data.batch import ImageBatch
from coarsecon.errors import InputError
from coarsecon.evaluation.features import split_features
from coarsecon.evaluation.retrieval import recall_at_k
from coarsecon.export import export
from coarsecon.importing import Wishes, import_checkpoint
from coarsecon.methods.restore import coarse_classes, load_method
from coarsecon.nn.encoder import load_encoder
from coarsecon.runs import open_run


@pytest.mark.parametrize("name", STAND_INS)
@torch.no_grad()
def test_every_published_form_is_imported_and_evaluates(name, tmp_path, tiny_data):
    form, make, wishes = STAND_INS[name]
    content, features = make()
    torch.save(content, tmp_path / "checkpoint.pth")
    account = import_checkpoint(
        tmp_path / "checkpoint.pth", form, tmp_path / "run", data=tiny_data, wishes=Wishes(**wishes)
    )
    run = open_run(tmp_path / "run")
    encoder = load_encoder(run.encoder())
    images = torch.randint(0, 256, (2, 3, 32, 32), generator=torch.Generator().manual_seed(0)).byte()
    batch = ImageBatch.full(images)
    wanted, found = features(encoder.inputs(batch)), encoder.features(batch)
    assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()
    from coarsecon.data.store import open_dataset

    dataset = open_dataset(tiny_data)
    recall = recall_at_k(split_features(run, dataset, "test"), dataset.split("test").labels["fine"], [1, 5])
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
    assert "no training state" in done.err


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


def refused(tmp_path, content, form, **wishes):
    torch.save(content, tmp_path / "c.pth")
    with pytest.raises(InputError) as error:
        import_checkpoint(tmp_path / "c.pth", form, tmp_path / "run", wishes=Wishes(**wishes))
    assert not (tmp_path / "run").exists()
    return str(error.value)


def test_what_only_the_user_can_say_is_asked_for(tmp_path):
    assert "--normalise" in refused(tmp_path, maskcon(small=True)[0], "maskcon")
    assert "--filter" in refused(tmp_path, moco()[0], "salmask")
    assert "needs --data" in refused(tmp_path, moco()[0], "moco", normalise="data")
    assert "--backbone" in refused(tmp_path, {"blocks.0.norm1.weight": torch.ones(4)}, "timm")


def test_a_checkpoint_of_another_form_or_network_is_told(tmp_path):
    assert "but with bn1, conv1" in refused(tmp_path, supervised()[0], "moco")
    state = resnet().state_dict()
    del state["layer4.1.bn2.weight"]
    assert "layer4.1.bn2.weight is missing" in refused(tmp_path, state, "torchvision")
    state["layer4.1.bn2.weight"] = torch.ones(7)
    assert "[7] instead of [512]" in refused(tmp_path, state, "torchvision")


def test_old_files_without_counters_are_taken(tmp_path):
    state = {name: value for name, value in resnet().state_dict().items() if "num_batches" not in name}
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    account = import_checkpoint(tmp_path / "old.pth", "torchvision", tmp_path / "run")
    assert account.loaded[0].startswith(f"{len(state)} entries")
