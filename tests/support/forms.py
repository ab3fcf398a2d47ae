"""Every built-in method in every form, for tests that hold for all of them."""

from pathlib import Path

from tiny import tiny_trainer

from coarsecon.train.pretrain import Pretraining

FAMILY = ("maskcon", "grafit", "coins", "moco", "ascl")
ANCOR_FORMS = {
    "ancor": {"queue_size": 20},
    "ancor as published": {"queue_size": 20, "classifier": "relu"},
    "ancor without mlp": {"queue_size": 20, "mlp": False, "kind": "cst_all_by_class"},
    "ancor with fork head": {"queue_size": 20, "head": "fork"},
    "ancor with one queue": {"kind": "cst_all"},
}
FORMS: dict[str, dict] = {
    **{name: {} for name in (*FAMILY, "supce", "cnce", "supcon", "simclr")},
    "ascl ahcl": {"kind": "ahcl", "neighbors": 5},
    "ascl hard": {"kind": "hard"},
    "ascl on byol": {"base": "byol"},
    "salmask": {},
    "salmask on simclr": {"base": "simclr", "strategy": "blur"},
    **ANCOR_FORMS,
}
"""Every built-in method in every form; the first word is the method's name."""


def trainer(tiny_data: Path, form: str, side: int = 32) -> Pretraining:
    return tiny_trainer(tiny_data, form.split()[0], side=side, **FORMS[form])
