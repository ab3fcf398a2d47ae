"""A review with features: the queue, doubtful images, suggestions, splits, and stale changes."""

import csv
from io import StringIO

import pytest
import torch
from reviews import clustered_features, operation, small_journal

from coarsecon.errors import InputError
from coarsecon.review.journal import journal_of
from coarsecon.review.queue import QueueEntry, expected_gain, ordered
from coarsecon.review.session import Session, StaleError
from coarsecon.review.suggest import suggest
from coarsecon.review.views import show_cluster, show_overview, show_similar, show_suggestions
from coarsecon.search.exact import l2_normalize


@pytest.fixture
def session(tmp_path):
    path = small_journal(tmp_path / "review.jsonl", classes=2, clusters=3, images=12)
    with journal_of(path) as journal:
        yield Session(journal, clustered_features(journal.state.proposal), "anna")


def change(session: Session, op: str, **values: object) -> None:
    session.change({"op": op, "version": session.state.version, **values})


def fresh(session: Session) -> dict:
    """What a session without kept facts shows."""
    other = Session.__new__(Session)
    other.__dict__ |= session.__dict__ | {"_groups": {}}
    return {"overview": show_overview(other), "clusters": [show_cluster(other, n) for n in session.state.present()]}


def test_the_gain_of_open_clusters_is_their_size_times_belonging_and_of_named_ones_times_doubt():
    assert expected_gain("open", [0.9, 0.6]) == pytest.approx(1.5)
    assert expected_gain("named", [0.9, 0.6]) == pytest.approx(0.5)
    assert expected_gain("rejected", [0.9, 0.6]) == 0
    entries = [QueueEntry(0, "named", 9, 8), QueueEntry(1, "open", 2, 1), QueueEntry(2, "open", 3, 2)]
    assert [each.cluster for each in ordered(entries)] == [2, 1, 0]


def test_kept_facts_are_those_of_a_new_session_after_every_change(session):
    for op, values in [
        ("name", {"cluster": 0, "name": "gala"}), ("name", {"cluster": 1, "name": "gala"}),
        ("move", {"images": [0, 1], "cluster": 2}), ("exclude", {"images": [5, 40]}),
        ("split", {"cluster": 3, "parts": 3}), ("undo", {}), ("merge", {"cluster": 4, "others": [3]}),
        ("move", {"images": [20], "cluster": None}), ("undo", {}), ("undo", {}), ("redo", {}),
    ]:  # fmt: skip
        change(session, op, **values)
        shown = {
            "overview": show_overview(session),
            "clusters": [show_cluster(session, n) for n in session.state.present()],
        }
        assert shown == fresh(session), op


def test_misplaced_images_are_doubtful_and_last_until_a_person_checks_them(session):
    session.state.apply(operation(0, "split", cluster=0, parts=[[0, *range(2, 12)], [1]]))
    session.state.apply(operation(1, "merge", cluster=1, others=[6]))
    found = show_cluster(session, 1)
    assert (found["members"][-1]["image"], found["members"][-1]["doubtful"]) == (1, True)
    assert found["members"][-1]["likely"] == "c0-1"
    assert sum(each["doubtful"] for each in found["members"]) == 1
    change(session, "move", images=[1], cluster=1)
    checked = next(each for each in show_cluster(session, 1)["members"] if each["image"] == 1)
    assert (checked["doubtful"], checked["checked"], checked["belongs"]) == (False, True, 1)


def test_clusters_of_one_name_are_one_sub_class(session):
    for number, name in ((0, "gala"), (1, "gala"), (2, "golden")):
        change(session, "name", cluster=number, name=name)
    likely = dict(show_cluster(session, 2)["likely_names"])
    assert likely.keys() == {"gala", "golden"}
    assert likely["golden"] > 0.5
    assert show_overview(session)["names"] == {"c0": ["gala", "golden"], "c1": []}


def test_suggestions_are_uncertain_spread_and_not_asked_again(session):
    found = show_suggestions(session)["images"]
    assert len({each["image"] for each in found}) == 20
    first = found[0]
    assert [each["probability"] for each in first["options"]] == sorted(
        (each["probability"] for each in first["options"]), reverse=True
    )
    change(session, "move", images=[first["image"]], cluster=first["options"][0]["cluster"])
    assert first["image"] not in {each["image"] for each in show_suggestions(session)["images"]}


def test_suggestions_avoid_near_copies():
    features = l2_normalize(torch.tensor([[1.0, 0], [1, 0.01], [1, 0.02], [0, 1], [0.5, 0.5]]))
    margins = torch.tensor([0.0, 0.01, 0.02, 0.03, torch.nan])
    assert suggest(features, margins, 2) == [0, 3]
    assert sorted(suggest(features, margins, 9)) == [0, 1, 2, 3]
    assert suggest(features, torch.full((5,), torch.nan), 3) == []


def test_similar_images_are_the_nearest_of_all_classes(session):
    cosines = session.features @ session.features[7]
    cosines[7] = -1
    found = [each["image"] for each in show_similar(session, 7)["similar"]]
    assert found == cosines.argsort(descending=True)[:24].tolist()
    assert float(session.features[7] @ session.features[7]) == pytest.approx(1, abs=1e-5)


def test_a_split_finds_the_clusters_that_a_merge_hid(session):
    change(session, "merge", cluster=0, others=[1, 2])
    change(session, "split", cluster=0, parts=3)
    parts = [set(session.state.included(number)) for number in (0, 6, 7)]
    assert sorted(map(min, parts)) == [0, 12, 24]
    assert all(len(part) == 12 for part in parts)


@pytest.mark.parametrize("parts", [1, 13, 21, True, "2", None, [[0], [1]]])
def test_a_split_into_a_wrong_number_of_parts_is_refused(session, parts):
    with pytest.raises(InputError, match="parts"):
        change(session, "split", cluster=0, parts=parts)
    assert session.state.version == 0


def test_a_stale_change_is_recognized(session):
    change(session, "reject", cluster=0)
    with pytest.raises(StaleError, match="changed elsewhere"):
        session.change({"op": "reject", "version": 0, "cluster": 1})


def test_a_cluster_of_excluded_images_only_is_shown(session):
    change(session, "exclude", images=list(range(12)))
    found = show_cluster(session, 0)
    assert (found["size"], found["members"], len(found["excluded"])) == (0, [], 12)
    assert next(each for each in show_overview(session)["queue"] if each["cluster"] == 0)["sample"] is None
    change(session, "restore", images=[3])
    assert [each["image"] for each in show_cluster(session, 0)["members"]] == [3]


def test_the_table_says_who_gave_each_label_and_when(session):
    change(session, "name", cluster=0, name="gala")
    change(session, "name", cluster=3, name="gala")
    change(session, "exclude", images=[2])
    rows = {row["path"]: row for row in csv.DictReader(StringIO(session.table()))}
    assert len(rows) == 72
    assert rows["000.png"] | {"when": ""} == {
        "path": "000.png", "split": "train", "coarse": "c0", "fine": "gala", "label": "c0/gala", "status": "named",
        "who": "anna", "when": "",
    }  # fmt: skip
    assert rows["036.png"]["label"] == "c1/gala", "one name in two coarse classes is two sub-classes"
    assert [rows["002.png"][key] for key in ("label", "status", "who")] == ["", "excluded", "anna"]
    assert [rows["020.png"][key] for key in ("label", "status", "who")] == ["", "open", ""]
