"""A combined run: the weighted concatenation of the features of other runs, in a folder of its own."""

import json
import shutil

import numpy as np
import oracle
import pytest
import torch
from PIL import Image
from tiny import tiny_settings

import coarsecon
from coarsecon.errors import InputError
from coarsecon.evaluation.support import embedded_split
from coarsecon.run.combine import combine_runs, find_source
from coarsecon.run.facade import Run
from coarsecon.run.folder import RunFolder, open_run
from coarsecon.run.marks import encoder_mark
from coarsecon.run.missing import UnfinishedRunError
from coarsecon.run.provenance import Verifier
from coarsecon.run.restore import open_encoder
from coarsecon.run.spec import FeatureSpec, Runtime
from coarsecon.train.pretrain import pretrain
from coarsecon.train.resolve import build_run_spec

ON_CPU = Runtime("cpu", workers=0)
WEIGHTS = (1.0, 2.0)


@pytest.fixture(scope="module")
def other_run(tiny_data, tmp_path_factory):
    """A run of another image size, with its projector."""
    settings = tiny_settings(tiny_data, "supcon", data={"size": 24}, run={"seed": 5})
    return pretrain(build_run_spec(settings), tmp_path_factory.mktemp("run") / "second").root


@pytest.fixture(scope="module")
def made(tiny_run, other_run, tmp_path_factory):
    return combine_runs([tiny_run, other_run], tmp_path_factory.mktemp("combined") / "both", weights=WEIGHTS).root


@pytest.fixture
def combined(made, tmp_path):
    """A copy that a test may change."""
    shutil.copytree(made, tmp_path / "both")
    return tmp_path / "both"


def naive(parts, weights=WEIGHTS) -> np.ndarray:
    """Concatenate float64 features, each of length one times its weight, and normalize."""
    return oracle.unit(
        np.hstack([weight * oracle.unit(np.float64(part)) for part, weight in zip(parts, weights, strict=True)])
    )


def opened(path, **features) -> Run:
    return Run(path, features=FeatureSpec(**features), runtime=ON_CPU)


def test_python_combines_runs_and_opens_the_result(tiny_run, other_run, tmp_path):
    run = coarsecon.combine([tiny_run, f"{other_run}@best"], tmp_path / "both", weights=[2, 1], device="cpu", workers=0)
    assert run.folder.root == tmp_path / "both"
    wanted = naive([opened(tiny_run).features("test"), opened(other_run, checkpoint="best").features("test")], (2, 1))
    np.testing.assert_allclose(run.features("test").numpy(), wanted, atol=1e-6)
    with pytest.raises(InputError, match="exists already"):
        coarsecon.combine([tiny_run, other_run], tmp_path / "both")


@pytest.mark.parametrize("spec", [{}, {"flip": True}, {"layer": "projector"}])
def test_features_are_the_weighted_concatenation(combined, tiny_run, other_run, spec):
    found = opened(combined, **spec).features("test").numpy()
    wanted = naive([opened(run, **spec).features("test") for run in (tiny_run, other_run)])
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_files_are_embedded_as_by_each_run_and_broken_ones_left_out(combined, tiny_run, other_run, tmp_path):
    run = opened(combined)
    pixels = np.asarray(run.dataset.split("test").image(3))
    Image.fromarray(pixels).save(tmp_path / "image.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    files, features = run.store.readable_files([tmp_path / "broken.png", tmp_path / "image.png"])
    assert [file.name for file in files] == ["image.png"]
    parts = [opened(part).store.files([tmp_path / "image.png"]) for part in (tiny_run, other_run)]
    np.testing.assert_allclose(features, naive(parts), atol=1e-6)


def test_arrays_are_embedded_as_images_of_the_dataset(combined):
    run = opened(combined)
    found = run.embed([np.asarray(run.dataset.split("test").image(3))])
    torch.testing.assert_close(torch.from_numpy(found)[0], run.features("test")[3])


def test_copies_of_support_images_are_concatenated(combined, tiny_run, other_run):
    found, first, second = (
        embedded_split(run.store, run.dataset, "test", 2).support
        for run in map(opened, (combined, tiny_run, other_run))
    )
    np.testing.assert_allclose(found[:, 1], naive([first[:, 1], second[:, 1]]), atol=1e-6)


def test_recall_equals_the_oracles(combined):
    run = opened(combined)
    features, labels = run.features("test").numpy().astype(np.float64), run.dataset.split("test").labels["fine"].numpy()
    metrics = oracle.retrieval(features, features, (labels, labels), np.arange(len(labels)), (1, 5))
    found = coarsecon.evaluate(run, "retrieve")
    for name in ("recall@1", "recall@5", "map@r"):
        assert found[f"fine.{name}"] == pytest.approx(np.nanmean(metrics[name]), abs=1e-6)


@pytest.mark.parametrize("command", [
    ["retrieve"], ["knn"], ["linear"], ["cluster"], ["tsne", "--method", "pca"], ["report"],
    ["fewshot", "--ways", "2", "--episodes", "3", "--queries", "1", "--support-copies", "2"],
])  # fmt: skip
def test_evaluations_and_the_report_accept_it(combined, coarsecon, command):
    done = coarsecon(command[0], combined, *command[1:], *["--device", "cpu"] * (command[0] != "report"))
    assert done.code == 0, done.err
    assert "stale" not in done.err


@pytest.mark.parametrize("command", [
    ["export", "--to", "timm"], ["export", "--to", "onnx"], ["localize"], ["linear", "--finetune"],
])  # fmt: skip
def test_commands_for_one_network_name_a_part(combined, coarsecon, command):
    done = coarsecon(command[0], combined, *command[1:])
    assert done.code == 2
    assert f"combines 2 encoders, and this needs a single network; use a part: {combined / 'parts' / '1'}" in done.err


def test_a_part_is_a_run(combined, coarsecon):
    assert coarsecon("export", combined / "parts" / "2", "--to", "timm").code == 0


def test_it_needs_neither_the_runs_nor_a_second_pass_over_the_images(tiny_run, other_run, tmp_path, monkeypatch):
    for name, run in (("a", tiny_run), ("b", other_run)):
        shutil.copytree(run, tmp_path / name)
        opened(tmp_path / name).features("test")
    combine_runs([tmp_path / "a", tmp_path / "b"], tmp_path / "both")
    shutil.rmtree(tmp_path / "a")
    shutil.rmtree(tmp_path / "b")
    monkeypatch.setattr("coarsecon.nn.encoder.Encoder.features", None)
    assert opened(tmp_path / "both").features("test").shape == (48, 32)


def test_a_checkpoint_is_chosen_per_run(tiny_run, tmp_path):
    made = combine_runs([tiny_run, f"{tiny_run}@best"], tmp_path / "both")
    second = RunFolder(made.root / "parts" / "2")
    assert encoder_mark(second, "last") == encoder_mark(RunFolder(tiny_run), "best")


def test_a_folder_whose_name_has_an_at_sign_is_found(tiny_run, tmp_path):
    (tmp_path / "run@best").symlink_to(tiny_run)
    assert find_source(tmp_path / "run@best")[1] == "last"
    with pytest.raises(InputError, match="checkpoints are named @last"):
        find_source(f"{tiny_run}@bets")


def test_the_command_prints_the_next_one(coarsecon, tiny_run, other_run, tmp_path):
    done = coarsecon("combine", tiny_run, other_run, "--weights", "1,2", "--out", tmp_path / "both")
    assert done.code == 0, done.err
    assert f"next: coarsecon retrieve {tmp_path / 'both'}" in done.err
    assert open_run(tmp_path / "both").config().method["parts"][1]["weight"] == 2


@pytest.mark.parametrize(("weights", "message"), [
    ("1", "--weights: there are 1 for 2 runs"), ("1,x", "--weights: '1,x' is no list of numbers"),
    ("1,0", "--weights: must be above 0"), ("1,nan", "--weights: must be above 0"),
])  # fmt: skip
def test_wrong_weights_are_refused(coarsecon, tiny_run, tmp_path, weights, message):
    done = coarsecon("combine", tiny_run, tiny_run, "--weights", weights, "--out", tmp_path / "both")
    assert done.code == 2
    assert message in done.err
    assert not (tmp_path / "both").exists()


def test_what_cannot_be_combined_is_refused(coarsecon, made, tiny_run, tmp_path):
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    shutil.copy(tiny_run / "config.yaml", unfinished)
    for runs, message in (
        ([tiny_run], "there are 1"),
        ([tiny_run, made], "is a combined run; name the runs it was made of"),
        ([tiny_run, unfinished], "no encoder here"),
        ([tiny_run, tmp_path], "not a run folder"),
    ):
        done = coarsecon("combine", *runs, "--out", tmp_path / "both")
        assert done.code == 2
        assert message in done.err
    assert "exists already" in coarsecon("combine", tiny_run, tiny_run, "--out", made).err


def test_the_projector_needs_one_in_every_part(tiny_run, tiny_data, tmp_path):
    settings = tiny_settings(tiny_data, "supce", schedule={"epochs": 1, "warmup_epochs": 0})
    without = pretrain(build_run_spec(settings), tmp_path / "supce").root
    made = combine_runs([tiny_run, without], tmp_path / "both").root
    with pytest.raises(InputError, match="supce has no projector"):
        opened(made, layer="projector").store  # noqa: B018
    assert not opened(made).store.has_projector()


def test_there_is_no_best_checkpoint(combined):
    with pytest.raises(InputError, match="combines encoders that were chosen before; use the checkpoint last"):
        opened(combined, checkpoint="best").store  # noqa: B018


def test_results_are_stale_after_a_part_changes(combined, other_run):
    coarsecon.evaluate(opened(combined), "knn")
    assert [result.freshness.status for result in Verifier(RunFolder(combined)).results()] == ["current"]
    shutil.copy(other_run / "encoder-best.json", combined / "parts" / "1" / "encoder.json")
    assert [result.freshness.status for result in Verifier(RunFolder(combined)).results()] == ["stale"]


@pytest.mark.parametrize(("content", "message"), [
    ("[]", "not a JSON object"),
    ('{"parts": []}', "at least 2 items"),
    ('{"format_version": 2, "parts": []}', "format_version"),
    ('{"parts": [{"run": "a", "checkpoint": "last", "weight": 1e400}, {}]}', "not valid JSON|finite|less than"),
    ('{"parts": [{"run": "a", "checkpoint": "last", "weight": 1, "folder": "/etc"}, {}]}', "not a setting"),
])  # fmt: skip
def test_a_damaged_combination_is_refused(combined, content, message):
    (combined / "combined.json").write_text(content)
    with pytest.raises(InputError, match=message) as raised:
        opened(combined).features("test")
    assert "combine the runs again" in str(raised.value)


def test_links_out_of_the_run_are_refused(combined, other_run, tmp_path):
    shutil.rmtree(combined / "parts" / "2")
    (combined / "parts" / "2").symlink_to(other_run)
    with pytest.raises(InputError, match="a symbolic link in it leads out of the run"):
        opened(combined).features("test")
    (combined / "combined.json").rename(tmp_path / "elsewhere.json")
    (combined / "combined.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(InputError, match="leads out of the run"):
        opened(combined).features("test")


def test_parts_that_are_combined_or_missing_are_refused(combined):
    shutil.copy(combined / "combined.json", combined / "parts" / "1")
    with pytest.raises(InputError, match="is a combined run itself"):
        opened(combined).features("test")
    (combined / "parts" / "1" / "combined.json").unlink()
    (combined / "parts" / "2" / "encoder.safetensors").unlink()
    with pytest.raises(InputError, match="does not exist") as raised:
        opened(combined).features("test")
    assert not isinstance(raised.value, UnfinishedRunError)


def test_open_encoder_refuses_it(combined):
    with pytest.raises(InputError, match="combines 2 encoders"):
        open_encoder(open_run(combined))
    assert json.loads((combined / "combined.json").read_text())["parts"][0]["checkpoint"] == "last"
