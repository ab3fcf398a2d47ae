"""Everything that a page shows of a review, as JSON."""

from typing import Any

import torch

from coarsecon.review.group import Member
from coarsecon.review.operations import (
    AnyOperation,
    ExcludeImages,
    MergeClusters,
    MoveImages,
    NameCluster,
    RejectCluster,
    ReopenCluster,
    RestoreImages,
    SplitCluster,
)
from coarsecon.review.queue import ordered
from coarsecon.review.session import Session
from coarsecon.review.state import ReviewState
from coarsecon.review.suggest import suggest

NEIGHBORS, SAMPLES = 4, 5
"""Clusters shown as the nearest ones, and images of each."""
SUGGESTIONS, OPTIONS = 20, 3
"""Images suggested at a time, and clusters offered for each."""
SIMILAR = 24
"""Images shown as the nearest ones of an image."""


def show_overview(session: Session) -> dict[str, Any]:
    """Return the version, the progress, the queue of clusters, the names in use, and what can be undone."""
    with session.lock:
        state, groups = session.state, session.groups()
        of_class = {group.coarse: group for group in groups}
        queue = []
        for entry in ordered([group.entry(number) for group in groups for number in group.clusters]):
            facts = _cluster(state, entry.cluster)
            group = of_class[facts["coarse"]]
            facts |= {"gain": round(entry.gain, 1), "doubtful": group.doubtful(entry.cluster)}
            queue.append({**facts, "sample": next(iter(group.typical(entry.cluster, 1)), None)})
        judged = [each for each in queue if each["status"] != "open"]
        excluded = sum(image.is_excluded for image in state.images)
        return {
            "version": state.version,
            "queue": queue,
            "names": {group.coarse: state.names(group.coarse) for group in groups},
            "clusters": [len(judged), len(queue)],
            "images": [sum(each["size"] for each in judged) + excluded, len(state.images)],
            "undo": describe(state.last_done),
            "redo": describe(state.last_undone),
        }


def show_cluster(session: Session, number: int) -> dict[str, Any] | None:
    """Return a cluster with its images and its nearest clusters; None if it has no images or does not exist."""
    with session.lock:
        state = session.state
        if number >= len(state.clusters) or not state.members[number]:
            return None
        group = session.group(state.clusters[number].coarse)
        excluded = sorted(image for image in state.members[number] if state.images[image].is_excluded)
        nearest = [
            {**_cluster(state, other), "cosine": round(cosine, 3), "samples": group.typical(other, SAMPLES)}
            for other, cosine in group.neighbors(number, NEIGHBORS)
        ]
        return {
            **_cluster(state, number),
            "members": [_member(state, each) for each in group.members(number)],
            "excluded": [_image(state, image) for image in excluded],
            "neighbors": nearest,
            "likely_names": [[name, round(p, 3)] for name, p in group.likely_names(number)[:NEIGHBORS]],
            "others": [_cluster(state, other) for other in group.clusters if other != number],
        }


def show_suggestions(session: Session) -> dict[str, Any]:
    """Return the images whose label would help most, with the most likely clusters of each."""
    with session.lock:
        state = session.state
        places = [(group, row) for group in session.groups() for row in range(len(group.images))]
        margins = torch.cat([group.margins() for group in session.groups()])
        images = [group.images[row] for group, row in places]
        shown = []
        for at in suggest(session.features[torch.tensor(images, dtype=torch.int64)], margins, SUGGESTIONS):
            group, row = places[at]
            options = [
                {**_cluster(state, label), "probability": round(probability, 3)}
                for label, probability in group.options(row, OPTIONS)
            ]
            own = _cluster(state, state.images[images[at]].cluster)
            shown.append({**_image(state, images[at]), "cluster": own, "options": options})
        return {"images": shown}


def show_similar(session: Session, image: int) -> dict[str, Any]:
    """Return the images nearest to an image, whatever their class, each with its cosine and its cluster."""
    with session.lock:
        cosines = session.features @ session.features[image]
        cosines[image] = -torch.inf
        best = cosines.topk(min(SIMILAR, len(cosines) - 1))
        similar = [
            {
                **_image(session.state, other),
                "cosine": round(cosine, 3),
                "cluster": _cluster(session.state, session.state.images[other].cluster),
            }
            for other, cosine in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]
        return {**_image(session.state, image), "similar": similar}


def _cluster(state: ReviewState, number: int) -> dict[str, Any]:
    cluster = state.clusters[number]
    return {
        "cluster": number, "title": cluster.title, "name": cluster.name, "coarse": cluster.coarse,
        "status": cluster.status, "size": len(state.included(number)),
    }  # fmt: skip


def _image(state: ReviewState, image: int) -> dict[str, Any]:
    return {"image": image, "path": state.proposal.images[image]}


def _member(state: ReviewState, member: Member) -> dict[str, Any]:
    return {
        **_image(state, member.image), "belongs": round(member.probability, 3), "doubtful": member.is_doubtful,
        "checked": member.is_checked, "likely": member.likely, "predicted": member.predicted,
        "confidence": round(member.confidence, 3),
    }  # fmt: skip


def describe(operation: AnyOperation | None) -> str:
    """Return an operation as a phrase for a button, "" for None."""
    match operation:
        case NameCluster(name=name):
            return f"naming {name}"
        case MergeClusters(others=others):
            return f"merging {len(others) + 1} clusters"
        case SplitCluster(parts=parts):
            return f"splitting into {len(parts)}"
        case MoveImages(images=images) | ExcludeImages(images=images) | RestoreImages(images=images):
            verb = {"move": "moving", "exclude": "excluding", "restore": "restoring"}[operation.op]
            return f"{verb} {len(images):,} image{'s' * (len(images) != 1)}"
        case RejectCluster():
            return "rejecting a cluster"
        case ReopenCluster():
            return "reopening a cluster"
        case _:
            return ""
