"""`coarsecon fewshot RUN [RUN2]`: how well a few labelled images are enough to tell fine classes apart."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from coarsecon.cli.console import closing, emit_json, percent, table
from coarsecon.cli.options import (
    DataFolder,
    Device,
    EncoderChoice,
    Flip,
    JsonFile,
    LayerChoice,
    RunArgument,
    Workers,
    unusual,
)
from coarsecon.cli.ranks import shared_session
from coarsecon.errors import InputError
from coarsecon.run.folder import open_run

if TYPE_CHECKING:
    from torch import Tensor

    from coarsecon.metrics.fewshot import Embedded
    from coarsecon.run.facade import Run

Combine = Literal["ensemble", "concat", "cascade"]


def fewshot(
    run: RunArgument,
    run2: Annotated[Path | None, typer.Argument(metavar="RUN2", help="A second run, for --combine.")] = None,
    data: DataFolder = None,
    split: Annotated[str | None, typer.Option(help="Where episodes are drawn. Default: test, else val.")] = None,
    ways: Annotated[str, typer.Option(metavar="N|all", help="Fine classes in an episode.")] = "5",
    shots: Annotated[int, typer.Option(min=1, help="Labelled images of each class.")] = 1,
    queries: Annotated[int, typer.Option(min=1, help="Images of each class to classify.")] = 15,
    episodes: Annotated[int, typer.Option(min=2, help="Episode i is the same in every run.")] = 1000,
    fine_within_coarse: Annotated[
        bool, typer.Option("--fine-within-coarse", help="Draw the ways of an episode from one coarse class.")
    ] = False,
    skip_small: Annotated[
        bool, typer.Option("--skip-small", help="Leave out fine classes with too few images.")
    ] = False,
    classifier: Annotated[
        Literal["logistic", "cosine", "nearest"],
        typer.Option(help="logistic (the paper's), or the most similar or the nearest support image."),
    ] = "logistic",
    support_copies: Annotated[
        int,
        typer.Option(
            min=1, help="Cropped and flipped copies to learn from, of each labelled image (paper: 5); 1: none."
        ),
    ] = 5,
    combine: Annotated[
        Combine | None,
        typer.Option(
            help="With RUN2: geometric mean of the logistic probabilities, features side by side, or the coarse class "
            "by RUN's classifier and the fine one within it by RUN2."
        ),
    ] = None,
    encoder: EncoderChoice = "last",
    layer: LayerChoice = "backbone",
    flip: Flip = False,
    json: JsonFile = None,
    device: Device = "auto",
    workers: Workers = 2,
) -> None:
    """Few-shot accuracy on fine classes: the mean over episodes and its 95% interval (ANCOR's protocol)."""
    opened = open_run(run)
    second = open_run(run2) if run2 else None
    if bool(second) != bool(combine):
        raise InputError("RUN2 and --combine go together: pass two runs and ensemble, concat or cascade, or neither")
    if combine == "ensemble" and classifier != "logistic":
        raise InputError(f"--combine ensemble multiplies logistic probabilities; the {classifier} classifier has none")
    number = _ways(ways)
    from coarsecon.evaluation.support import embedded_split
    from coarsecon.metrics.fewshot import (
        cascade,
        concatenated,
        draw_episodes,
        ensemble,
        few_shot,
        predictor,
        without_small,
    )
    from coarsecon.run.facade import Run
    from coarsecon.run.storing import store_result

    settings: dict[str, Any] = {"which": encoder, "layer": layer, "flip": flip, "device": device, "workers": workers}
    with shared_session(opened, data, **settings) as session:
        split = split or session.held_out_split()
        fine, skipped = _labels(session, split, "fine"), 0
        if skip_small:
            fine, skipped = without_small(fine, shots + queries)
            told = f"{skipped} fine class{'es' * (skipped != 1)} of fewer than {shots + queries} images"
            if not (fine >= 0).any():
                raise InputError(f"--skip-small: no class is left without {told}: ask for fewer (--shots, --queries)")
            session.reporter.info(f"left out {told}")
        drawn = draw_episodes(
            fine, ways=number, shots=shots, queries=queries, episodes=episodes,
            coarse=_labels(session, split, "coarse") if fine_within_coarse else None,
            names=session.dataset.info.levels["fine"],
        )  # fmt: skip
        session.report_unlabeled(split, levels=["fine", *["coarse"] * fine_within_coarse])
        session.warn_if_trained_on(split)
        model, coarse_by = embedded_split(session.store, session.dataset, split, support_copies), None
        others: tuple[Run, ...] = ()
        if second is None:
            predict = predictor(model, classifier)
        else:
            other_run = Run(second, session.dataset.root, features=session.spec, runtime=session.runtime)
            others = (other_run,)
            other = embedded_split(other_run.store, session.dataset, split, support_copies)
            if combine == "ensemble":
                predict = ensemble(model, other)
            elif combine == "concat":
                predict = predictor(concatenated(model, other), classifier)
            else:
                classes, coarse_by = _coarse_classes(session, split, model, support_copies)
                predict = cascade(classes, other, classifier)
    result = few_shot(predict, drawn, session.reporter)

    values = {
        "accuracy": result.accuracy, "ci95": result.ci95, "episodes": episodes, "ways": result.ways, "shots": shots,
        "queries": queries, "support_copies": support_copies, "classifier": classifier, "combine": combine,
        "fine_within_coarse": fine_within_coarse, "coarse_by": coarse_by,
        **({"skipped_classes": skipped} if skip_small else {}),
    }  # fmt: skip
    options = unusual(
        fewshot, locals(), "ways", "shots", "queries", "episodes", "fine_within_coarse", "skip_small", "classifier",
        "support_copies", "combine", "run2",
    )  # fmt: skip
    kept = {**values, "by_episode": result.by_episode, "run2": run2 and str(run2)}
    if json:
        emit_json(values, json)
    if json != "-":
        within = ", within coarse classes" * fine_within_coarse
        title = f"{result.ways}-way {shots}-shot on fine labels of {split}{within}, in %"
        row = (classifier, percent(result.accuracy), percent(result.ci95), f"{episodes:,}")
        table(title, ["", "accuracy", "± 95%", "episodes"], [row])
    store_result(session, "fewshot", split, kept, options=options, others=others)
    closing([*opened.stored, *([Path(json)] if json and json != "-" else [])], [])


def _ways(text: str) -> "int | Literal['all']":
    if text == "all":
        return "all"
    if not text.isdecimal() or int(text) < 2:
        raise InputError(f"--ways {text}: pass a number of classes, 2 or more, or all")
    return int(text)


def _labels(session: "Run", split: str, level: str) -> "Tensor":
    labels = session.dataset.split(split).labels.get(level)
    if labels is None or not (labels >= 0).any():
        raise InputError(
            f"{session.dataset.root}: no image of the split {split} has a {level} label; few-shot needs it"
        )
    return labels


def _coarse_classes(session: "Run", split: str, model: "Embedded", copies: int) -> "tuple[Embedded, str]":
    """The coarse class of every image by the run's classifier, or by one learnt from its features; and which it was."""
    from coarsecon.evaluation.support import predicted_classes
    from coarsecon.metrics.fewshot import coarse_classes

    heads, reason = session.folder.heads(session.spec.checkpoint), "its method has no classifier"
    if heads.is_file():
        predicted = predicted_classes(session.store, session.dataset, split, copies)
        if predicted is not None:
            return predicted, "classifier"
    else:
        reason = f"there is no {heads.name}"
    session.reporter.info(f"{session.folder.root}: {reason}; coarse classes come from logistic regression on train")
    session.report_unlabeled("train", levels=["coarse"])
    return coarse_classes(model, session.features("train"), _labels(session, "train", "coarse")), "logistic"
