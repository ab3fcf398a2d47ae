"""Few-shot classification over many episodes, with one run or two: ANCOR's protocol."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from coarsecon.errors import InputError
from coarsecon.evaluation.base import Evaluation, EvaluationConfig, Metric, Result, Table, percent

if TYPE_CHECKING:
    from torch import Tensor

    from coarsecon.metrics.fewshot import Embedded, Predict
    from coarsecon.run.facade import Run

ARGUMENT: dict[str, Any] = {"argument": True, "metavar": "RUN2"}


class FewShot(Evaluation):
    """Few-shot accuracy on the classes of a level: the mean over episodes and its 95% interval (ANCOR's protocol)."""

    class Config(EvaluationConfig):
        """Settings of `fewshot`."""

        split: str | None = Field(
            None, description="Split to draw episodes from. Default: test, else val, else train.",
            json_schema_extra={"display": True},
        )  # fmt: skip
        labels: str = Field(
            "fine", description="Label level whose classes are drawn, such as a label column.",
            json_schema_extra={"metavar": "LEVEL"},
        )  # fmt: skip
        ways: Annotated[int, Field(ge=2)] | Literal["all"] = Field(
            5, description="Classes per episode.", json_schema_extra={"metavar": "N|all"}
        )
        shots: int = Field(1, ge=1, description="Labeled images per class in the support set.")
        queries: int = Field(15, ge=1, description="Images per class to classify.")
        episodes: int = Field(1000, ge=2, description="Number of episodes. Episode i is the same for every run.")
        within: str | None = Field(
            None, description="Draw the classes of an episode from one class of this label level.",
            json_schema_extra={"metavar": "LEVEL"},
        )  # fmt: skip
        fine_within_coarse: bool = Field(
            False, description="Draw the classes of an episode from one coarse class, as within=coarse does."
        )
        skip_small: bool = Field(False, description="Leave out classes with too few images.")
        classifier: Literal["logistic", "cosine", "nearest"] = Field(
            "logistic",
            description="Logistic regression (the paper's), or the class of the support image with the largest cosine "
            "or the smallest distance.",
        )
        support_copies: int = Field(
            5, ge=1,
            description="Randomly cropped and flipped copies of each support image (5 in the paper); 1 is the image.",
        )  # fmt: skip
        combine: Literal["ensemble", "concat", "cascade"] | None = Field(
            None,
            description="With RUN2: geometric mean of the logistic probabilities, concatenated features, or the coarse "
            "class by RUN's classifier and the fine class within it by RUN2.",
        )
        run2: Path | None = Field(None, description="A second run to combine it with.", json_schema_extra=ARGUMENT)

        @property
        def parent(self) -> str | None:
            """The level of whose classes one is drawn for each episode, if any."""
            return "coarse" if self.fine_within_coarse else self.within

        @model_validator(mode="after")
        def _check_combination(self) -> Self:
            if self.fine_within_coarse and self.within not in (None, "coarse"):
                raise InputError("within", f"{self.within} conflicts with fine_within_coarse", "leave one of them out")
            if self.labels in (self.within, "coarse" if self.fine_within_coarse else None):
                raise InputError(
                    "within", f"a {self.labels} class has no other {self.labels} class inside", "choose a coarser level"
                )
            if self.combine and not self.run2:
                raise InputError("run2", f"{self.combine} combines two runs", "pass a second one, or leave combine out")
            if self.run2 and not self.combine:
                raise InputError("combine", "is not set, but there are two runs", "choose ensemble, concat or cascade")
            if self.combine == "ensemble" and self.classifier != "logistic":
                problem = f"multiplies logistic probabilities, which the {self.classifier} classifier does not have"
                raise InputError("combine", f"ensemble {problem}", "leave classifier out, or choose concat or cascade")
            return self

    def evaluate(self, run: "Run", config: Config) -> Result:
        """Classify the queries of every episode by its support set."""
        from coarsecon.data.prepared.split_ref import SplitRef
        from coarsecon.evaluation.support import embedded_split
        from coarsecon.metrics.fewshot import draw_episodes, few_shot
        from coarsecon.run.facade import Run

        split = config.split or run.default_split(config.labels)
        others = (Run(config.run2, run.dataset.root, features=run.spec, runtime=run.runtime),) if config.run2 else ()
        level, parent = config.labels, config.parent
        labels, skipped = _labels_to_draw(run, split, config)
        drawn = draw_episodes(
            labels, ways=config.ways, shots=config.shots, queries=config.queries, episodes=config.episodes,
            coarse=_known_labels(run, split, parent) if parent else None, names=run.dataset.info.levels[level],
            level=level, parent=parent or "coarse",
        )  # fmt: skip
        used = [level, *([parent] if parent else [])]
        run.use(SplitRef(run.dataset, split), levels=used)
        run.report_unlabeled(split, levels=used)
        run.warn_if_trained_on(split)
        models = [embedded_split(each.store, run.dataset, split, config.support_copies) for each in (run, *others)]
        predict, coarse_by = _classifier(run, split, config, models)
        run.continue_on_first_rank()
        found = few_shot(predict, drawn, run.reporter)
        values = {
            "accuracy": found.accuracy, "ci95": found.ci95, "episodes": config.episodes, "ways": found.ways,
            "shots": config.shots, "queries": config.queries, "support_copies": config.support_copies,
            "classifier": config.classifier, "combine": config.combine,
            "fine_within_coarse": (level, parent) == ("fine", "coarse"), "coarse_by": coarse_by,
            **({} if level == "fine" else {"labels": level}), **({"within": parent} if config.within else {}),
            **({"skipped_classes": skipped} if config.skip_small else {}),
        }  # fmt: skip
        within = f", within {parent} classes" if parent else ""
        title = f"{found.ways}-way {config.shots}-shot on {level} labels of {split}{within}, in %"
        row = (config.classifier, percent(found.accuracy), percent(found.ci95), f"{config.episodes:,}")
        return Result(
            [Metric("accuracy", found.accuracy, interval=found.ci95, count=config.episodes)],
            split,
            values,
            stored={"by_episode": found.by_episode, "run2": config.run2 and str(config.run2)},
            others=others,
            tables=[Table(title, ["", "accuracy", "± 95%", "episodes"], [row])],
        )


def _labels_to_draw(run: "Run", split: str, config: FewShot.Config) -> "tuple[Tensor, int]":
    """Return the labels [N] to draw from, -1 where unknown or left out, and the number of classes left out."""
    from coarsecon.metrics.fewshot import without_small

    labels = _known_labels(run, split, config.labels)
    if not config.skip_small:
        return labels, 0
    images = config.shots + config.queries
    labels, skipped = without_small(labels, images)
    small = f"{skipped} {config.labels} class{'es' * (skipped != 1)} of fewer than {images} images"
    if not (labels >= 0).any():
        raise InputError("skip_small", f"no class is left without {small}", "ask for fewer shots or queries")
    run.reporter.info(f"left out {small}")
    return labels, skipped


def _known_labels(run: "Run", split: str, level: str) -> "Tensor":
    labels = run.dataset.split(split).labels.get(level)
    if labels is None or not (labels >= 0).any():
        problem = f"no image of the split {split} has a {level} label, which few-shot evaluation needs"
        raise InputError(run.dataset.root, problem)
    return labels


def _classifier(
    run: "Run", split: str, config: FewShot.Config, models: "list[Embedded]"
) -> "tuple[Predict, str | None]":
    """Return the classifier of episodes, and what predicts the coarse classes of a cascade."""
    from coarsecon.metrics.fewshot import cascade, concatenated, ensemble, predictor

    if config.combine == "ensemble":
        return ensemble(*models), None
    if config.combine == "cascade":
        coarse, coarse_by = _coarse_classes(run, split, models[0], config.support_copies)
        return cascade(coarse, models[1], config.classifier), coarse_by
    return predictor(concatenated(*models) if config.combine else models[0], config.classifier), None


def _coarse_classes(run: "Run", split: str, model: "Embedded", copies: int) -> "tuple[Embedded, str]":
    """Return the coarse class of every image by the run's classifier, or else by logistic regression on train."""
    import torch

    from coarsecon.evaluation.held_out import FOLDS, split_folds
    from coarsecon.evaluation.support import predicted_classes
    from coarsecon.metrics.fewshot import Embedded, coarse_classes

    heads, reason = run.folder.heads(run.spec.checkpoint), "its method has no classifier"
    if heads.is_file():
        predicted = predicted_classes(run.store, run.dataset, split, copies)
        if predicted is not None:
            return predicted, "classifier"
    else:
        reason = f"there is no {heads.name}"
    run.reporter.info(f"{run.folder.root}: {reason}; coarse classes come from logistic regression on train")
    run.report_unlabeled("train", levels=["coarse"])
    train, labels = run.features("train"), _known_labels(run, "train", "coarse")
    if split != "train":
        return coarse_classes(model, train, labels), "logistic"
    folds = split_folds(run, split, FOLDS)
    predicted = Embedded(torch.empty_like(labels), labels.new_empty(model.support.shape[:2]))
    for fold in folds.unique():
        inside = folds == fold  # an image must not be classified by its own label
        found = coarse_classes(Embedded(*(part[inside] for part in model)), train, labels.masked_fill(inside, -1))
        predicted.query[inside], predicted.support[inside] = found
    return predicted, "logistic"
