"""The run folder, the unit users keep: the path of everything in it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coarsecon.errors import InputError, NotWritableError
from coarsecon.run.log import read_log
from coarsecon.runtime.documents import read_json_object
from coarsecon.runtime.file_sets import COMMITTED, STAGED, current_file, current_files, files_together, recover_files
from coarsecon.runtime.files import cannot_write, is_inside
from coarsecon.runtime.locks import acquire_or_raise
from coarsecon.runtime.progress import Reporter

if TYPE_CHECKING:
    from coarsecon.config import Checkpoint, RunConfig

FORMAT_VERSION = 1
"""Version that `pretrain` writes. Runs without a number are of version 1; older versions stay readable."""

LOCK = ".lock"
"""File in a run folder that is locked during training."""


Postponed = tuple[Path, Callable[[Path], object], bool]
"""File for `RunFolder.store` to write, the function that writes it, and a flag for listing it."""


class RunFolder:
    """Run folder: settings, log, checkpoints, encoders, features, results, and figures."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config_file = root / "config.yaml"
        self.environment_file = root / "environment.json"
        self.combined_file = root / "combined.json"
        self.metrics_file = root / "metrics.jsonl"
        self.views_picture = root / "views.png"
        self.features = root / "features"
        self.results = root / "results"
        self.figures = root / "figures"
        self.index = root / "index"
        self.image_hashes = root / "image-hashes"
        self.stored: list[Path] = []
        """Results and figures that `store` wrote, for the final messages of a command."""
        self._is_reported_unwritable = False
        self._postponed: list[Postponed] | None = None

    def checkpoint(self, which: "Checkpoint") -> Path:
        """Return the path of the training state."""
        return current_file(self.root, f"checkpoints/{which}.pt")

    def encoder(self, which: "Checkpoint" = "last") -> Path:
        """Return the encoder's weights; its card has the same name with the suffix .json."""
        return current_file(self.root, f"encoder{_suffix(which)}.safetensors")

    def heads(self, which: "Checkpoint" = "last") -> Path:
        """Return the path of the weights of the heads saved with this encoder."""
        return current_file(self.root, f"heads{_suffix(which)}.safetensors")

    @property
    def is_combined(self) -> bool:
        """True if the run combines the encoders of other runs; see `coarsecon.run.parts`."""
        return self.combined_file.exists() or self.combined_file.is_symlink()

    def has_encoder(self) -> bool:
        """Return whether there is an encoder to evaluate."""
        return self.encoder().exists() or self.is_combined

    @contextmanager
    def writing(self) -> Iterator["RunFolder"]:
        """Yield a run folder whose files replace those of this one together, at the end of the block.

        A killed process leaves all of them or none. Commands that write to one run in this way wait for each
        other.

        Raises:
            CoarseconError: Writing fails.
        """
        with files_together(self.root) as folder:
            yield RunFolder(folder)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Prevent other processes from training in this folder within the `with` block. Creates the folder if needed.

        Raises:
            InputError: Another process trains there.
            CoarseconError: Writing fails.
        """
        is_new = not self.root.exists()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = acquire_or_raise(
                self.root / LOCK,
                InputError(
                    self.root, "another process is training this run", "wait for it to end, or choose another folder"
                ),
            )
        except OSError as error:
            raise cannot_write(self.root, error) from error
        try:
            recover_files(self.root)
            yield
        finally:
            lock.release()
            if is_new and not any(self.root.iterdir()):
                self.root.rmdir()

    def is_empty(self) -> bool:
        """Return whether the folder has no more than a training leaves that is killed before it begins."""
        own = (LOCK, STAGED, f"{COMMITTED}.lock", ".config.yaml.")
        return not self.root.is_dir() or all(path.name.startswith(own) for path in self.root.iterdir())

    def owns(self, path: Path) -> bool:
        """Return whether `path` is in this run, without a symbolic link that leads out of it."""
        return is_inside(path, self.root)

    def files(self, folder: Path, pattern: str) -> list[Path]:
        """Return the regular files in a folder that match `pattern`, by name, without links out of the run."""
        found = current_files(self.root, f"{folder.relative_to(self.root)}/{pattern}")
        return [file for file in found if file.is_file() and self.owns(file)]

    def linked_out(self) -> list[Path]:
        """Return the symbolic links in the run that lead out of it; they are never followed."""
        folders = [self.figures, self.results, self.features, self.index]
        places = [
            self.config_file,
            self.combined_file,
            self.environment_file,
            self.metrics_file,
            self.views_picture,
            *folders,
        ]
        places += [file for folder in folders if self.owns(folder) for file in folder.glob("*")]
        return sorted(place for place in places if place.is_symlink() and not self.owns(place))

    def store(
        self,
        path: Path,
        write: Callable[[Path], object],
        reporter: Reporter,
        *,
        given: Path | None = None,
        is_listed: bool = True,
    ) -> None:
        """Write a result or a figure to `path` in the run, or to the place that was `given` instead.

        A run that this user cannot write to is reported once, and the command continues; as for any other file, the
        error is raised where a place was given. What is written is `stored`, if it is to be listed there.
        """
        try:
            if given is None:
                self.check_owned(path)
                if self._postponed is not None:
                    self._postponed.append((path, write, is_listed))
                    return
            write(given or path)
            self.stored += [given or path] * is_listed
        except NotWritableError as error:
            if given is not None:
                raise
            self.report_unwritable(error, reporter)

    @contextmanager
    def storing_together(self, reporter: Reporter) -> Iterator[None]:
        """Postpone the files of `store` to the end of the block, where they are replaced together.

        A read-only run is reported once, as in `store`.
        """
        postponed: list[Postponed] = []
        self._postponed = postponed
        try:
            yield
        finally:
            self._postponed = None
        try:
            with self.writing() as new:
                for path, write, _ in postponed:
                    write(new.root / path.relative_to(self.root))
            self.stored += [path for path, _, is_listed in postponed if is_listed]
        except NotWritableError as error:
            self.report_unwritable(error, reporter)

    def check_owned(self, path: Path) -> None:
        """Raise NotWritableError if a symbolic link on the way to `path` leads out of the run."""
        if not self.owns(path):
            raise NotWritableError(path, "cannot be written (a symbolic link leads out of the run)")

    def report_unwritable(self, error: NotWritableError, reporter: Reporter) -> None:
        """Report once that this run is read-only."""
        if not self._is_reported_unwritable:
            reporter.info(f"Warning: {error}. Results, figures and features are not stored in {self.root}.")
        self._is_reported_unwritable = True

    def check_format(self) -> None:
        """Check that this version supports the format of the run.

        Raises:
            InputError: A newer version wrote it. A file that cannot be read does not count as one.
        """
        if not self.environment_file.exists():
            return
        try:
            environment = read_json_object(self.environment_file)
        except (OSError, InputError):
            return
        version, packages = environment.get("format_version", 1), environment.get("packages")
        if not isinstance(version, int) or version < 1:
            raise InputError(self.environment_file, f"{version!r:.40} is no format version", "restore the file")
        if version > FORMAT_VERSION:
            made_by = packages.get("coarsecon", "?") if isinstance(packages, dict) else "?"
            raise InputError(
                f"{self.root}: a run of format {version}, made by coarsecon {made_by}, but this coarsecon reads "
                f"formats up to {FORMAT_VERSION}; update it: pip install -U coarsecon"
            )

    def config(self) -> "RunConfig":
        """Return the settings of this run."""
        from coarsecon.config import RunConfig, validate  # every command passes here, few need it

        return validate(RunConfig, self.settings())

    def settings(self) -> dict[str, Any]:
        """Return the settings in `config.yaml` without validation.

        Earlier versions have no `data.limit_draw`: they took the first images. They have no `backbone.input_transform`
        either, and normalized by the statistics of the dataset.
        """
        from coarsecon.config import merge, read_config_file

        layers = read_config_file(self.config_file)
        is_limited = (layers.get("data") or {}).get("limit") is not None
        former = {"backbone": {"input_transform": "dataset"}}
        return merge({**former, "data": {"limit_draw": "first"}} if is_limited else former, layers)

    def trained_on(self) -> str | None:
        """Return the checksum of the training split; None for runs of earlier versions without it."""
        try:
            checksum = read_json_object(self.environment_file).get("training_images")
        except (OSError, InputError):
            return None
        return checksum if isinstance(checksum, str) else None

    def is_frozen(self) -> bool:
        """Return whether the run holds published or random weights that were not trained on its dataset."""
        try:
            return read_json_object(self.environment_file).get("frozen") is True
        except (OSError, InputError):
            return False

    def metrics(self) -> list[dict[str, Any]]:
        """Return the rows of the log, objects with an integer `step`; an incomplete last line is ignored.

        Raises:
            InputError: The file or another line is invalid.
        """
        rows, problem = self.readable_metrics()
        if problem:
            raise InputError(problem)
        return rows

    def readable_metrics(self) -> tuple[list[dict[str, Any]], str]:
        """Return the valid rows of the log, and the problem of the first invalid one (else empty)."""
        return read_log(self.metrics_file)


def _suffix(which: "Checkpoint") -> str:
    return "" if which == "last" else f"-{which}"


def open_run(path: Path) -> RunFolder:
    """Open the run at `path`.

    Raises:
        InputError: There is no run, or it has a newer format.
    """
    run = RunFolder(path)
    if not run.config_file.is_file():
        raise InputError(path, "not a run folder (no config.yaml)", "`coarsecon pretrain` makes one")
    run.check_format()
    recover_files(path)
    return run
