"""Tuning a search: chosen without the queries that are reported, stored, and used only when asked."""

import json
import shutil

import numpy as np
import oracle
import pytest
import torch
from PIL import Image
from tiny import write_tiny_dataset

import coarsecon
from coarsecon.data.prepared.store import open_dataset
from coarsecon.errors import InputError
from coarsecon.evaluation.tune import RERANKINGS, search_settings
from coarsecon.evaluation.tuning_cases import tuning_cases
from coarsecon.run.combine import combine_runs
from coarsecon.run.facade import Run
from coarsecon.run.features import FeatureStore
from coarsecon.run.folder import RunFolder
from coarsecon.run.spec import Runtime
from coarsecon.run.tuned import read_tuning, store_tuning
from coarsecon.run.tuning import Reranking, TunedFeatures, Tuning
from coarsecon.runtime.progress import Reporter
from coarsecon.search.whitening import fit_whitening
from coarsecon.serve.finder import Finder

CHOICE = Tuning(layers=["backbone", "projector"], zooms=[1.0, 0.8], transform="center", reranking=RERANKINGS[1])


def opened(path, data=None) -> Run:
    return Run(path, data, runtime=Runtime("cpu", workers=0))


@pytest.fixture
def folder(tiny_run, tmp_path):
    return shutil.copytree(tiny_run, tmp_path / "run")


@pytest.fixture
def run(folder) -> Run:
    return opened(folder)


def store(run: Run, tuning: Tuning):
    choosing, _ = tuning_cases(run, None, None)
    return store_tuning(run, tuning, [choosing.queries.ref, choosing.gallery.ref], {})


def test_the_plain_search_has_the_recall_of_retrieve(run):
    _, reporting = tuning_cases(run, None, None)
    values = reporting.measure(run, Tuning())
    wanted = coarsecon.evaluate(run, "retrieve", gallery_split="train")
    for level, names in values.items():
        for name, value in names.items():
            assert float(value.nanmean()) == pytest.approx(wanted[f"{level}.{name}"])


@pytest.mark.parametrize("tuning", [
    Tuning(transform="whiten"), Tuning(layers=["projector"], flip=True, transform="center"),
    Tuning(layers=["backbone", "projector"], zooms=[1.0, 0.7]),
])  # fmt: skip
def test_recall_of_tuned_features_is_that_of_the_oracle(run, tuning):
    _, reporting = tuning_cases(run, None, None)
    queries, gallery = [], []
    for layer in tuning.layers:
        part = run.with_features(layer=layer, flip=tuning.flip)
        zooms = [part.store.split(run.dataset, "test", zoom=zoom).numpy() for zoom in tuning.zooms]
        queries.append(oracle.unit(np.mean(np.float64(zooms), axis=0)))
        gallery.append(np.float64(part.features("train").numpy()))
    queries, gallery = (oracle.unit(np.hstack(rows)) for rows in (queries, gallery))
    if tuning.transform != "none":
        fitted = fit_whitening(torch.from_numpy(gallery)) if tuning.transform == "whiten" else None
        mean, matrix = gallery.mean(0), np.eye(gallery.shape[1]) if fitted is None else fitted.matrix.numpy()
        queries, gallery = ((rows - mean) @ matrix for rows in (queries, gallery))
    labels = tuple(run.dataset.split(name).labels["fine"].numpy() for name in ("test", "train"))
    wanted = oracle.retrieval(queries, gallery, labels, np.full(len(queries), -1), (1, 5))
    found = reporting.measure(run, tuning)["fine"]
    for name in ("recall@1", "recall@5"):
        assert float(found[name].nanmean()) == pytest.approx(np.nanmean(wanted[name]), abs=1e-6)


def test_settings_are_chosen_without_the_reported_split(run, monkeypatch):
    read = []
    original = FeatureStore.split

    def split(self, dataset, name, **options):
        read.append(name)
        return original(self, dataset, name, **options)

    monkeypatch.setattr(FeatureStore, "split", split)
    choosing, _ = tuning_cases(run, None, None)
    tries = search_settings(run, choosing, Tuning())
    assert set(read) == {"train"}
    assert len(tries) > 10


def test_queries_are_those_of_val_where_it_exists(folder, tmp_path):
    data = write_tiny_dataset(tmp_path / "data")
    info = json.loads((data / "dataset.json").read_text())
    info["splits"]["val"] = info["splits"]["test"]
    (data / "dataset.json").write_text(json.dumps(info))
    for suffix in ("safetensors", "files.json"):
        if (data / f"test.{suffix}").exists():
            shutil.copy(data / f"test.{suffix}", data / f"val.{suffix}")
    run = opened(folder, data)
    assert [str(case.queries) for case in tuning_cases(run, None, None)] == ["val", "test"]
    assert [str(case.queries) for case in tuning_cases(run, "val", None)] == ["19 images of train", "val"]


def test_held_out_queries_and_galleries_are_disjoint(run):
    choosing, reporting = tuning_cases(run, "train", None)
    parts = [choosing.queries.rows, reporting.queries.rows, choosing.gallery.rows]
    assert torch.cat(parts).sort().values.tolist() == list(range(96))
    assert torch.equal(choosing.gallery.rows, reporting.gallery.rows)
    held_out, _ = tuning_cases(run, "test", None)
    rows = torch.cat([held_out.queries.rows, held_out.gallery.rows])
    assert rows.sort().values.tolist() == list(range(96))


def test_each_setting_is_chosen_in_turn_and_only_for_a_gain(run):
    class Scored:
        """A case whose recall is known."""

        def measure(self, run, tuning):
            value = 0.5 + 0.1 * (tuning.layers == ["projector"]) + 0.1 * tuning.flip - 0.1 * (len(tuning.zooms) > 1)
            value += 0.05 * (tuning.reranking == RERANKINGS[2])
            return {"fine": {"recall@1": torch.tensor([value])}}

    tries = search_settings(run, Scored(), Tuning())
    chosen = [each.tuning for each in tries if each.is_chosen]
    assert chosen[-1] == Tuning(layers=["projector"], flip=True, reranking=RERANKINGS[2])
    assert [each.transform for each in chosen] == ["none"] * len(chosen)


def test_the_command_prints_stores_and_uses_the_choice(coarsecon, folder, tiny_data, tmp_path):
    image = tmp_path / "query.png"
    Image.fromarray(np.asarray(open_dataset(tiny_data).split("test").image(0))).save(image)
    done = coarsecon("retrieve", folder, "--tune", "--device", "cpu", "--json", tmp_path / "found.json")
    assert done.code == 0, done.err
    assert "Recall@1 of validation queries: 19 images of train" in done.out
    assert f"wrote {folder / 'tuned.json'}" in done.err
    found = json.loads((tmp_path / "found.json").read_text())["fine"]["recall@1"]
    assert found["difference_ci95"][0] <= found["tuned"] - found["plain"] <= found["difference_ci95"][1]
    assert coarsecon("retrieve", folder, "--query", image, "--tuned", "--device", "cpu").code == 0
    assert coarsecon("report", folder).code == 0


def test_files_and_the_python_api_search_with_the_stored_choice(run, coarsecon, tmp_path):
    store(run, CHOICE)
    image = tmp_path / "query.png"
    pixels = np.asarray(run.dataset.split("test").image(0))
    Image.fromarray(pixels).save(image)
    features = TunedFeatures(run.store, CHOICE)
    sets = features.sets(lambda part: part.split(run.dataset, "train"))
    assert [rows.shape[1] for rows in sets] == [16, 16]
    found = run.search(image, k=5, tuned=True)
    assert run.search([pixels], k=5, tuned=True).indices == found.indices
    done = coarsecon("retrieve", run.folder.root, "--query", image, "--tuned", "--top-k", "5", "--json", "-")
    assert [each["name"] for each in json.loads(done.out)[0]["neighbours"]] == found.names[0]
    finder = Finder.of(run, "train", tuned=True)
    query = finder.uploaded(image.read_bytes(), "query.png")
    assert [number for number, _ in finder.neighbors(query, 5)] == found.indices[0]
    assert len(finder.neighbors(query, 3, within=("coarse", 1))) == 3


def test_nothing_of_it_is_a_default(run):
    before = run.search([run.dataset.split("test").image(0)], k=5)
    store(run, CHOICE)
    assert opened(run.folder.root).search([run.dataset.split("test").image(0)], k=5) == before


def test_encoders_of_a_combined_run_and_the_initial_one_are_weighted(folder, tiny_run, tmp_path):
    both = opened(combine_runs([tiny_run, f"{tiny_run}@best"], tmp_path / "both").root)
    parts = [opened(part).features("test") for part in (both.folder.root / "parts" / "1", both.folder.root / "parts/2")]
    sets = TunedFeatures(both.store, Tuning(weights=[1.0, 2.0])).sets(lambda part: part.split(both.dataset, "test"))
    for found, wanted in zip(sets, parts, strict=True):
        torch.testing.assert_close(found, wanted)
    for suffix in ("safetensors", "json"):
        shutil.copy(folder / f"encoder-best.{suffix}", folder / f"encoder-initial.{suffix}")
    run = opened(folder)
    chosen = TunedFeatures(run.store, Tuning(layers=["projector"], weights=[1.0, 2.0]))
    assert [(part.spec.checkpoint, part.spec.layer) for part in chosen.stores] == [
        ("initial", "backbone"), ("last", "projector"),
    ]  # fmt: skip
    store(run, Tuning(weights=[1.0, 1.0]))
    assert run.search([run.dataset.split("test").image(0)], k=3, tuned=True).indices[0]


def test_a_choice_is_refused_after_the_encoder_changes(run, folder):
    store(run, CHOICE)
    assert read_tuning(opened(folder)) == CHOICE
    card = json.loads((folder / "encoder.json").read_text())
    card["input"]["mean"] = [0.1, 0.1, 0.1]
    (folder / "encoder.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match="stale: computed from an earlier checkpoint"):
        read_tuning(opened(folder))


def test_a_choice_is_refused_after_the_dataset_changes(folder, tmp_path):
    data = write_tiny_dataset(tmp_path / "data", train=80)
    store(opened(folder, data), CHOICE)
    shutil.rmtree(data)
    write_tiny_dataset(data, train=64)
    with pytest.raises(InputError, match="stale: computed from another dataset"):
        read_tuning(opened(folder, data))


def test_a_choice_for_another_dataset_is_reported(folder, tmp_path):
    store(opened(folder), CHOICE)
    messages: list[str] = []
    data = write_tiny_dataset(tmp_path / "data", train=80)
    runtime = Runtime("cpu", workers=0, reporter=ConsoleMessages(messages))
    read_tuning(Run(folder, data, runtime=runtime))
    assert "tuned on other images than those of" in messages[0]


class ConsoleMessages(Reporter):
    """Keep all messages."""

    def __init__(self, messages: list[str]) -> None:
        self.messages = messages

    def info(self, message: str) -> None:
        self.messages.append(message)


@pytest.mark.parametrize(("content", "message"), [
    ("[]", "not a JSON object"),
    ("{}", "format None is not supported"),
    ('{"format_version": 2}', "format 2 is not supported"),
    ('{"format_version": 1, "tuning": {"zooms": [0]}}', "zooms"),
    ('{"format_version": 1, "tuning": {"reranking": {"k1": 1000000, "k2": 1, "weight": 0}}}', "at most|less than"),
    ('{"format_version": 1, "tuning": {"execute": "x"}}', "is not a setting"),
    ('{"format_version": 1, "tuning": {"weights": [1, 1, 1]}}', "no such|encoders|stale|unverified"),
])  # fmt: skip
def test_damaged_choices_are_refused_in_one_line(run, coarsecon, content, message, tmp_path):
    (run.folder.root / "tuned.json").write_text(content)
    with pytest.raises(InputError, match=message):
        run.search([run.dataset.split("test").image(0)], tuned=True)


def test_a_link_out_of_the_run_is_not_followed(run, tmp_path):
    store(run, CHOICE).rename(tmp_path / "elsewhere.json")
    (run.folder.root / "tuned.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(InputError, match="a symbolic link"):
        read_tuning(run)


@pytest.mark.parametrize(("options", "message"), [
    (["--tuned"], "--tuned: is for searches; pass --query too"),
    (["--tune", "--query", "x.png"], "--query: cannot be combined with tuning"),
    (["--tuned", "--query", "x.png", "--index", "IVF4,Flat"], "--index: a tuned search is exact"),
])  # fmt: skip
def test_options_that_contradict_are_refused(coarsecon, tiny_run, options, message):
    done = coarsecon("retrieve", tiny_run, *options)
    assert done.code == 2
    assert message in done.err


def test_a_run_without_a_choice_says_how_to_make_one(coarsecon, folder, tmp_path):
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    done = coarsecon("retrieve", folder, "--query", tmp_path / "a.png", "--tuned", "--device", "cpu")
    assert done.code == 2
    assert "this run is not tuned; evaluate `retrieve` with --tune first" in done.err
    with pytest.raises(InputError, match="needs images as queries"):
        opened(folder).search(torch.zeros(1, 16), tuned=True)


def test_a_read_only_run_is_tuned_without_storing(run, monkeypatch):
    monkeypatch.setattr(RunFolder, "owns", lambda *_: False)
    result = coarsecon.evaluate(run, "retrieve", tune=True)
    assert result.values["tuned"]
    assert not (run.folder.root / "tuned.json").exists()
    assert Reranking(k1=1, k2=1, weight=0)
