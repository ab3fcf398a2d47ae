"""Table of reviewed labels: one row per image, for `prepare`, for label columns, and for spreadsheets."""

from coarsecon.data.prepared.fine_names import written_names
from coarsecon.report.spreadsheet import csv_text
from coarsecon.review.state import ReviewState

COLUMNS = ("path", "split", "coarse", "fine", "label", "status", "who", "when")


def label_table(state: ReviewState) -> str:
    """Return the table as CSV, by coarse class, name and path.

    `fine` is the name of the sub-class in its coarse class, which `prepare` reads; `label` is the same, as
    `coarse/name` where several coarse classes use the name, which label columns keep. Both are empty where there is
    none. `status` is named, open, rejected or excluded; `who` and `when` are of the change that led to it.
    """
    used = sorted({(each.coarse, each.name) for number in state.present() if (each := state.clusters[number]).name})
    written = dict(zip(used, written_names(used), strict=True))
    rows = []
    for image, path in enumerate(state.proposal.images):
        own = state.images[image]
        cluster = state.clusters[own.cluster]
        name = state.label(image)
        label = written[cluster.coarse, name] if name else ""
        change = own.change if own.is_excluded else max(own.change, cluster.change)
        made = state.history[change - 1] if change else None
        by = (made.who, made.time) if made and (name or own.is_excluded or cluster.status != "open") else ("", "")
        status = "excluded" if own.is_excluded else cluster.status
        rows.append([path, state.proposal.split, cluster.coarse, name, label, status, *by])
    return csv_text(COLUMNS, sorted(rows, key=lambda row: (row[2], not row[3], row[3], row[0])))
