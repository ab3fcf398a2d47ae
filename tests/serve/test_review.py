"""The review over HTTP: what it shows, what it changes, and what it refuses."""

import csv
import json
from io import BytesIO, StringIO

import numpy as np
import pytest
from PIL import Image

from coarsecon.data.prepared.store import open_dataset
from coarsecon.review.journal import read_journal

pytest.importorskip("starlette")


@pytest.fixture
def served(review, tiny_run):
    return review(tiny_run)


def change(served, op: str, version: int, **values: object):
    return served.ask("POST", "/changes", json.dumps({"op": op, "version": version, **values}).encode())


def overview(served):
    return served.ask("GET", "/overview", headers={}).json


def test_the_queue_has_every_cluster_and_a_name_moves_the_progress(served):
    before = overview(served)
    assert (before["clusters"], before["images"], before["version"]) == ([0, 8], [0, 96], 0)
    gains = [each["gain"] for each in before["queue"]]
    assert gains == sorted(gains, reverse=True)
    first = before["queue"][0]
    after = change(served, "name", 0, cluster=first["cluster"], name="  Gala ").json
    assert (after["version"], after["clusters"], after["images"]) == (1, [1, 8], [first["size"], 96])
    assert after["names"][first["coarse"]] == ["Gala"]
    assert after["undo"] == "naming Gala"
    assert after["queue"][-1]["title"] == "Gala"
    assert read_journal(served.journal).version == 1


def test_a_change_is_on_disk_before_the_answer(served):
    for version in range(3):
        change(served, "reject", version, cluster=version)
        assert len(served.journal.read_text().splitlines()) == version + 2


def test_a_cluster_shows_its_images_by_typicality_and_its_nearest_clusters(served):
    found = served.ask("GET", "/clusters/0", headers={}).json
    assert len(found["members"]) == found["size"]
    doubtful = [each["doubtful"] for each in found["members"]]
    assert doubtful == sorted(doubtful)
    assert [each["coarse"] for each in found["neighbors"]] == [found["coarse"]]
    assert len(found["neighbors"][0]["samples"]) == 5


def test_a_split_by_number_stores_its_parts(served):
    size = served.ask("GET", "/clusters/0", headers={}).json["size"]
    after = change(served, "split", 0, cluster=0, parts=3).json
    assert after["clusters"] == [0, 10]
    parts = json.loads(served.journal.read_text().splitlines()[-1])["parts"]
    assert sum(map(len, parts)) == size
    change(served, "undo", 1)
    change(served, "split", 2, cluster=0, parts=3)
    assert json.loads(served.journal.read_text().splitlines()[-1])["parts"] == parts


def test_a_change_from_an_outdated_tab_is_refused_and_changes_nothing(served):
    change(served, "name", 0, cluster=0, name="gala")
    late = change(served, "name", 0, cluster=0, name="golden")
    assert late.status == 409
    assert "changed elsewhere" in late.json["error"]
    assert served.ask("GET", "/clusters/0", headers={}).json["name"] == "gala"
    assert overview(served)["version"] == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422), (b"[]", 400), (b"{}", 422), (b'{"op":"name"}', 422),
        (b'{"op":"split","version":0,"cluster":0,"parts":99}', 422),
        (b'{"op":"name","version":0,"cluster":99,"name":"x"}', 422),
        (b'{"op":"name","version":0,"cluster":"0","name":"x"}', 422),
        (b'{"op":"move","version":0,"images":[96],"cluster":null}', 422), (b"[" * 100_000, 422),
        (b'{"op":"undo","version":0}', 422), (b'{"op":"undo","version":0,"who":"root","extra":1}', 422),
    ],
)  # fmt: skip
def test_what_is_no_change_is_refused_in_one_line(served, body, status):
    answer = served.ask("POST", "/changes", body)
    assert answer.status == status
    assert "\n" not in answer.json["error"]
    assert len(served.journal.read_text().splitlines()) == 1


def test_a_change_needs_the_token_of_the_page(served):
    answer = served.ask("POST", "/changes", b'{"op":"reject","version":0,"cluster":0}', headers={})
    assert answer.status == 403
    assert overview(served)["version"] == 0


def test_the_reviewer_is_the_servers_and_not_the_requests(served):
    change(served, "reject", 0, cluster=0, who="somebody else", time="never")
    assert read_journal(served.journal).history[0].who == "anna"


def test_images_are_those_of_the_review_in_its_order(served, tiny_data):
    train = open_dataset(tiny_data).split("train")
    names = read_journal(served.journal).proposal.images
    answer = served.ask("GET", "/images/5", headers={})
    assert np.array_equal(np.asarray(Image.open(BytesIO(answer.body))), train.image(train.names.index(names[5])))
    for path in ("/images/96", "/images/x", "/clusters/99", "/similar/96", "/config.js", "/../config.yaml"):
        assert served.ask("GET", path, headers={}).status == 404, path


def test_suggestions_and_similar_images_name_clusters(served):
    found = served.ask("GET", "/suggestions", headers={}).json["images"]
    assert len({each["image"] for each in found}) == 20
    assert all(1 <= len(each["options"]) <= 3 for each in found)
    first = found[0]["image"]
    change(served, "move", 0, images=[first], cluster=found[0]["options"][0]["cluster"])
    again = served.ask("GET", "/suggestions", headers={}).json["images"]
    assert first not in {each["image"] for each in again}
    similar = served.ask("GET", f"/similar/{first}", headers={}).json["similar"]
    assert len(similar) == 24
    assert first not in {each["image"] for each in similar}


def test_the_table_has_a_row_for_each_image_and_quotes_formulas(served):
    facts = overview(served)["queue"][0]
    change(served, "name", 0, cluster=facts["cluster"], name="=SUM(A1)")
    change(served, "exclude", 1, images=[read_journal(served.journal).proposal.clusters[facts["cluster"]].images[0]])
    rows = list(csv.DictReader(StringIO(served.ask("GET", "/labels.csv", headers={}).body.decode("utf-8-sig"))))
    assert len(rows) == 96
    assert sum(row["label"] == "'=SUM(A1)" for row in rows) == facts["size"] - 1
    assert sum(row["status"] == "excluded" for row in rows) == 1
    assert {row["who"] for row in rows if row["label"]} == {"anna"}
