"""Stand-ins for original files: every dataset in small, in exactly the form it was published in.

`STAND_INS` has a row for each form that `coarsecon prepare` reads. A new source adds a module with its writer here, and
its row there; the tests that go through all datasets then cover it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from stand_ins import caltech101, cars196, flowers102, hf, ilsvrc, imagenet32, sop, stl10, tieredimagenet, tinyimagenet
from stand_ins.cifar import cifar10_folder, cifar100_folder, pack, write_cifar10, write_cifar100
from stand_ins.images import array_data, save_image, write_class_folders, write_table, write_toy
from stand_ins.pickles import python2_pickle

__all__ = ["STAND_INS", "StandIn", "array_data", "cifar10_folder", "cifar100_folder", "pack", "python2_pickle",
           "save_image"]  # fmt: skip


class StandIn(NamedTuple):
    """One form of one dataset.

    `write(place, monkeypatch)` writes the files to the new folder `place`, has their small number taken as what was
    published, and returns what follows `coarsecon prepare DATASET` on the command line to read them.
    """

    dataset: str
    form: str
    write: Callable[[Path, pytest.MonkeyPatch], list[str]]

    def __str__(self) -> str:
        return f"{self.dataset}-{self.form}"


STAND_INS = [
    StandIn("cifar10", "pickles", write_cifar10),
    StandIn("cifartoy-good", "pickles", write_cifar10),
    StandIn("cifartoy-bad", "pickles", write_cifar10),
    StandIn("cifar100", "pickles", write_cifar100),
    StandIn("imagenet1k", "tars", ilsvrc.write_imagenet1k_tars),
    StandIn("imagenet100", "folders", ilsvrc.write_imagenet100_folders),
    StandIn("living17", "challenge", ilsvrc.write_living17_challenge),
    StandIn("nonliving26", "xml", ilsvrc.write_nonliving26_xml),
    StandIn("entity13", "text", ilsvrc.write_entity13_text),
    StandIn("entity30", "folders", ilsvrc.write_entity30_folders),
    StandIn("sop-split1", "folder", sop.write_split1),
    StandIn("sop-split2", "zip", sop.write_split2_zip),
    StandIn("cars196", "devkit", cars196.write_devkit),
    StandIn("cars196", "joint", cars196.write_joint),
    StandIn("cars196", "folders", cars196.write_folders),
    StandIn("stl10", "binary", stl10.write_stl10),
    StandIn("stl10", "tar", stl10.write_stl10_tar),
    StandIn("tinyimagenet", "folder", tinyimagenet.write_tinyimagenet),
    StandIn("tinyimagenet", "zip", tinyimagenet.write_tinyimagenet_zip),
    StandIn("caltech101", "folder", caltech101.write_caltech101),
    StandIn("caltech101", "zip", caltech101.write_caltech101_zip),
    StandIn("flowers102", "folder", flowers102.write_flowers102),
    StandIn("flowers102", "tar", flowers102.write_flowers102_tar),
    StandIn("imagenet32", "pickles", imagenet32.write_pickles),
    StandIn("imagenet32", "npz", imagenet32.write_npz),
    StandIn("tieredimagenet", "pickles", tieredimagenet.write_pickles),
    StandIn("folder", "tree", write_class_folders),
    StandIn("folder", "table", write_table),
    StandIn("hf", "saved", hf.write_saved),
    StandIn("toy", "drawn", write_toy),
]
