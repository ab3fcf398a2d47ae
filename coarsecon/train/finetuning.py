"""Runs that start from pretrained weights: what stays frozen."""

from collections.abc import Sequence

from torch import nn

from coarsecon.config import FinetuneSettings, RunConfig
from coarsecon.errors import InputError
from coarsecon.nn.freezing import train_last_blocks
from coarsecon.nn.lora import add_adapters, load_peft


def check_finetuning(config: RunConfig) -> None:
    """Refuse settings that keep or compare with the initial weights if those are random.

    Raises:
        InputError: The run starts from random weights, or the extra for adapters is not installed.
    """
    if config.finetune.train == "lora":
        load_peft()
    if config.backbone.starts_from_weights:
        return
    hint = "set backbone.weights to a file or backbone.pretrained to true, or leave it out"
    problem = "needs pretrained weights, and this run starts from random ones"
    if config.finetune.train != "full":
        raise InputError("finetune.train", f"{config.finetune.train} {problem}", hint)
    if config.finetune.distill:
        raise InputError("finetune.distill", problem, hint)


def freeze(encoder: nn.Module, settings: FinetuneSettings, image_size: int, random_entries: Sequence[str] = ()) -> None:
    """Freeze the parts of a backbone that the settings do not train, and add adapters if they ask for some.

    Args:
        encoder: The backbone with its initial weights.
        settings: Which parts are trained.
        image_size: Size of its images in pixels.
        random_entries: Entries that the initial weights do not contain, each with a reason after its name.

    Raises:
        InputError: The backbone does not allow it, or a frozen entry would keep random values.
    """
    if settings.train == "full":
        return
    initial = dict(encoder.named_parameters())
    if settings.train == "lora":
        add_adapters(encoder, settings.lora_rank, image_size)
    else:
        train_last_blocks(encoder, settings.blocks)
    frozen = {name for name, parameter in initial.items() if not parameter.requires_grad}
    random = [entry for entry in random_entries if entry.split()[0] in frozen]
    if random:
        problem = f"{settings.train} would freeze random values, which the initial weights do not contain: {random[0]}"
        raise InputError("finetune.train", problem, "set it to full, or backbone.stem to standard")
