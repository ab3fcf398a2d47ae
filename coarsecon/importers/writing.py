"""Write a run folder that holds an encoder which was not trained here."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from coarsecon.config import RunConfig, to_yaml
from coarsecon.nn.encoder import EncoderCard, InputTransform, save_encoder
from coarsecon.run.folder import RunFolder
from coarsecon.runtime.folders import atomic_folder
from coarsecon.train.environment import describe_environment


def write_run(
    out: Path,
    config: RunConfig,
    network: nn.Module,
    transform: InputTransform,
    origin: Mapping[str, Any],
    *,
    frozen: bool = False,
    add: Callable[[RunFolder], None] = lambda run: None,
) -> None:
    """Write the run folder `out`, completely or not at all.

    Args:
        out: The folder to write.
        config: Settings of the run, with those of the backbone.
        network: The backbone with its weights.
        transform: The input transform of the weights.
        origin: Where they come from, for `environment.json`.
        frozen: The weights were not trained on the dataset of the run.
        add: Writes further files to the run folder, after the encoder.
    """
    with atomic_folder(out) as folder:
        run = RunFolder(folder)
        run.config_file.write_text(to_yaml(config), encoding="utf-8")
        save_encoder(network, EncoderCard(backbone=config.backbone, input=transform), run.encoder())
        add(run)
        environment = {**describe_environment(torch.device("cpu"), "float32"), "imported": origin}
        environment |= {"frozen": True} if frozen else {}
        run.environment_file.write_text(json.dumps(environment, indent=2), encoding="utf-8")
