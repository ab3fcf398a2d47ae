"""CIFAR-100: 60,000 photos of 100 kinds in 20 superclasses, 32 px."""

from coarsecon.data.sources.cifar import Cifar, CifarFiles, LevelKeys

FILES = CifarFiles(
    folder="cifar-100-python",
    url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
    md5="eb9058c3a382ffc7106e4002c42a8d85",
    meta="meta",
    batches={"train": ("train",), "test": ("test",)},
    counts={"train": 50_000, "test": 10_000},
    levels={
        "coarse": LevelKeys("coarse_labels", "coarse_label_names", 20),
        "fine": LevelKeys("fine_labels", "fine_label_names", 100),
    },
    checksums={
        "train": "16019d7e3df5f24257cddd939b257f8d",
        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        "meta": "7973b15100ade9c7d40fb424638fde48",
    },
)


SOURCE = Cifar(
    "cifar100",
    FILES,
    "60,000 color photos of 32 px in 100 classes (fine) of 20 superclasses (coarse).",
    "169 MB packed, 185 MB prepared",
)
