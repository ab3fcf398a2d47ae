"""The server over HTTP: what it finds, what it refuses, and that nothing from outside names a file."""

import csv
import hashlib
import shutil
import socket
import struct
import threading
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

import coarsecon
from coarsecon.data.prepared.store import open_dataset
from coarsecon.search.exact import nearest

pytest.importorskip("starlette")

from coarsecon.serve import app as app_module
from coarsecon.serve.page import MAX_UPLOAD_BYTES


@pytest.fixture
def train(tiny_data):
    return open_dataset(tiny_data).split("train")


@pytest.fixture
def test_images(tiny_data):
    return open_dataset(tiny_data).split("test")


def encoded(pixels: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def numbers(answer) -> list[int]:
    assert answer.status == 200, answer.body
    return [neighbor["number"] for neighbor in answer.json["neighbors"]]


def test_an_uploaded_image_finds_what_the_library_finds(serve, tiny_run, test_images):
    served, pixels = serve(tiny_run), test_images.image(3)
    answer = served.ask("POST", "/search?k=7&name=a.png", encoded(pixels))
    found = coarsecon.load(tiny_run, device="cpu").search(pixels, k=7)
    assert numbers(answer) == found.indices[0]
    neighbors = answer.json["neighbors"]
    assert [each["cosine"] for each in neighbors] == pytest.approx(found.scores[0], abs=1e-5)
    assert [each["labels"]["fine"] for each in neighbors] == found.labels["fine"][0]
    assert answer.json["query"]["id"] == hashlib.sha256(encoded(pixels)).hexdigest()
    again = served.ask("POST", f"/search?k=3&query={answer.json['query']['id']}")
    assert numbers(again) == found.indices[0][:3]


def test_a_filter_searches_the_whole_class_and_not_the_first_neighbors(serve, tiny_run, train):
    served = serve(tiny_run)
    features = coarsecon.load(tiny_run, device="cpu").features("train")
    for level, label in (("coarse", 2), ("fine", 11)):
        members = (train.labels[level] == label).nonzero().flatten()
        others = members[members != 0]
        wanted = others[nearest(features[:1], features[others], 4)[1][0]].tolist()
        answer = served.ask("POST", f"/search?query=train:0&k=4&class={level}/{label}")
        assert numbers(answer) == wanted
        assert answer.json["among"] == len(members)


def test_an_image_of_the_split_is_not_its_own_neighbor(serve, tiny_run):
    found = numbers(serve(tiny_run).ask("POST", "/search?query=train:5&k=100"))
    assert len(found) == 95
    assert 5 not in found


def test_an_approximate_index_serves_and_classes_are_still_searched_exactly(serve, tiny_run, train):
    served = serve(tiny_run, index="IVF4,Flat")
    assert 0 < len(numbers(served.ask("POST", "/search?query=train:5&k=10"))) <= 10
    inside = numbers(served.ask("POST", "/search?query=train:5&k=100&class=coarse/1"))
    assert set(inside) | {5} == set((train.labels["coarse"] == 1).nonzero().flatten().tolist()) | {5}


def test_images_come_by_number_pixel_for_pixel(serve, tiny_run, train):
    answer = (served := serve(tiny_run)).ask("GET", "/images/17?any", headers={})
    assert answer.headers["content-type"] == "image/png"
    assert np.array_equal(np.asarray(Image.open(BytesIO(answer.body))), train.image(17))
    assert served.ask("GET", "/images/96", headers={}).status == 404
    assert served.ask("GET", f"/images/{'9' * 5000}", headers={}).status == 404


PATHS = [
    "/images/../config.yaml", "/images/%2e%2e%2fconfig.yaml", "/images/0/../../config.yaml", "/../config.yaml",
    "//etc/passwd", "/images/-1", "/images/1.png", "/config.yaml", "/figures/tsne.html", "/map/../config.yaml",
    "/marks.csv/../config.yaml", "/page.css/../page.py", "/images/1%00", "/C:/Windows/win.ini", "/file:///etc/passwd",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_no_path_opens_a_file(serve, tiny_run, path):
    answer = serve(tiny_run).ask("GET", path, headers={})
    assert answer.status == 404
    assert b"root:" not in answer.body
    assert b"backbone" not in answer.body


def test_a_name_of_an_upload_stays_a_name(serve, tiny_run, test_images, tmp_path):
    served = serve(tiny_run)
    before = sorted(tmp_path.rglob("*"))
    path = "/search?k=1&name=" + "..%2F..%2Fetc%2Fpasswd%00%0a" + "x" * 500
    name = served.ask("POST", path, encoded(test_images.image(0))).json["query"]["name"]
    assert name.startswith("../../etc/passwdxxx")
    assert len(name) == app_module.MAX_NAME_LENGTH
    assert sorted(tmp_path.rglob("*")) == before


def huge(side: int) -> bytes:
    """A PNG of a few bytes that says it has so many pixels a side."""
    png = encoded(np.zeros((1, 1, 3), np.uint8))
    header = b"IHDR" + struct.pack(">II", side, side) + png[24:29]
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "unknown format"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unknown format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n(id) run\n", "unknown format"),
        (b"MZ" + bytes(2000), "unknown format"),
        (encoded(np.zeros((40, 40, 3), np.uint8), "JPEG")[:200], "not a readable image"),
        (encoded(np.zeros((400, 400, 3), np.uint8))[:80], "not a readable image"),
    ],
    ids=["nothing", "svg", "postscript", "program", "cut JPEG", "cut PNG"],
)
def test_what_is_no_image_is_told(serve, tiny_run, body, says):
    answer = serve(tiny_run).ask("POST", "/search?k=5&name=x.png", body)
    assert answer.status == 422
    assert says in answer.json["error"]
    assert "0x" not in answer.json["error"]
    assert answer.json["error"].startswith("x.png: ")
    assert "remove" not in answer.json["error"], "the file is the visitor's own"


@pytest.mark.parametrize(("side", "says"), [(9000, "9000 x 9000 px is more than is read"), (60_000, "not a readable")])
def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(serve, tiny_run, side, says):
    answer = serve(tiny_run).ask("POST", "/search?k=5", huge(side))
    assert answer.status == 422
    assert says in answer.json["error"]


def test_too_large_uploads_end_whether_they_say_their_length_or_not(serve, tiny_run, monkeypatch):
    served = serve(tiny_run)
    token = ": ".join(served.data["token"])
    head = f"POST /search?k=1 HTTP/1.1\r\nHost: {served.place}\r\n{token}\r\n"
    host, port = served.place.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as says_its_length:
        says_its_length.sendall(f"{head}Content-Length: {MAX_UPLOAD_BYTES + 1}\r\n\r\n".encode())
        assert b" 413 " in says_its_length.recv(200), "answered without waiting for a byte of it"
    monkeypatch.setattr(app_module, "MAX_UPLOAD_BYTES", 1000)
    with socket.create_connection((host, int(port)), timeout=20) as streams:
        streams.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n3e9\r\n{'x' * 1001}\r\n".encode())
        assert b" 413 " in streams.recv(200), "answered before the end of the stream"
    assert served.ask("POST", "/search?query=train:1&k=2").status == 200


def test_an_upload_that_does_not_arrive_is_given_up(serve, tiny_run, monkeypatch):
    monkeypatch.setattr(app_module, "UPLOAD_SECONDS", 0.2)
    served = serve(tiny_run)
    host, port = served.place.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as slow:
        token = ": ".join(served.data["token"])
        head = f"POST /search?k=1 HTTP/1.1\r\nHost: {served.place}\r\n{token}\r\n"
        slow.sendall(f"{head}Content-Length: 9\r\n\r\nabc".encode())
        assert b" 408 " in slow.recv(200)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/search?k=0&query=train:1", 400), ("/search?k=101&query=train:1", 400), ("/search?k=x&query=train:1", 400),
        ("/search?query=train:1", 400), ("/search?k=5&query=train:96", 404), ("/search?k=5&query=test:1", 404),
        ("/search?k=5&query=train:-1", 404), ("/search?k=5&query=train:" + "9" * 5000, 404),
        ("/search?k=5&query=" + "0" * 64, 404), ("/search?k=5&query=train:1&class=fine/16", 404),
        ("/search?k=5&query=train:1&class=fine/-1", 404),
        ("/search?k=5&query=train:1&class=fine/" + "9" * 5000, 404),
        ("/search?k=5&query=train:1&class=__class__/0", 404),
        ("/search?k=5&query=train:1&class=fine", 404), ("/marks?query=train:1&neighbor=96", 400),
        ("/marks?query=nobody&neighbor=1", 404), ("/marks?query=train:1", 400),
    ],
)  # fmt: skip
def test_wrong_parameters_are_refused_with_words(serve, tiny_run, path, status):
    answer = serve(tiny_run).ask("POST", path)
    assert answer.status == status
    assert answer.json["error"]


def test_marks_are_written_with_what_is_known_and_can_be_taken_back(serve, tiny_run, test_images):
    served = serve(tiny_run)
    assert served.ask("GET", "/marks.csv", headers={}).status == 404
    query = served.ask("POST", "/search?k=3&name=%3Dcmd%7C%21A1.png", encoded(test_images.image(3))).json
    first, second, third = query["neighbors"]
    for neighbor in (first, second, second):
        path = f"/marks?query={query['query']['id']}&neighbor={neighbor['number']}"
        marks = served.ask("POST", path).json["marks"]
    assert marks == 2
    served.ask("POST", f"/marks?query=train:7&neighbor={third['number']}")
    with served.marks.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["query"] for row in rows] == ["'=cmd|!A1.png", "'=cmd|!A1.png", "train-000007"]
    assert rows[0] | {"time": ""} == {
        "time": "", "query": "'=cmd|!A1.png", "query_id": query["query"]["id"], "query_coarse": "", "query_fine": "",
        "split": "train", "neighbour": str(first["number"]), "name": first["name"], "cosine": rows[0]["cosine"],
        **first["labels"],
    }  # fmt: skip
    assert float(rows[0]["cosine"]) == pytest.approx(first["cosine"], abs=1e-5)
    assert rows[2]["query_fine"]
    again = served.ask("POST", f"/search?k=3&query={query['query']['id']}").json["neighbors"]
    assert [neighbor["wrong"] for neighbor in again] == [True, True, False]
    assert served.ask("DELETE", path).json["marks"] == 2
    table = served.ask("GET", "/marks.csv", headers={})
    assert table.headers["content-disposition"] == 'attachment; filename="marks.csv"'
    assert table.body == served.marks.read_bytes()


def test_a_foreign_table_in_the_place_of_marks_stays_as_it_is(serve, tiny_run):
    served = serve(tiny_run)
    served.marks.parent.mkdir(exist_ok=True)
    served.marks.write_text("my,own,table\n1,2,3\n")
    answer = served.ask("POST", "/marks?query=train:1&neighbor=2")
    assert answer.status == 422
    assert "marks.csv" in answer.json["error"]
    assert served.marks.read_text() == "my,own,table\n1,2,3\n"


def test_a_map_of_an_earlier_checkpoint_is_marked(serve, tiny_run, coarsecon):
    from safetensors.torch import load_file, save_file

    served = serve(tiny_run)
    assert coarsecon("tsne", served.run, "--method", "pca", "--device", "cpu", "--workers", 0).code == 0
    assert ">Map (pca)</a>" in served.ask("GET", "/", headers={}).body.decode()
    weights = served.run / "encoder.safetensors"
    save_file({key: value + 1 for key, value in load_file(weights).items()}, weights, metadata={"format": "pt"})
    page = served.ask("GET", "/", headers={}).body.decode()
    assert ">Map (pca, stale: computed from an earlier checkpoint)</a>" in page


def test_the_page_tells_of_the_map_or_of_the_command_that_makes_one(serve, tiny_run):
    served = serve(tiny_run)
    (served.run / "figures").mkdir(exist_ok=True)
    for file in (served.run / "figures").glob("*.html"):
        file.unlink()
    page = served.ask("GET", "/", headers={}).body.decode()
    assert "coarsecon tsne &#39;" in page, "the path as a shell takes it"
    assert "&lt;run&gt;" in page
    assert "<run>" not in page
    assert served.ask("GET", "/map", headers={}).status == 404
    (served.run / "figures" / "tsne-best.html").write_text("<p>the map</p>")
    assert 'href="map"' in served.ask("GET", "/", headers={}).body.decode()
    answer = served.ask("GET", "/map", headers={})
    assert answer.body == b"<p>the map</p>"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts")
    assert "allow-same-origin" not in policy
    assert "connect-src" not in policy
    assert "default-src 'none'" in policy


def test_a_link_among_the_figures_opens_nothing_outside_of_the_run(serve, tiny_run, tmp_path):
    served = serve(tiny_run)
    shutil.rmtree(served.run / "figures", ignore_errors=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "tsne.html").write_text("a secret")
    (served.run / "figures").symlink_to(tmp_path / "elsewhere")
    assert served.ask("GET", "/map", headers={}).status == 404
    (served.run / "figures").unlink()
    (served.run / "figures").mkdir()
    (served.run / "figures" / "tsne.html").symlink_to(tmp_path / "elsewhere" / "tsne.html")
    assert served.ask("GET", "/map", headers={}).status == 404


def test_many_at_once_are_all_answered(serve, tiny_run, test_images):
    served, answers = serve(tiny_run), []

    def ask(i: int) -> None:
        answers.append((i, served.ask("POST", "/search?k=1", encoded(test_images.image(i)))))

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wanted = coarsecon.load(tiny_run, device="cpu").search([test_images.image(i) for i in range(24)], k=1).indices
    assert [numbers(answer) for _, answer in sorted(answers, key=lambda one: one[0])] == wanted
