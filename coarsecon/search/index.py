"""Search index stored together with the table of its images."""

import hashlib
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import torch
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from coarsecon.errors import InputError
from coarsecon.runtime.files import several
from coarsecon.runtime.folders import MARKER, atomic_folder
from coarsecon.search.exact import faiss, l2_normalize, nearest
from coarsecon.search.items import ItemTable
from coarsecon.search.signature import is_signed, sign

EXACT = "Flat"
MANIFEST = "items.json"
REBUILD = "build the index again"

OWN_FILES = (MANIFEST, "features.safetensors", "index.faiss", MARKER)
"""Files that a saved index may consist of."""

MAX_TRAINING_IMAGES = 2**18
"""Images on which an approximate index is trained, at most."""

ADD_BATCH_SIZE = 2**16
"""Features added to an index at a time."""


class Neighbors(NamedTuple):
    """Neighbors of Q queries, best first: scores [Q, k] (cosines), indices [Q, k] int64 into the items."""

    scores: Tensor
    indices: Tensor


class SearchIndex:
    """Index of N images, searched by cosine; made by `build` or `load`.

    The `factory` "Flat" is exact and uses `exact.nearest`. Every other FAISS factory string ("IVF256,Flat", "HNSW32",
    "IVF1024,PQ64x4fs,RFlat", ...) is approximate; `index_recall` measures how much it finds.
    """

    def __init__(self, vectors: Any, items: ItemTable, factory: str) -> None:
        """Wrap `vectors`: a tensor [N, D] for "Flat", else a FAISS index of N vectors."""
        count = len(vectors) if factory == EXACT else vectors.ntotal
        if count != len(items):
            raise InputError("index", f"has {count} vectors, but its table lists {len(items)} images")
        self.vectors = vectors
        self.items = items
        self.factory = factory

    @property
    def exact(self) -> bool:
        """True if a query finds the true nearest neighbors."""
        return self.factory == EXACT

    @classmethod
    def build(cls, features: Tensor, items: ItemTable, factory: str = EXACT) -> Self:
        """Index features [N, D], normalized here, of the N images in `items`.

        An approximate index is trained on an even sample of the images and filled in pieces to limit memory.

        Raises:
            InputError: `factory` is not a FAISS factory string, or needs more images.
        """
        if factory == EXACT:
            return cls(l2_normalize(features).float().cpu(), items, factory)
        _require_faiss(factory)
        count, dim = features.shape
        try:
            index = faiss.index_factory(dim, factory, faiss.METRIC_INNER_PRODUCT)
            index.train(_normalized_rows(features[:: -(-count // MAX_TRAINING_IMAGES)]))
            for piece in features.split(ADD_BATCH_SIZE):
                index.add(_normalized_rows(piece))
            _search_wider(index)
            index.search(_normalized_rows(features[:1]), 1)
        except RuntimeError as error:
            raise InputError(
                "index",
                f"FAISS cannot build {factory!r} from {count} images of {dim} dimensions",
                "use 'Flat' (exact), or a factory string for fewer images, such as 'IVF64,Flat' or 'HNSW32'",
            ) from error
        return cls(index, items, factory)

    def query(self, features: Tensor, k: int) -> Neighbors:
        """Find the `k` items nearest to each row of features [Q, D], normalized here.

        Rows for which an approximate index finds fewer items end with index -1.

        Raises:
            InputError: The queries have another dimension than the index.
        """
        queries = l2_normalize(features).float().cpu()
        dim = self.vectors.shape[1] if self.exact else self.vectors.d
        if queries.shape[1] != dim:
            raise InputError(
                "query",
                f"dimension mismatch: query has {queries.shape[1]} dimensions, index has {dim}",
                "use the encoder the index was built with",
            )
        if self.exact:
            return Neighbors(*nearest(queries, self.vectors, k))
        scores, indices = self.vectors.search(queries.numpy(), min(k, len(self.items)))
        return Neighbors(torch.from_numpy(scores), torch.from_numpy(indices))

    def save(self, folder: Path | str) -> None:
        """Write `items.json` and `features.safetensors` ("Flat") or `index.faiss`, replacing an index in `folder`.

        Raises:
            InputError: The folder contains anything but an index.
        """
        folder = Path(folder)
        _check_replaceable(folder)
        with atomic_folder(folder, wait=True) as new:
            file = _vectors_file(new, self.factory)
            if self.exact:
                save_file({"features": self.vectors}, file)
            else:
                faiss.write_index(self.vectors, str(file))
            digest = _sha256(file)
            signature = "" if self.exact else sign(digest, self.factory)
            manifest = _Manifest(factory=self.factory, sha256=digest, signature=signature, items=self.items)
            (new / MANIFEST).write_text(manifest.model_dump_json(), encoding="utf-8")
            _check_replaceable(folder)

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read what `save` wrote.

        Raises:
            InputError: There is no index, it was changed, or it is a FAISS index that another user built, which is not
                parsed.
        """
        folder = Path(folder)
        try:
            manifest = _Manifest.model_validate_json((folder / MANIFEST).read_bytes())
            file = _vectors_file(folder, manifest.factory)
            if _sha256(file) != manifest.sha256:
                raise InputError(file, f"does not match its checksum in {MANIFEST}", REBUILD)
            if manifest.factory != EXACT and not is_signed(manifest.signature, manifest.sha256, manifest.factory):
                raise InputError(file, "was not built by this user on this machine", REBUILD)
            return cls(_read_vectors(file, manifest.factory), manifest.items, manifest.factory)
        except OSError as error:
            raise InputError(folder, f"contains no index ({error.strerror}: {error.filename})", REBUILD) from error
        except (ValidationError, SafetensorError, RuntimeError, MemoryError, KeyError) as error:
            raise InputError(folder, "contains an index that cannot be read", REBUILD) from error


class _Manifest(BaseModel):
    """Contents of `items.json`: the images, and the checksum of the file with their vectors."""

    format: Literal[1] = 1
    factory: str
    sha256: str
    signature: str = ""
    items: ItemTable


def _check_replaceable(folder: Path) -> None:
    """Raise InputError if saving an index would remove anything but an index."""
    if folder.exists() and not folder.is_dir():
        raise InputError(folder, "is a file", "choose a new folder for the index")
    entries = list(folder.iterdir()) if folder.exists() else []
    others = sorted(path.name for path in entries if path.name not in OWN_FILES or not path.is_file())
    if others or (entries and not (folder / MANIFEST).exists()):
        named = f" ({several(others)})" if others else ""
        raise InputError(folder, f"contains files that are not of an index{named}", "choose a new folder, or move them")


def _vectors_file(folder: Path, factory: str) -> Path:
    return folder / ("features.safetensors" if factory == EXACT else "index.faiss")


def _read_vectors(file: Path, factory: str) -> Any:
    if factory == EXACT:
        return load_file(file)["features"]
    _require_faiss(factory)
    return faiss.read_index(str(file))


def _search_wider(index: Any) -> None:
    """Raise the search effort of FAISS above its defaults (one cluster, no spare candidates to re-rank)."""
    inverted_file = faiss.try_extract_index_ivf(index)
    if inverted_file is not None:
        inverted_file.nprobe = max(1, round(inverted_file.nlist**0.5))
    if isinstance(index, faiss.IndexRefine):
        index.k_factor = 8


def _require_faiss(factory: str) -> None:
    if faiss is None:
        raise InputError("index", f"{factory!r} needs FAISS", "run `pip install faiss-cpu`, or use 'Flat'")


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _normalized_rows(features: Tensor) -> np.ndarray:
    return l2_normalize(features).float().cpu().numpy()


def _true_neighbors(features: Tensor, rows: Tensor, k: int) -> Tensor:
    """Find the `k` items [Q, k] nearest to the items `rows` [Q], in pieces of the features [N, D]."""
    queries = l2_normalize(features[rows]).float().cpu()
    best = Neighbors(torch.empty(len(rows), 0), torch.empty(len(rows), 0, dtype=torch.int64))
    for start in range(0, len(features), ADD_BATCH_SIZE):
        found = Neighbors(
            *nearest(queries, l2_normalize(features[start : start + ADD_BATCH_SIZE]).float().cpu(), k + 1)
        )
        indices = torch.cat([best.indices, found.indices + start], dim=1)
        scores = torch.cat([best.scores, found.scores], dim=1).masked_fill(indices == rows[:, None], -torch.inf)
        top = scores.topk(min(k, scores.shape[1], len(features) - 1))
        best = Neighbors(top.values, indices.gather(1, top.indices))
    return best.indices


def index_recall(index: SearchIndex, features: Tensor, k: int, sample: int = 1000) -> float:
    """Measure the fraction of the true `k` nearest neighbors that an approximate index finds.

    Args:
        features: The features [N, D] from which the index was built.
        sample: Number of queries, evenly spread over the features. A query is not its own neighbor.
    """
    if len(features) < 2:
        return 1.0
    rows = torch.arange(min(sample, len(features))) * len(features) // min(sample, len(features))
    true = _true_neighbors(features, rows, k)
    found = index.query(features[rows], k + 1).indices
    return float((true[:, :, None] == found[:, None, :]).any(2).float().mean())
