"""The two ways things go wrong for a user; both are shown as one or two lines, never as a traceback."""


class CoarseconError(Exception):
    """Something failed while running. The command line exits with code 1."""

    exit_code = 1
    said_elsewhere: bool | None = None
    """Whether another rank tells of it; None where that is not known."""


class NotWritableError(CoarseconError):
    """A place that this user cannot write to: a read-only disk, or missing permission."""


class InputError(CoarseconError):
    """Wrong usage or wrong input: names the file or option and the remedy. Exit code 2."""

    exit_code = 2
