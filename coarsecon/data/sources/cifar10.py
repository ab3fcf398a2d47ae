"""CIFAR-10: 60,000 photos of 10 kinds of objects and animals, 32 px."""

from coarsecon.data.sources import Source, SourceConfig, SourceData, SourceRequest
from coarsecon.data.sources.cifar import CITATION, SIZE, TERMS, URL, CifarFiles, LevelKeys, read_cifar

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


class CIFAR10(Source):
    """Read CIFAR-10."""

    name = "cifar10"
    about = """\
60,000 color photos of 32 px in 10 classes (fine labels only).
Reads the folder cifar-10-batches-py or cifar-10-python.tar.gz, which can be downloaded."""
    counts = FILES.counts
    default_size = SIZE
    levels = {level: keys.classes for level, keys in FILES.levels.items()}
    url = URL
    terms = TERMS
    citation = CITATION
    disk = "170 MB packed, 185 MB prepared"

    def read(self, request: SourceRequest, config: SourceConfig) -> SourceData:
        """Return CIFAR-10 with its ten classes as fine labels; there are no coarse labels."""
        levels, splits, note = read_cifar(FILES, request)
        return SourceData(self.name, SIZE, levels, splits, note)


SOURCE = CIFAR10()
