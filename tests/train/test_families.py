"""Backbones of many families: each learns by momentum contrast, and is read back as it was trained."""

import pytest
import torch
from tiny import tiny_settings

from coarsecon.config import BackboneSettings
from coarsecon.exporters.comparison import encoder_of, weights_of
from coarsecon.nn.encoder import load_encoder
from coarsecon.run.facade import Run
from coarsecon.run.folder import RunFolder
from coarsecon.runtime.progress import Reporter
from coarsecon.train.loop import Loop
from coarsecon.train.pretrain import Pretraining
from coarsecon.train.resolve import build_run_spec

FAMILIES = {
    "test_resnet": {},
    "densenet121": {"growth_rate": 4, "block_config": [1, 1, 1]},
    "test_efficientnet": {},
    "test_nfnet": {},  # without batch norm
    "mambaout_femto": {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]},
    "test_maxvit": {},
    "levit_128s": {"embed_dim": [16, 16, 16], "key_dim": 8, "num_heads": [1, 1, 1], "depth": [1, 1, 1]},
    "swin_tiny_patch4_window7_224": {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 1], "window_size": 4},
    "pvt_v2_b0": {"depths": [1, 1, 1, 1], "embed_dims": [8, 8, 16, 16], "num_heads": [1, 1, 1, 1]},
    "coat_lite_tiny": {"embed_dims": [16, 16, 16, 16], "serial_depths": [1, 1, 1, 1]},  # layers share weights
    "xcit_nano_12_p8_224": {"embed_dim": 16, "depth": 1, "num_heads": 2},
    "beit_base_patch16_224": {"embed_dim": 16, "depth": 1, "num_heads": 2},
    "eva02_tiny_patch14_224": {"embed_dim": 16, "depth": 1, "num_heads": 2},
    "naflexvit_base_patch16_gap": {"embed_dim": 16, "depth": 1, "num_heads": 2},
}

SIZES = {"eva02_tiny_patch14_224": 28}
"""Image sizes in pixels where patches do not divide 32."""


@pytest.mark.parametrize("name", FAMILIES)
def test_a_backbone_of_any_family_learns_and_is_read_back(name, tiny_data, tmp_path):
    size = SIZES.get(name, 32)
    settings = tiny_settings(
        tiny_data, data={"limit": 16, "size": size}, method={"queue_size": 16},
        schedule={"epochs": 1, "warmup_epochs": 0}, run={"batch_size": 8, "monitor_every": 0, "precision": "float32"},
    )  # fmt: skip
    settings["backbone"] = {"name": name, "args": FAMILIES[name]}
    trainer = Pretraining(build_run_spec(settings), RunFolder(tmp_path / "run"), Reporter())
    before = {name: value.clone() for name, value in trainer.method.encoder.named_parameters()}
    Loop(trainer).run_to_end()

    encoder, twin = trainer.method.encoder.eval(), trainer.method.twin.copies[0].eval()
    for network in (encoder, twin):  # at this side attention may have a single location, whose weights cannot matter
        still = [name for name, value in network.named_parameters() if torch.equal(value, before[name])]
        assert len(still) < len(before) / 2
    saved = load_encoder(trainer.run.encoder())
    images = torch.randn(2, 3, size, size)
    with torch.no_grad():
        assert saved.backbone(images).shape == (2, saved.dim)
        torch.testing.assert_close(saved.backbone(images), encoder(images))
    assert weights_of(encoder_of(Run(trainer.run))).keys() == encoder.state_dict().keys()
    assert saved.card.backbone == BackboneSettings(name=name, stem=saved.card.backbone.stem, args=FAMILIES[name])
