"""CIFAR-100: 60,000 photos of 100 kinds in 20 superclasses, 32 px."""

from coarsecon.data.sources import Source, SourceConfig, SourceData, SourceRequest
from coarsecon.data.sources.cifar import CITATION, SIZE, TERMS, URL, CifarFiles, LevelKeys, read_cifar

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


class CIFAR100(Source):
    """Read CIFAR-100."""

    name = "cifar100"
    about = """\
60,000 color photos of 32 px in 100 classes (fine) of 20 superclasses (coarse).
Reads the folder cifar-100-python or cifar-100-python.tar.gz, which can be downloaded."""
    counts = FILES.counts
    default_size = SIZE
    levels = {level: keys.classes for level, keys in FILES.levels.items()}
    url = URL
    terms = TERMS
    citation = CITATION
    disk = "169 MB packed, 185 MB prepared"

    def read(self, request: SourceRequest, config: SourceConfig) -> SourceData:
        """Return CIFAR-100 with its 20 superclasses as coarse and its 100 classes as fine labels."""
        levels, splits, note = read_cifar(FILES, request)
        return SourceData(self.name, SIZE, levels, splits, note)


SOURCE = CIFAR100()
