"""Queries per second of one `coarsecon serve` process, from the bytes of an image to the HTTP response.

    python benchmarks/serve.py --items 100000

The encoder is a ResNet-10 with random weights at 64 px, the gallery contains synthetic features, and a query is a
JPEG of 1024 x 768 px. Clients are separate processes on the same machine, each with one query in flight; the
processor time covers only the server. Cases: searches among all images, within one class of twenty, and with
downloading the pictures of the 12 neighbors, as a browser with an empty cache does.
"""

import argparse
import json
import threading
import time
from http.client import HTTPConnection
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from machine import describe_machine
from PIL import Image

from coarsecon.config import BackboneSettings
from coarsecon.data.prepared.convert import as_prepared
from coarsecon.data.prepared.loader import padded
from coarsecon.nn.backbone import create_backbone
from coarsecon.nn.encoder import Encoder, EncoderCard, InputTransform
from coarsecon.run.folder import RunFolder
from coarsecon.search.index import SearchIndex
from coarsecon.search.items import ItemTable
from coarsecon.serve.app import create_app
from coarsecon.serve.finder import Finder
from coarsecon.serve.guard import TOKEN_HEADER
from coarsecon.serve.marks import Marks
from coarsecon.serve.server import listen, make_server

CLASSES = 20
CASES = {"all images": ("", False), "within a class": ("&class=coarse/3", False), "all, with 12 pictures": ("", True)}


def finder(items: int, size: int) -> Finder:
    """Create a gallery of random features and pictures."""
    generator = torch.Generator().manual_seed(0)
    backbone = BackboneSettings(name="resnet10t", stem="standard")
    recipe = InputTransform(size=size, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    encoder = Encoder(create_backbone(backbone, size).eval(), EncoderCard(backbone=backbone, input=recipe))
    table = ItemTable(
        names=[f"train-{i:06d}" for i in range(items)],
        labels={"coarse": [i % CLASSES for i in range(items)]},
        class_names={"coarse": [f"class {i}" for i in range(CLASSES)]},
    )
    index = SearchIndex.build(torch.randn(items, encoder.dim, generator=generator), table)
    pictures = np.random.default_rng(0).integers(0, 256, (64, size, size, 3), dtype=np.uint8)
    return Finder(
        "train", index, index.vectors, lambda i: pictures[i % len(pictures)],
        lambda data: encoder.embed(padded([as_prepared(data, size)])),
    )  # fmt: skip


def photo(seed: int) -> bytes:
    """Return a JPEG of 1024 x 768 px with as much detail as a photo."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((1024, 768), Image.BICUBIC)
    noisy = np.asarray(coarse, np.int16) + rng.integers(-8, 9, (768, 1024, 1), dtype=np.int16)
    stream = BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def client(port: int, token: str, case: str, queries: int, seed: int) -> list[float]:
    """Send queries one after the other and return their seconds. Call it in a separate process."""
    within, pictures = CASES[case]
    connection, body, seconds = HTTPConnection("127.0.0.1", port), photo(seed), []
    for _ in range(queries):
        start = time.perf_counter()
        connection.request("POST", f"/search?k=12&name=a.jpg{within}", body, {TOKEN_HEADER: token})
        response = connection.getresponse()
        answer = json.loads(response.read())
        assert response.status == 200, answer
        for neighbor in answer["neighbors"] if pictures else ():
            connection.request("GET", f"/images/{neighbor['number']}")
            connection.getresponse().read()
        seconds.append(time.perf_counter() - start)
    return seconds


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--queries", type=int, default=100, help="Queries per client.")
    options = parser.parse_args()
    torch.set_num_threads(1)  # as in the command
    print(describe_machine())
    with TemporaryDirectory() as folder, listen("127.0.0.1", 0) as listening:
        run, port = RunFolder(Path(folder)), listening.getsockname()[1]
        app = create_app(finder(options.items, options.size), Marks(run.root / "marks.csv"), run)
        token = str(app.user_middleware[0].kwargs["token"])
        server = make_server(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        count = options.clients * options.queries
        print(f"{options.items:,} images, {options.size} px, {options.clients} clients, {count} queries per case")
        print("| case | queries/s | processor ms per query | median ms | 95th percentile ms |\n|---|---|---|---|---|")
        with get_context("spawn").Pool(options.clients) as pool:
            for case in CASES:
                warm = [(port, token, case, 5, seed) for seed in range(options.clients)]
                pool.starmap(client, warm, 1)
                start, cpu = time.perf_counter(), time.process_time()
                asked = [(port, token, case, options.queries, seed) for seed in range(options.clients)]
                seconds = np.concatenate(pool.starmap(client, asked, 1))
                elapsed, cpu = time.perf_counter() - start, time.process_time() - cpu
                middle, slow = np.quantile(seconds, (0.5, 0.95)) * 1000
                print(f"| {case} | {count / elapsed:.1f} | {1000 * cpu / count:.1f} | {middle:.0f} | {slow:.0f} |")
        server.should_exit = True
        thread.join()


if __name__ == "__main__":
    main()
