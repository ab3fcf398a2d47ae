"""Every method learns: trained on toy images, it finds the fine classes better than its random initialisation."""

import pytest
from sources import read_source

from coarsecon.data.prepare.dataset import write_dataset
from coarsecon.data.sources.toy import SOURCE
from coarsecon.run.folder import RunFolder
from coarsecon.runtime.progress import Reporter
from coarsecon.train.loop import Loop
from coarsecon.train.pretrain import Pretraining
from coarsecon.train.resolve import build_run_spec

BACKBONE = {
    "name": "resnet18",
    "args": {"layers": [1, 1, 1, 1], "channels": [16, 16, 32, 64], "stem_type": "deep", "stem_width": 8},
}
WEAK = {"query_view": "weak", "key_view": "weak"}
SIDES = {"ascl": 24}
"""Sides of images in pixels, where 16 are too few to learn from soon."""
CASES: dict[str, tuple[dict, int]] = {
    "maskcon": (WEAK, 1),
    "grafit": (WEAK, 1),
    "coins": (WEAK, 1),
    "supce": ({"view": "weak"}, 1),
    "cnce": ({}, 1),
    "supcon": ({}, 1),
    "ancor": (WEAK, 1),
    "moco": ({"query_view": "simclr-blur", "key_view": "weak"}, 2),
    "simclr": ({}, 2),
    "ascl": ({"momentum": 0.98}, 3),
    "ascl on byol": ({"base": "byol", "momentum": 0.9}, 4),
    "salmask": ({"strategy": "mean"}, 2),
    "salmask on simclr": ({"base": "simclr", "strategy": "mean"}, 3),
}
"""Settings of the method, and epochs; without labels it takes longer."""
MARGIN = 0.1
"""In fine Recall@1 over about 0.17; the statistics of batch norm, without any learning, bring up to 0.08."""


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    path = tmp_path_factory.mktemp("toy") / "data"
    write_dataset(path, read_source(SOURCE))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_method_beats_its_random_initialisation_on_fine_labels(toy, tmp_path, name):
    method, epochs = CASES[name]
    trainer = Pretraining(
        build_run_spec(
            {
                "data": {"path": str(toy), "size": SIDES.get(name, 16), "workers": 0},
                "backbone": BACKBONE,
                "method": {"name": name.split()[0], **method},
                "optimizer": {"lr": 0.1, "weight_decay": 2e-3},
                "schedule": {"name": "cosine", "epochs": epochs, "warmup_epochs": 0.5},
                "run": {"batch_size": 32, "monitor_every": 0, "monitor_images": 1000, "device": "cpu"},
            }
        ),
        RunFolder(tmp_path / "run"),
        Reporter(),
    )
    before = trainer.evaluate(trainer.method.encoder).metrics["fine_recall@1"]
    Loop(trainer).run_to_end()
    after = trainer.evaluate(trainer.method.encoder).metrics["fine_recall@1"]
    assert after > before + MARGIN
