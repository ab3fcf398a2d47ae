"""State of a review: the proposal and the changes since, each of which can be undone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import singledispatchmethod
from typing import Literal

from coarsecon.errors import InputError
from coarsecon.review.operations import (
    AnyOperation,
    ExcludeImages,
    MergeClusters,
    MoveImages,
    NameCluster,
    Operation,
    Proposal,
    Redo,
    RejectCluster,
    ReopenCluster,
    RestoreImages,
    SplitCluster,
    Undo,
)

Status = Literal["open", "named", "rejected"]


@dataclass(frozen=True)
class Cluster:
    """Cluster of a coarse class. `change` is the version that the last change to it led to, 0 for none."""

    coarse: str
    proposed: str
    name: str = ""
    status: Status = "open"
    change: int = 0

    @property
    def title(self) -> str:
        """The name, or else the proposed label."""
        return self.name or self.proposed


@dataclass(frozen=True)
class Image:
    """Image under review: its cluster, whether it is excluded, and whether a person has checked it by itself."""

    cluster: int
    is_excluded: bool = False
    is_checked: bool = False
    change: int = 0


@dataclass
class Change:
    """New values of images and clusters by number; None removes a cluster, always the last one."""

    images: dict[int, Image] = field(default_factory=dict)
    clusters: dict[int, Cluster | None] = field(default_factory=dict)


class ReviewState:
    """Clusters and images of a proposal after the changes that were applied.

    Attributes:
        proposal: The start.
        images: The state of each image, by number.
        clusters: The state of each cluster, by number; one without images counts as removed.
        history: All operations so far, undo and redo included; their number is the version.
    """

    def __init__(self, proposal: Proposal) -> None:
        self.proposal = proposal
        self.clusters = [Cluster(each.coarse, each.label) for each in proposal.clusters]
        place: dict[int, int] = {}
        for number, each in enumerate(proposal.clusters):
            for image in each.images:
                if image >= len(proposal.images) or image in place:
                    raise InputError("proposal", f"image {image} is unknown or in two clusters")
                place[image] = number
        if len(place) < len(proposal.images):
            raise InputError("proposal", f"{len(proposal.images) - len(place):,} images are in no cluster")
        self.images = [Image(place[image]) for image in range(len(place))]
        self.members: list[set[int]] = [set(each.images) for each in proposal.clusters]
        self.history: list[AnyOperation] = []
        self._done: list[tuple[AnyOperation, Change]] = []
        self._undone: list[tuple[AnyOperation, Change]] = []

    @property
    def version(self) -> int:
        """The number of changes so far."""
        return len(self.history)

    @property
    def last_done(self) -> AnyOperation | None:
        """The operation that `undo` would undo."""
        return self._done[-1][0] if self._done else None

    @property
    def last_undone(self) -> AnyOperation | None:
        """The operation that `redo` would repeat."""
        return self._undone[-1][0] if self._undone else None

    def apply(self, operation: AnyOperation) -> set[str]:
        """Apply an operation, or leave everything as it is and raise.

        Returns:
            The coarse classes in which something changed.

        Raises:
            InputError: It was made against another version, or does not fit the state.
        """
        if operation.version != self.version:
            raise InputError("change", f"was made against version {operation.version}, not {self.version}")
        if isinstance(operation, Undo):
            touched = self._step(self._done, self._undone, "there is nothing to undo")
        elif isinstance(operation, Redo):
            touched = self._step(self._undone, self._done, "there is nothing to redo")
        else:
            change = self._change(operation)
            touched = self._touched(change)
            self._done.append((operation, self._swap(change)))
            self._undone.clear()
        self.history.append(operation)
        return touched

    def check(self, operation: AnyOperation) -> None:
        """Raise the InputError that `apply` would raise, without a change."""
        if operation.version != self.version:
            raise InputError("change", f"was made against version {operation.version}, not {self.version}")
        if isinstance(operation, Undo | Redo):
            if not (self._done if isinstance(operation, Undo) else self._undone):
                raise InputError("change", f"there is nothing to {operation.op}")
        else:
            self._change(operation)

    def included(self, cluster: int) -> list[int]:
        """Return the numbers of the images of a cluster that are not excluded, in order."""
        return sorted(image for image in self.members[cluster] if not self.images[image].is_excluded)

    def present(self) -> list[int]:
        """Return the numbers of the clusters that have images."""
        return [number for number, members in enumerate(self.members) if members]

    def label(self, image: int) -> str:
        """Return the name of the sub-class of an image; empty if it has none."""
        state = self.images[image]
        return "" if state.is_excluded else self.clusters[state.cluster].name

    def names(self, coarse: str) -> list[str]:
        """Return the names in use in a coarse class, sorted."""
        clusters = (self.clusters[number] for number in self.present())
        return sorted({each.name for each in clusters if each.name and each.coarse == coarse})

    def _step(
        self, source: list[tuple[AnyOperation, Change]], target: list[tuple[AnyOperation, Change]], problem: str
    ) -> set[str]:
        if not source:
            raise InputError("change", problem)
        operation, change = source.pop()
        touched = self._touched(change)
        target.append((operation, self._swap(change)))
        return touched

    def _touched(self, change: Change) -> set[str]:
        """Return the coarse classes of a change; no change moves an image to another one."""
        changed = {self.clusters[self.images[image].cluster].coarse for image in change.images}
        known = {number: self.clusters[number] for number in change.clusters if number < len(self.clusters)}
        return changed | {each.coarse for each in known.values()}

    def _swap(self, change: Change) -> Change:
        """Put the new values in place; return the previous ones."""
        count = len(self.clusters)
        before = Change(
            {number: self.images[number] for number in change.images},
            {number: self.clusters[number] if number < count else None for number in change.clusters},
        )
        for number, cluster in sorted(change.clusters.items()):
            if cluster is not None and number < len(self.clusters):
                self.clusters[number] = cluster
            elif cluster is not None:
                self.clusters.append(cluster)
                self.members.append(set())
        for number, image in change.images.items():
            self.members[self.images[number].cluster].discard(number)
            self.images[number] = image
            self.members[image.cluster].add(number)
        for number in sorted(change.clusters, reverse=True):
            if change.clusters[number] is None:
                del self.clusters[number], self.members[number]
        return before

    @singledispatchmethod
    def _change(self, operation: Operation) -> Change:
        """Return what an operation changes."""
        raise InputError("change", f"unknown operation {type(operation).__name__}")

    @_change.register
    def _(self, operation: NameCluster) -> Change:
        return self._with(operation.cluster, name=operation.name, status="named")

    @_change.register
    def _(self, operation: RejectCluster) -> Change:
        return self._with(operation.cluster, name="", status="rejected")

    @_change.register
    def _(self, operation: ReopenCluster) -> Change:
        return self._with(operation.cluster, name="", status="open")

    @_change.register
    def _(self, operation: MergeClusters) -> Change:
        own = self._cluster(operation.cluster)
        others = [self._cluster(number, own.coarse) for number in operation.others]
        if len({operation.cluster, *operation.others}) <= len(operation.others):
            raise InputError("change", "a cluster is merged with itself")
        name = next((each.name for each in [own, *others] if each.name), "")
        status: Status = "named" if name else own.status
        moved = [image for number in operation.others for image in self.members[number]]
        return Change(
            {image: replace(self.images[image], cluster=operation.cluster, change=self.version + 1) for image in moved},
            {operation.cluster: replace(own, name=name, status=status, change=self.version + 1)},
        )

    @_change.register
    def _(self, operation: SplitCluster) -> Change:
        own = self._cluster(operation.cluster)
        listed = [image for part in operation.parts for image in part]
        if sorted(listed) != self.included(operation.cluster):
            raise InputError("change", "the parts do not hold each image of the cluster once")
        change = Change()
        for number, part in enumerate(operation.parts[1:], start=len(self.clusters)):
            change.clusters[number] = self._new(own.coarse, number)
            self._place(change, part, number)
        return change

    @_change.register
    def _(self, operation: MoveImages) -> Change:
        self._check_images(operation.images, excluded=False)
        coarse = self.clusters[self.images[operation.images[0]].cluster].coarse
        change, target = Change(), operation.cluster
        if target is None:
            target = len(self.clusters)
            change.clusters[target] = self._new(coarse, target)
        else:
            self._cluster(target, coarse)
        if any(self.clusters[self.images[image].cluster].coarse != coarse for image in operation.images):
            raise InputError("change", "the images are of several coarse classes")
        self._place(change, operation.images, target, is_checked=True)
        return change

    @_change.register
    def _(self, operation: ExcludeImages) -> Change:
        return self._excluded(operation.images, True)

    @_change.register
    def _(self, operation: RestoreImages) -> Change:
        return self._excluded(operation.images, False)

    def _cluster(self, number: int, coarse: str | None = None) -> Cluster:
        """Return a cluster that has images, of the class `coarse` if it is given."""
        if number >= len(self.clusters) or not self.members[number]:
            raise InputError("change", f"there is no cluster {number}")
        if coarse is not None and self.clusters[number].coarse != coarse:
            raise InputError("change", "clusters of different coarse classes do not mix", "exclude mislabeled images")
        return self.clusters[number]

    def _with(self, number: int, *, name: str, status: Status) -> Change:
        own = self._cluster(number)
        return Change(clusters={number: replace(own, name=name, status=status, change=self.version + 1)})

    def _new(self, coarse: str, number: int) -> Cluster:
        return Cluster(coarse, f"{coarse}-new-{number + 1}", change=self.version + 1)

    def _place(self, change: Change, images: Iterable[int], cluster: int, *, is_checked: bool = False) -> None:
        for image in images:
            own = self.images[image]
            checked = own.is_checked or is_checked
            change.images[image] = replace(own, cluster=cluster, is_checked=checked, change=self.version + 1)

    def _check_images(self, images: Sequence[int], *, excluded: bool) -> None:
        if len(set(images)) < len(images):
            raise InputError("change", "an image is listed twice")
        if max(images) >= len(self.images):
            raise InputError("change", f"there is no image {max(images)}")
        if any(self.images[image].is_excluded != excluded for image in images):
            raise InputError("change", f"an image is {'not excluded' if excluded else 'already excluded'}")

    def _excluded(self, images: Sequence[int], is_excluded: bool) -> Change:
        self._check_images(images, excluded=not is_excluded)
        version = self.version + 1
        return Change({i: replace(self.images[i], is_excluded=is_excluded, change=version) for i in images})
