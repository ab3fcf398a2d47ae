"""BREEDS: Living-17, Nonliving-26, Entity-13 and Entity-30, classes of ILSVRC 2012 below superclasses of WordNet."""

from typing import Literal

from pydantic import Field

from coarsecon.data.sources import Source, SourceConfig, SourceData, SourceRequest
from coarsecon.data.sources.ilsvrc import CITATION, READS, SIZE, TERMS, URL, FineClass, Part, label, read_ilsvrc
from coarsecon.data.sources.labels import class_names, read_table


class BreedsConfig(SourceConfig):
    """Options of the BREEDS sources."""

    variant: Literal["none", "rand", "good", "bad"] = Field(
        "none",
        description="none: all subclasses in train and test. rand, good, bad: disjoint subclasses in train and test, "
        "drawn at random, or close to (good) or far from (bad) each other in the hierarchy.",
    )


class Breeds(Source):
    """Read one of the four datasets."""

    Config = BreedsConfig

    default_size = SIZE
    url = URL
    terms = TERMS
    citation = f"{CITATION} BREEDS: Santurkar et al., ICLR 2021."

    def __init__(self, name: str, kind: str, coarse: int, fine: int, disk: str) -> None:
        self.name, self.disk = name, disk
        self.levels = {"coarse": coarse, "fine": fine}
        self.about = f"""\
{fine} classes of {kind} (fine) below {coarse} superclasses (coarse), {fine // coarse} each.
Variant none (default): all subclasses in both splits, as in the experiments of ANCOR. rand, good, bad: half of the
subclasses of each superclass form the splits train and val (the source of BREEDS), the others test (its target), drawn
at random, or such that the halves are close to (good) or far from (bad) each other in the hierarchy.
{READS}"""

    def read(self, request: SourceRequest, config: BreedsConfig) -> SourceData:
        """Return the dataset with superclasses as coarse and subclasses as fine labels."""
        rows = [row for row in read_table("breeds") if (row["dataset"], row["variant"]) == (self.name, config.variant)]
        classes = [FineClass(row["wnid"], label(row["wnid"], row["name"]), int(row["coarse"])) for row in rows]
        wnids: dict[str, list[str]] = {}
        for row in rows:
            wnids.setdefault(row["domain"], []).append(row["wnid"])
        notes = "The test split is made of ILSVRC's validation images."
        if config.variant == "none":
            parts = {"train": Part("train", wnids["both"]), "test": Part("val", wnids["both"])}
            notes = f"Variant none: all subclasses in both splits. {notes}"
        else:
            parts = {
                "train": Part("train", wnids["source"]),
                "val": Part("val", wnids["source"]),
                "test": Part("val", wnids["target"]),
            }
            notes = (
                f"Variant {config.variant}: train and val hold the source subclasses, test the target ones, which "
                "training never sees; val and test are made of ILSVRC's validation images."
            )
        return read_ilsvrc(request, self.name, class_names(rows), classes, parts, notes)


LIVING17 = Breeds("living17", "animals", 17, 68, "10 GB of original files; 6 GB prepared for 224 px")
NONLIVING26 = Breeds("nonliving26", "things", 26, 104, "15 GB of original files; 9 GB prepared for 224 px")
ENTITY13 = Breeds("entity13", "animals and things", 13, 260, "37 GB of original files; 22 GB prepared for 224 px")
ENTITY30 = Breeds("entity30", "animals and things", 30, 240, "34 GB of original files; 20 GB prepared for 224 px")
