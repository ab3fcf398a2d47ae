"""Table of reviewed labels: one row per image, for `prepare`, for label columns, and for spreadsheets."""

from coarsecon.data.prepared.fine_names import written_names
from coarsecon.report.spreadsheet import csv_text
from coarsecon.review.state import ReviewState

COLUMNS = ("path", "split", "coarse", "label", "status", "who", "when")


def label_table(state: ReviewState) -> str:
    """Return the table as CSV, by coarse class, label and path.

    `label` is the name of the sub-class, as `coarse/name` where several coarse classes use the name; it is empty where
    there is none. `status` is named, open, rejected or excluded; `who` and `when` are of the change that led to it.
    """
    used = sorted({(each.coarse, each.name) for number in state.present() if (each := state.clusters[number]).name})
    written = dict(zip(used, written_names(used), strict=True))
    rows = []
    for image, path in enumerate(state.proposal.images):
        own = state.images[image]
        cluster = state.clusters[own.cluster]
        label = "" if own.is_excluded or not cluster.name else written[cluster.coarse, cluster.name]
        change = own.change if own.is_excluded else max(own.change, cluster.change)
        made = state.history[change - 1] if change else None
        by = (made.who, made.time) if made and (label or own.is_excluded or cluster.status != "open") else ("", "")
        status = "excluded" if own.is_excluded else cluster.status
        rows.append([path, state.proposal.split, cluster.coarse, label, status, *by])
    return csv_text(COLUMNS, sorted(rows, key=lambda row: (row[2], not row[3], row[3], row[0])))
