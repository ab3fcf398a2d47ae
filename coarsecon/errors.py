"""The two ways things go wrong for a user; both are shown as one or two lines, never as a traceback."""


class CoarseconError(Exception):
    """Something failed while running. The command line exits with code 1.

    Args:
        subject: What the error is about: a path, the dotted name of a setting (`run.batch_size`) or of a parameter, or
            a thing in words. Without a `problem` it is the complete message.
        problem: What is wrong with it, in words that follow "subject: ".
        hint: What to do about it, as an imperative phrase; names settings, never options of the command line, which
            `coarsecon.cli` adds.
    """

    exit_code = 1
    reported_elsewhere: bool | None = None
    """True if another rank reports it; None if that is not known."""

    def __init__(self, subject: object, problem: str = "", hint: str = "") -> None:
        super().__init__(subject, problem, hint)
        self.subject, self.problem, self.hint = str(subject), problem, hint

    def __str__(self) -> str:
        return "; ".join(filter(None, [": ".join(filter(None, [self.subject, self.problem])), self.hint]))


class NotWritableError(CoarseconError):
    """A place that this user cannot write to: a read-only disk, or missing permission."""


class InputError(CoarseconError):
    """Wrong usage or wrong input. Exit code 2."""

    exit_code = 2
