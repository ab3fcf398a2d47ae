"""Seeded damage to files: their bytes, values of structured text, and payloads that would run code when loaded."""

import io
import json
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

CANARY = "canary"
"""The file that payloads create in the current folder when their code runs."""

ODD_VALUES: list[Any] = [
    None, True, -1, 0, 1e308, 10**400, 2**63, "", "x" * 100_000, "../outside/secret.png", "/etc/passwd", "hf-hub:a/b",
    "\u202e\x00", [], {}, [[]], {"file": "outside/evil.pkl", "url": "http://127.0.0.1:9/x"}, "NaN", "true", 1.5,
]  # fmt: skip
"""What takes the place of a value: other types, bounds, names of other files."""

TEXT_SUFFIXES = (".json", ".jsonl", ".yaml", ".csv", ".tsv", ".txt")
PICKLE_SUFFIXES = (".pt", ".pth", ".npy", ".pkl", ".safetensors", ".faiss")


class Payload:
    """An object whose unpickling creates the canary."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
        return open, (CANARY, "w")


def mutate(file: Path, rng: random.Random) -> str:
    """Damage one file in place; return what was done."""
    kinds: list[Callable[[bytes, random.Random], bytes]] = [cut, flip, overwrite, duplicate, zeros, empty, swap_ends]
    if file.suffix == ".json":
        kinds += [change_json, change_json, change_json, change_json, nest_json]
    elif file.suffix in TEXT_SUFFIXES:
        kinds += [change_lines, change_lines, change_words, change_words, nest_json]
    if file.suffix == ".yaml":
        kinds += [alias_bomb, recursive_alias, yaml_payload]
    if file.suffix in PICKLE_SUFFIXES:
        kinds += [pickle_payload, torch_payload, array_payload, other_structure, zip_archive]
    kind = rng.choice(kinds)
    file.write_bytes(kind(file.read_bytes(), rng))
    return kind.__name__


def cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def flip(content: bytes, rng: random.Random) -> bytes:
    return _changed(content, rng, 1, lambda byte: byte ^ 1 << rng.randrange(8))


def overwrite(content: bytes, rng: random.Random) -> bytes:
    return _changed(content, rng, rng.randrange(1, 16), lambda _: rng.randrange(256))


def duplicate(content: bytes, rng: random.Random) -> bytes:
    start, end = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    return content[:end] + content[start:end] + content[end:]


def zeros(content: bytes, rng: random.Random) -> bytes:
    start, end = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    return content[:start] + bytes(end - start) + content[end:]


def empty(content: bytes, rng: random.Random) -> bytes:
    return b""


def swap_ends(content: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(content) + 1)
    return content[place:] + content[:place]


def change_json(content: bytes, rng: random.Random) -> bytes:
    """Replace, remove or add one value anywhere in a JSON document."""
    document = json.loads(content)
    places = list(_places(document))
    if not places:
        return json.dumps(rng.choice(ODD_VALUES[:4])).encode()
    holder, key = rng.choice(places)
    action = rng.randrange(4)
    if action == 0:
        del holder[key]
    elif action == 1 and isinstance(holder, dict):
        holder[rng.choice(["format_version", "pretrained", "checkpoint_path", "extra"])] = rng.choice(ODD_VALUES)
    else:
        holder[key] = rng.choice(ODD_VALUES)
    text = json.dumps(document)
    return (text.replace(": 0.", ': -Infinity, "x": 0.', 1) if rng.random() < 0.05 else text).encode()


def nest_json(content: bytes, rng: random.Random) -> bytes:
    depth = rng.choice([100, 5000, 200_000])
    return b'{"a":' * depth + b"1" + b"}" * depth if rng.random() < 0.5 else b"[" * depth + b"]" * depth


def change_lines(content: bytes, rng: random.Random) -> bytes:
    """Remove, repeat, reorder or join lines, or change how they end."""
    lines = content.split(b"\n")
    place = rng.randrange(len(lines))
    action = rng.randrange(5)
    if action == 0:
        del lines[place]
    elif action == 1:
        lines.insert(place, rng.choice(lines))
    elif action == 2:
        rng.shuffle(lines)
    elif action == 3:
        lines[place] = b"\xff\xfe" + lines[place]
    return (b"\r" if action == 4 else b"\n").join(lines)


def change_words(content: bytes, rng: random.Random) -> bytes:
    """Replace one word of a text by an odd value."""
    words = content.replace(b"\n", b" \n ").split(b" ")
    value = rng.choice(ODD_VALUES)
    words[rng.randrange(len(words))] = (value if isinstance(value, str) else json.dumps(value)).encode()
    return b" ".join(words).replace(b" \n ", b"\n")


def alias_bomb(content: bytes, rng: random.Random) -> bytes:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    return content + "\n".join(lines).encode()


def recursive_alias(content: bytes, rng: random.Random) -> bytes:
    return rng.choice([b"data: &a\n  path: *a\n", b"&a [*a]\n", b"run: &r {seed: *r}\n"])


def yaml_payload(content: bytes, rng: random.Random) -> bytes:
    return content + f'\nextra: !!python/object/apply:open ["{CANARY}", "w"]\n'.encode()


def pickle_payload(content: bytes, rng: random.Random) -> bytes:
    return pickle.dumps(Payload())


def torch_payload(content: bytes, rng: random.Random) -> bytes:
    out = io.BytesIO()
    torch.save({"state_dict": Payload()}, out)
    return out.getvalue()


def array_payload(content: bytes, rng: random.Random) -> bytes:
    out = io.BytesIO()
    np.save(out, np.array([Payload()], dtype=object), allow_pickle=True)
    return out.getvalue()


def other_structure(content: bytes, rng: random.Random) -> bytes:
    """A well-formed torch or NumPy file that holds something else."""
    out = io.BytesIO()
    if rng.random() < 0.3:
        np.save(out, rng.choice([np.zeros((3, 4), np.float64), np.zeros(5, np.float32), np.zeros((0, 8), np.float32)]))
    else:
        torch.save(
            rng.choice([["a"], {"a": "b"}, {"epoch": -1, "model": [1]}, torch.zeros(3), {1: torch.ones(2)}]), out
        )
    return out.getvalue()


def zip_archive(content: bytes, rng: random.Random) -> bytes:
    out = io.BytesIO()
    np.savez(out, rows=np.zeros((2, 2), np.float32))
    return out.getvalue()


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a JSON document."""
    if not isinstance(value, dict | list):
        return []
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    return [(value, key) for key in keys] + [place for key in keys for place in _places(value[key])]


def _changed(content: bytes, rng: random.Random, count: int, change: Callable[[int], int]) -> bytes:
    """`count` bytes changed, half of the time near the beginning or the end, where headers and indices are."""
    changed = bytearray(content)
    if not changed:
        return b"\0"
    size = len(changed)
    near = rng.choice([range(min(200, size)), range(max(0, size - 200), size), range(size), range(size)])
    for _ in range(count):
        place = rng.choice(near)
        changed[place] = change(changed[place])
    return bytes(changed)
