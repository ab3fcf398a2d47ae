"""BREEDS: Living-17, Nonliving-26, Entity-13 and Entity-30, classes of ILSVRC 2012 below superclasses of WordNet.

Four variants. `none`: all subclasses in the training and the test split, as ANCOR uses them. `rand`, `good`, `bad`:
half of a superclass's subclasses are its source, the others its target, drawn at random, or such that the two lie near
to (`good`) or far from (`bad`) each other in the hierarchy. `train` and `val` hold the source, `test` the target:
training sees no fine class of the test split.
"""

from functools import partial

from coarsecon.data.sources import Source, SourceData, SourceRequest
from coarsecon.data.sources.ilsvrc import CITATION, READS, SIZE, TERMS, URL, FineClass, Part, label, read_ilsvrc
from coarsecon.data.sources.labels import read_table

VARIANTS = ("none", "rand", "good", "bad")


def read(request: SourceRequest, name: str) -> SourceData:
    """The dataset `name` in the variant `request.variant`: superclasses as coarse, subclasses as fine labels."""
    variant = request.variant or VARIANTS[0]
    rows = [row for row in read_table("breeds") if (row["dataset"], row["variant"]) == (name, variant)]
    coarse = {int(row["coarse"]): row["coarse_name"] for row in rows}
    classes = [FineClass(row["wnid"], label(row["wnid"], row["name"]), int(row["coarse"])) for row in rows]
    wnids = {domain: [row["wnid"] for row in rows if row["domain"] == domain] for domain in {r["domain"] for r in rows}}
    if variant == "none":
        parts = {"train": Part("train", wnids["both"]), "test": Part("val", wnids["both"])}
        notes = "Variant none: all subclasses in both splits. The test split is made of ILSVRC's validation images."
    else:
        parts = {
            "train": Part("train", wnids["source"]),
            "val": Part("val", wnids["source"]),
            "test": Part("val", wnids["target"]),
        }
        notes = (
            f"Variant {variant}: train and val hold the source subclasses, test the target ones, which training never "
            "sees; val and test are made of ILSVRC's validation images."
        )
    return read_ilsvrc(request, name, [coarse[number] for number in range(len(coarse))], classes, parts, notes)


def _source(name: str, kind: str, coarse: int, fine: int, disk: str) -> Source:
    return Source(
        name=name,
        about=f"""\
{kind} (fine) below {coarse} superclasses (coarse), {fine // coarse} each.
--variant none (default): all subclasses in both splits, as in ANCOR's experiments. rand, good, bad: half of each
superclass's subclasses make the splits train and val (BREEDS's source), the others test (its target): drawn at
random, or such that the halves are near to (good) or far from (bad) each other.
{READS}""",
        counts={},
        default_size=SIZE,
        read=partial(read, name=name),
        levels={"coarse": coarse, "fine": fine},
        url=URL,
        terms=TERMS,
        citation=f"{CITATION} BREEDS: Santurkar et al., ICLR 2021.",
        disk=disk,
        options=("variant",),
        variants=VARIANTS,
    )


LIVING17 = _source("living17", "68 classes of animals", 17, 68, "10 GB of original files; 6 GB prepared for 224 px")
NONLIVING26 = _source(
    "nonliving26", "104 classes of things", 26, 104, "15 GB of original files; 9 GB prepared for 224 px"
)
ENTITY13 = _source(
    "entity13", "260 classes of animals and things", 13, 260, "37 GB of original files; 22 GB prepared for 224 px"
)
ENTITY30 = _source(
    "entity30", "240 classes of animals and things", 30, 240, "34 GB of original files; 20 GB prepared for 224 px"
)
