"""`coarsecon fewshot RUN [RUN2]`: how well a few labelled images are enough to tell fine classes apart."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from coarsecon.cli.console import ConsoleReporter, closing, emit_json, percent, table
from coarsecon.errors import InputError
from coarsecon.runs import Which, open_run

if TYPE_CHECKING:
    from torch import Tensor

    from coarsecon.evaluation.fewshot import Embedded, Predict
    from coarsecon.session import Session

Combine = Literal["ensemble", "concat", "cascade"]


def fewshot(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder made by `coarsecon pretrain`.")],
    run2: Annotated[Path | None, typer.Argument(metavar="RUN2", help="A second run, for --combine.")] = None,
    data: Annotated[Path | None, typer.Option(help="Another prepared dataset than the first run's.")] = None,
    split: Annotated[str | None, typer.Option(help="Where episodes are drawn. Default: test, else val.")] = None,
    ways: Annotated[str, typer.Option(metavar="N|all", help="Fine classes in an episode.")] = "5",
    shots: Annotated[int, typer.Option(min=1, help="Labelled images of each class.")] = 1,
    queries: Annotated[int, typer.Option(min=1, help="Images of each class to classify.")] = 15,
    episodes: Annotated[int, typer.Option(min=2, help="Episode i is the same in every run.")] = 1000,
    fine_within_coarse: Annotated[
        bool, typer.Option("--fine-within-coarse", help="Draw the ways of an episode from one coarse class.")
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
            "by RUN (logistic, learnt from the train split) and the fine one within it by RUN2."
        ),
    ] = None,
    encoder: Annotated[Which, typer.Option(help="The runs' last or best encoder.")] = "last",
    json: Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write JSON; - is stdout.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    workers: Annotated[int, typer.Option(min=0, help="Processes that decode image files.")] = 2,
) -> None:
    """Few-shot accuracy on fine classes: the mean over episodes and its 95% interval (ANCOR's protocol)."""
    opened = open_run(run)
    second = open_run(run2) if run2 else None
    if bool(second) != bool(combine):
        raise InputError("RUN2 and --combine go together: pass two runs and ensemble, concat or cascade, or neither")
    if combine == "ensemble" and classifier != "logistic":
        raise InputError(f"--combine ensemble multiplies logistic probabilities; the {classifier} classifier has none")
    number = _ways(ways)
    from coarsecon.evaluation.fewshot import draw_episodes, few_shot, predictor
    from coarsecon.session import Session

    reporter = ConsoleReporter()
    session = Session(opened, data, which=encoder, device=device, workers=workers, reporter=reporter)
    split = split or session.held_out()
    drawn = draw_episodes(
        _labels(session, split, "fine"), ways=number, shots=shots, queries=queries, episodes=episodes,
        coarse=_labels(session, split, "coarse") if fine_within_coarse else None,
    )  # fmt: skip
    model = _embedded(session, split, support_copies)
    if second:
        path = session.dataset.root
        other = Session(second, path, which=encoder, device=device, workers=workers, reporter=reporter)
        predict = _combined(combine, session, model, _embedded(other, split, support_copies), classifier)
    else:
        predict = predictor(model, classifier)
    result = few_shot(predict, drawn, reporter)

    values = {
        "accuracy": result.accuracy, "ci95": result.ci95, "episodes": episodes, "ways": result.ways, "shots": shots,
        "queries": queries, "support_copies": support_copies, "classifier": classifier, "combine": combine,
        "fine_within_coarse": fine_within_coarse,
    }  # fmt: skip
    saved = session.save_result("fewshot", split, {**values, "run2": run2 and str(run2)})
    if json:
        emit_json(values, json)
    if json != "-":
        title = f"{result.ways}-way {shots}-shot on fine labels of {split}, in %"
        row = (classifier, percent(result.accuracy), percent(result.ci95), f"{episodes:,}")
        table(title, ["", "accuracy", "± 95%", "episodes"], [row])
    closing([saved, *([Path(json)] if json and json != "-" else [])], [])


def _ways(text: str) -> "int | Literal['all']":
    if text == "all":
        return "all"
    if not text.isdecimal() or int(text) < 2:
        raise InputError(f"--ways {text}: pass a number of classes, 2 or more, or all")
    return int(text)


def _labels(session: "Session", split: str, level: str) -> "Tensor":
    labels = session.dataset.split(split).labels.get(level)
    if labels is None or not (labels >= 0).any():
        raise InputError(
            f"{session.dataset.root}: no image of the split {split} has a {level} label; few-shot needs it"
        )
    return labels


def _embedded(session: "Session", split: str, copies: int) -> "Embedded":
    """The split as the session's run sees it; a single copy is the image as it is."""
    from coarsecon.evaluation.fewshot import Embedded
    from coarsecon.evaluation.support import support_copies

    features = session.features(split)
    if copies == 1:
        return Embedded(features, features[:, None])
    augmented = support_copies(
        session.run, session.dataset, split, copies,
        which=session.which, device=session.device, workers=session.workers, reporter=session.reporter,
    )  # fmt: skip
    return Embedded(features, augmented)


def _combined(
    combine: Combine | None,
    session: "Session",
    first: "Embedded",
    second: "Embedded",
    classifier: Literal["logistic", "cosine", "nearest"],
) -> "Predict":
    from coarsecon.evaluation.fewshot import cascade, coarse_classes, concatenated, ensemble, predictor

    if combine == "ensemble":
        return ensemble(first, second)
    if combine == "concat":
        return predictor(concatenated(first, second), classifier)
    labels = _labels(session, "train", "coarse")
    return cascade(coarse_classes(first, session.features("train"), labels), second, classifier)
