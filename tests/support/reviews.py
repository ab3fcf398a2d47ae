"""Small reviews, random requests to them, and a naive replay of a journal."""

import random
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coarsecon.review.journal import journal_of, start_journal
from coarsecon.review.operations import AnyOperation, Proposal, ProposedCluster, parse_operation
from coarsecon.review.state import ReviewState
from coarsecon.search.exact import l2_normalize

NAMES = ("gala", "golden", "Ærø", "a/b", "<b>x</b>")


def small_proposal(classes: int = 2, clusters: int = 3, images: int = 4) -> Proposal:
    """Classes of equally many clusters of equally many images."""
    found, first = [], 0
    for coarse in range(classes):
        for cluster in range(clusters):
            members = list(range(first, first + images))
            found.append(ProposedCluster(coarse=f"c{coarse}", label=f"c{coarse}-{cluster + 1}", images=members))
            first += images
    names = [f"{i:03d}.png" for i in range(first)]
    return Proposal(
        format_version=1, split="train", source="cluster.csv", who="anna", time="2026-01-01T00:00:00+00:00",
        images=names, clusters=found,
    )  # fmt: skip


def small_journal(path: Path, **sizes: int) -> Path:
    start_journal(path, small_proposal(**sizes))
    return path


def clustered_features(proposal: Proposal, *, noise: float = 0.3, dim: int = 16, seed: int = 0) -> Tensor:
    """Normalized features [N, D] around a random center for each cluster."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.zeros(len(proposal.images), dim)
    for cluster in proposal.clusters:
        center = torch.randn(dim, generator=generator)
        features[cluster.images] = center + noise * torch.randn(len(cluster.images), dim, generator=generator)
    return l2_normalize(features)


def operation(version: int, op: str, **values: Any) -> AnyOperation:
    """An operation as the page sends it."""
    return parse_operation({"op": op, "version": version, "who": "anna", "time": f"t{version}", **values}, "change")


def random_operation(state: ReviewState, rng: random.Random) -> AnyOperation:
    """An operation that is mostly allowed."""
    present = state.present()
    number = rng.choice(present)
    siblings = [each for each in present if state.clusters[each].coarse == state.clusters[number].coarse]
    members = state.included(number)
    images = rng.sample(members, rng.randint(1, len(members))) if members else [0]
    shuffled = rng.sample(members, len(members))
    cut = rng.randint(1, max(1, len(members) - 1))
    values: dict[str, Any] = rng.choice([
        {"op": "name", "cluster": number, "name": rng.choice(NAMES)},
        {"op": "reject", "cluster": number},
        {"op": "reopen", "cluster": number},
        {"op": "merge", "cluster": number, "others": [rng.choice(siblings)]},
        {"op": "split", "cluster": number, "parts": [part or [0] for part in (shuffled[:cut], shuffled[cut:])]},
        {"op": "move", "images": images, "cluster": rng.choice([None, rng.choice(present), *siblings])},
        {"op": "exclude", "images": images},
        {"op": "restore", "images": [i for i, each in enumerate(state.images) if each.is_excluded][:3] or [0]},
        {"op": "undo"}, {"op": "undo"}, {"op": "redo"},
    ])  # fmt: skip
    return operation(state.version, values.pop("op"), **values)


def naive_replay(proposal: Proposal, history: list[AnyOperation]) -> dict[str, Any]:
    """The labels after a history: the operations that are not undone, one after the other."""
    done: list[AnyOperation] = []
    undone: list[AnyOperation] = []
    for each in history:
        if each.op == "undo":
            undone.append(done.pop())
        elif each.op == "redo":
            done.append(undone.pop())
        else:
            done.append(each)
            undone.clear()
    place = {image: number for number, cluster in enumerate(proposal.clusters) for image in cluster.images}
    clusters = [[cluster.coarse, "", "open"] for cluster in proposal.clusters]
    excluded, checked = set(), set()
    for each in done:
        if each.op == "name":
            clusters[each.cluster][1:] = [each.name, "named"]
        elif each.op in ("reject", "reopen"):
            clusters[each.cluster][1:] = ["", "rejected" if each.op == "reject" else "open"]
        elif each.op == "merge":
            if name := next((clusters[i][1] for i in (each.cluster, *each.others) if clusters[i][1]), ""):
                clusters[each.cluster][1:] = [name, "named"]
            place |= {image: each.cluster for image, number in place.items() if number in each.others}
        elif each.op == "split":
            for part in each.parts[1:]:
                place |= dict.fromkeys(part, len(clusters))
                clusters.append([clusters[each.cluster][0], "", "open"])
        elif each.op == "move":
            target = each.cluster
            if target is None:
                target = len(clusters)
                clusters.append([clusters[place[each.images[0]]][0], "", "open"])
            place |= dict.fromkeys(each.images, target)
            checked |= set(each.images)
        elif each.op == "exclude":
            excluded |= set(each.images)
        else:
            excluded -= set(each.images)
    return {"place": place, "clusters": clusters, "excluded": excluded, "checked": checked}


def snapshot(state: ReviewState) -> dict[str, Any]:
    """The same facts of a state."""
    images = dict(enumerate(state.images))
    assert all(
        state.members[number] == {i for i, image in images.items() if image.cluster == number}
        for number in range(len(state.clusters))
    )
    return {
        "place": {i: image.cluster for i, image in images.items()},
        "clusters": [[each.coarse, each.name, each.status] for each in state.clusters],
        "excluded": {i for i, image in images.items() if image.is_excluded},
        "checked": {i for i, image in images.items() if image.is_checked},
    }


def name_every_cluster(path: Path) -> None:
    """Name the clusters of a journal, as a person would on the page."""
    with journal_of(path) as journal:
        for number in journal.state.present():
            journal.append(operation(journal.state.version, "name", cluster=number, name=f"kind {number}"))
