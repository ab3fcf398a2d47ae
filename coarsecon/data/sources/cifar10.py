"""CIFAR-10: 60,000 photos of 10 kinds of objects and animals, 32 px."""

from coarsecon.data.sources.cifar import Cifar, CifarFiles, LevelKeys

FILES = CifarFiles(
    folder="cifar-10-batches-py",
    url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    md5="c58f30108f718f92721af3b95e74349a",
    meta="batches.meta",
    batches={"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)},
    counts={"train": 50_000, "test": 10_000},
    levels={"fine": LevelKeys("labels", "label_names", 10)},
    checksums={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
        "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    },
)


SOURCE = Cifar(
    "cifar10", FILES, "60,000 color photos of 32 px in 10 classes (fine labels only).", "170 MB packed, 185 MB prepared"
)
