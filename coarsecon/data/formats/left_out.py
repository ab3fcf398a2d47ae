"""Report what a walk through a folder of images left out: other files, folders without images, links."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from coarsecon.data.formats.image_formats import CAMERA_RAW, EDITED_OR_DRAWN
from coarsecon.data.formats.walk import Entry

MAX_KINDS = 8
"""Number of suffixes or names in one line."""


@dataclass
class LeftOut:
    """The other content of a folder of images.

    Attributes:
        files: Paths of files that are not images.
        folders: Folders without images, and their content.
        unreadable: Broken links, link loops, special files and names that are not UTF-8.
    """

    files: list[str] = field(default_factory=list)
    folders: dict[str, str] = field(default_factory=dict)
    unreadable: list[Entry] = field(default_factory=list)

    @property
    def skipped(self) -> str:
        """A line that counts the files that are not images by suffix and by folder; empty without such files."""
        if not self.files:
            return ""
        one = len(self.files) == 1
        what = "1 file that is not an image" if one else f"{len(self.files):,} files that are not images"
        places = Counter(path.rpartition("/")[0] or "the top folder" for path in self.files)
        where = self.files[0] if one else most_common(places, "in ")
        unread = [path for path in self.files if path.lower().endswith((*CAMERA_RAW, *EDITED_OR_DRAWN))]
        remedy = f"; convert {kinds(unread)} to JPEG or PNG to include them" if unread else ""
        return f"skipped {what}: {kinds(self.files)} ({where}){remedy}"

    @property
    def warnings(self) -> list[str]:
        """Sentences on possible mistakes: folders without images, and unreadable entries."""
        found = []
        if self.folders:
            named = some([f"{name} ({content})" for name, content in self.folders.items()])
            found.append(f"No images in {_count(len(self.folders), 'folder')}: {named}.")
        for kind, count in Counter(entry.kind for entry in self.unreadable).items():
            named = some([entry.path for entry in self.unreadable if entry.kind == kind])
            found.append(f"Skipped {_count(count, kind)}: {named}.")
        return found


def kinds(paths: Iterable[str]) -> str:
    """Count the files by suffix: "10 .txt, 2 .mp4"."""
    return most_common(Counter(PurePosixPath(path).suffix.lower() or "without a suffix" for path in paths))


def most_common(counts: Counter[str], before: str = "") -> str:
    """Format the counts and their names, the largest first."""
    found = [f"{count:,} {before}{name}" for name, count in counts.most_common(MAX_KINDS)]
    rest = counts.total() - sum(count for _, count in counts.most_common(MAX_KINDS))
    return ", ".join(found + [f"{rest:,} others"] * (rest > 0))


def some(names: Sequence[str]) -> str:
    """Format the first names and the number of the others."""
    more = f" and {len(names) - MAX_KINDS:,} more" if len(names) > MAX_KINDS else ""
    return ", ".join(names[:MAX_KINDS]) + more


def folders_without_images(
    folders: Iterable[tuple[str, ...]], images: Iterable[tuple[str, ...]], others: Iterable[tuple[str, ...]]
) -> dict[str, str]:
    """Return the topmost folders without an image in or below them, and their content.

    Args:
        folders: The parts of the path of every folder.
        images: The same of every image.
        others: The same of every other file.
    """
    filled = {parts[:depth] for parts in images for depth in range(len(parts))}
    content: dict[tuple[str, ...], list[str]] = {}
    for parts in others:
        for depth in range(1, len(parts)):
            content.setdefault(parts[:depth], []).append(parts[-1])
    return {
        "/".join(parts): kinds(content[parts]) if parts in content else "empty"
        for parts in folders
        if parts not in filled and (len(parts) == 1 or parts[:-1] in filled)
    }


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"
