"""What each of two processes computes for `test_comm.py`: two steps of every form of every method on half a batch.

Started as `python two_ranks.py FOLDER` under a launcher's environment; writes `rank0.pt` and `rank1.pt`.
"""

import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from forms import FORMS
from tiny import tiny_settings
from torch import Tensor

from coarsecon.methods.salmask import Masked
from coarsecon.run.folder import RunFolder
from coarsecon.runtime.distributed import Distributed, connected
from coarsecon.runtime.progress import Reporter
from coarsecon.train.loop import Loop, running_statistics
from coarsecon.train.pretrain import Pretraining
from coarsecon.train.resolve import build_run_spec

Batch = tuple[dict[str, Tensor], Tensor]

FINETUNED: dict[str, dict[str, Any]] = {
    "supce distilled": {"distill": 1.0},
    "maskcon distilled and averaged": {"distill": 1.0, "ema": 0.9},
    "supce averaged": {"ema": 0.9},
    "supce with the last blocks": {"train": "last-blocks", "blocks": 1, "layer_decay": 0.5},
}
"""Methods with settings of fine-tuning; the first word is the method's name."""
if find_spec("peft"):
    FINETUNED["supce with adapters"] = {"train": "lora", "lora_rank": 4}


IN_PARTS = ("supce", "moco", "maskcon")
"""Methods whose batches are computed in parts; their losses are means over images."""


def trainer(data: Path, form: str, comm: Distributed, batch_norm: str = "sync", parts: int = 1) -> Pretraining:
    """In float64 and without randomness inside the step: a saliency-masked step masks every batch alike.

    A form of `FINETUNED` starts from the weights next to the data.
    """
    run = {"precision": "float32", "batch_norm": batch_norm, "accumulate": parts}
    settings = tiny_settings(data, form.split()[0], method=FORMS.get(form, {}), data={"size": 16}, run=run)
    if form in FINETUNED:
        weights = {"weights": str(data.with_name("weights.safetensors")), "stem": "standard"}
        settings |= {"backbone": {**settings["backbone"], **weights}, "finetune": FINETUNED[form], "recipe": None}
    planned = build_run_spec(settings)
    torch.set_default_dtype(torch.float64)
    try:
        made = Pretraining(planned, RunFolder(data), Reporter(), comm)
    finally:
        torch.set_default_dtype(torch.float32)
    if hasattr(made.method, "mask"):
        made.method.filtered = lambda views: views  # the filter knows float32 alone
        made.method.mask = half_masked
    return made


def half_masked(views: dict[str, Tensor]) -> Masked:
    """The left half of queries is hidden, and the upper half of keys in their hard negatives."""
    query, negative = views["query"].clone(), views["key"].clone()
    query[..., :8] = 0
    negative[..., :8, :] = 0
    return Masked(query, views["key"], negative[:, None])


def whole_batches(names: Iterable[str], count: int) -> list[Batch]:
    """Batches of 32 noise images of 16 px under each of the views' names, the same on every rank."""
    draws = torch.Generator().manual_seed(0)
    return [
        (
            {name: torch.randn(32, 3, 16, 16, generator=draws, dtype=torch.float64) for name in names},
            torch.randint(4, (32,), generator=draws),
        )
        for _ in range(count)
    ]


def results(data: Path, form: str, comm: Distributed) -> dict[str, Any]:
    """Loss and gradients of the first step, and the whole state after the second."""
    return steps_of(trainer(data, form, comm), comm)


def accumulated(data: Path, name: str, comm: Distributed, parts: int) -> dict[str, Any]:
    """The same for a batch in parts, without batch statistics, which are those of a part."""
    made = trainer(data, name, comm, parts=parts)
    made.method.eval()
    return steps_of(made, comm)


def steps_of(made: Pretraining, comm: Distributed) -> dict[str, Any]:
    """Loss and gradients of the first step, and the states of all modules after the second."""
    given = [_part(batch, comm) for batch in whole_batches(made.source.views, 5)]
    steps = given[3:]
    made.method.before_training(iter(given[:3]))
    losses = []
    for number, (views, labels) in enumerate(steps):
        losses.append(Loop(made).train_step((views, labels), 0.01)["loss"].clone())
        if number == 0:
            gradients = {name: p.grad.clone() for name, p in made.method.named_parameters() if p.grad is not None}
    comm.average_(losses)
    companions = {name: module.state_dict() for name, module in made.companions().items()}
    return {"losses": losses, "gradients": gradients, "state": made.method.state_dict(), "companions": companions}


def _part(batch: Batch, comm: Distributed) -> Batch:
    views, labels = batch
    own = comm.shard(len(labels))
    return {name: images[own] for name, images in views.items()}, labels[own]


def shuffled_keys(data: Path, comm: Distributed) -> dict[str, Tensor]:
    """The queue, and this rank's key projections, after a batch that was shuffled across the ranks."""
    made = trainer(data, "moco", comm, "shuffle")
    views, labels = _part(whole_batches(made.source.views, 1)[0], comm)
    torch.manual_seed(comm.rank)
    with torch.no_grad():
        keys = made.method.project_keys(views["key"])
    made.method._keys = [(keys, labels)]
    made.method.after_step()
    comm.average_(running_statistics(made.method))
    made.method.twin.eval()
    return {"queue": made.method.queue.keys, "keys": keys, "restored": made.method.project_keys(views["key"]),
            "expected": made.method.twin(views["key"])}  # fmt: skip


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    with connected() as comm:
        measured = {form: results(folder / "data", form, comm) for form in (*FORMS, *FINETUNED)}
        measured |= {f"{name} in parts": accumulated(folder / "data", name, comm, 2) for name in IN_PARTS}
        measured["shuffled"] = shuffled_keys(folder / "data", comm)
        rows = torch.arange(7.0)[comm.shard(7)]
        measured["parts"] = comm.gather_parts(rows, 7)
        measured["any"] = comm.any(comm.rank == 1), comm.any(False)
        measured["first"] = comm.broadcast_object(lambda: comm.rank)
        torch.save(measured, folder / f"rank{comm.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
