"""The model card tells what the run's files say, and nothing leaves the machine unless asked."""

import json

import pytest
import yaml

from coarsecon.errors import CoarseconError, InputError
from coarsecon.exporters import export, hub
from coarsecon.exporters.comparison import encoder_of
from coarsecon.run.facade import Run
from coarsecon.run.folder import RunFolder, open_run
from coarsecon.runtime.files import atomic_write


@pytest.fixture
def card(tiny_run, tmp_path):
    run = open_run(tiny_run)
    values = {"split": "test", "encoder": "last", "fine": {"recall@1": 0.4321, "queries": 48}}
    atomic_write(run.results / "retrieve-card.json", json.dumps(values))
    other = {"split": "test", "encoder": "best", "fine": {"recall@1": 0.9876, "queries": 48}}
    atomic_write(run.results / "retrieve-best-card.json", json.dumps(other))
    export(run, "hub", tmp_path / "hub")
    for name in ("retrieve-card", "retrieve-best-card"):
        (run.results / f"{name}.json").unlink()
    return (tmp_path / "hub" / "README.md").read_text()


def test_the_card_is_filled_from_the_run(card, tiny_run):
    head = yaml.safe_load(card.split("---")[1])
    assert head["library_name"] == "timm"
    assert "| method | maskcon |" in card
    assert "| retrieve-card | test | fine | recall@1 43.21 |" in card
    assert "98.76" not in card  # of another encoder
    assert "retrieve-card: unverified" in card
    assert "96 images" in card
    assert "State here who owns the training images" in card  # no source is called tiny
    assert "import model" in card  # a small stem
    assert str(tiny_run) not in card
    assert yaml.safe_load(card.split("```yaml\n")[1].split("```")[0])["method"]["name"] == "maskcon"


def test_stale_numbers_enter_no_card(tiny_run, coarsecon, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    root = shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("results"))
    assert coarsecon("retrieve", root, "--device", "cpu", "--workers", 0).code == 0
    value = json.loads((root / "results" / "retrieve.json").read_text())["fine"]["recall@1"]
    shown = f"| retrieve | test | fine | recall@1 {100 * value:.2f} |"
    export(RunFolder(root), "hub", tmp_path / "before")
    assert shown in (tmp_path / "before" / "README.md").read_text()
    state = load_file(root / "encoder.safetensors")
    changed = {key: value + 0.1 if value.is_floating_point() else value for key, value in state.items()}
    save_file(changed, root / "encoder.safetensors", metadata={"format": "pt"})
    notes = export(RunFolder(root), "hub", tmp_path / "after")
    assert "recall@1" not in (tmp_path / "after" / "README.md").read_text()
    assert any("left out of README.md: retrieve (stale: computed from an earlier checkpoint)" in note for note in notes)
    assert json.loads((tmp_path / "after" / "export.json").read_text())["computed_from"]["encoders"][0]["fingerprint"]


def test_the_card_tells_how_long_the_run_was_trained(tiny_run, tmp_path):
    run = Run(tiny_run)
    config = run.folder.config()
    epochs = config.schedule.epochs
    assert f", {epochs} epochs of batches of 32" in hub.model_card(run, encoder_of(run))
    longer = config.model_copy(update={"schedule": config.schedule.model_copy(update={"epochs": 9})})
    assert hub._epochs(run, longer) == f", {epochs} of 9, not finished, epochs of batches of 32"
    run.folder = RunFolder(tmp_path)
    assert hub._epochs(run, longer) == ""


def test_a_dataset_with_known_terms_brings_them_along(tmp_path, tiny_data):
    from coarsecon.config import DataSettings, RunConfig

    info = json.loads((tiny_data / "dataset.json").read_text())
    copy = tmp_path / "data"
    copy.mkdir()
    for file in tiny_data.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    (copy / "dataset.json").write_text(json.dumps({**info, "name": "cifar100"}))
    assert "The authors state no license" in hub._terms(RunConfig(data=DataSettings(path=copy)))


class FakeHub:
    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []

    def create_repo(self, repo, exist_ok):
        if repo == "refused/name":
            raise OSError("401 Unauthorized")
        self.calls.append(("create", repo))
        return f"https://hub/{repo}"

    def upload_folder(self, *, folder_path, repo_id, commit_message):
        self.calls.append(("upload", repo_id, *sorted(path.name for path in folder_path.iterdir())))


@pytest.fixture
def fake_hub(monkeypatch):
    fake = FakeHub()
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: fake)
    return fake


def test_it_is_pushed_only_when_asked(coarsecon, tiny_run, tmp_path, fake_hub):
    done = coarsecon("export", tiny_run, "--to", "hub", "--out", tmp_path / "hub")
    assert done.code == 0, done.err
    assert fake_hub.calls == []
    done = coarsecon("export", tiny_run, "--to", "hub", "--out", tmp_path / "hub", "--push", "me/encoder")
    assert "pushed to https://hub/me/encoder" in done.err
    assert fake_hub.calls[1][:2] == ("upload", "me/encoder")
    assert {"README.md", "config.json", "model.safetensors", "model.py"} <= set(fake_hub.calls[1])


def test_a_hub_that_refuses_is_one_clear_error(tmp_path, fake_hub):
    with pytest.raises(CoarseconError, match="HF_TOKEN"):
        hub.push(tmp_path, "refused/name")


def test_a_malformed_repository_name_is_told_without_the_network(tmp_path):
    with pytest.raises((InputError, CoarseconError), match="no such/name/at all"):
        hub.push(tmp_path, "no such/name/at all")
