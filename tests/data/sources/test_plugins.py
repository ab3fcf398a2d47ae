"""Sources of other packages: their own options reach them from Python and from the command line."""

import json
from pathlib import Path

import pytest
from plugin import put_plugin

import coarsecon as library
from coarsecon.data.sources import find_source
from coarsecon.errors import CoarseconError, InputError

HALVES = '''
"""Halves: gray images."""
import numpy as np
from pydantic import Field
from coarsecon.data.sources import Source, SourceConfig, SourceData, SplitData

class Halves(Source):
    """Draw gray images."""
    name = "halves"
    about = "Gray images."
    default_size = 8
    class Config(SourceConfig):
        brightness: int = Field(100, ge=0, le=255, description="Gray value of all pixels.")
    def read(self, request, config):
        images = np.full((4, 3, 8, 8), config.brightness, np.uint8)
        split = SplitData({"coarse": np.arange(4) % 2}, images)
        return SourceData("halves", 8, {"coarse": ["a", "b"]}, {"train": split})
'''


@pytest.fixture
def halves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_plugin(tmp_path, monkeypatch, HALVES, group="coarsecon.datasets", name="halves", attribute="Halves")


@pytest.mark.usefixtures("halves")
def test_an_option_of_a_plugin_is_one_of_the_command_line(coarsecon, tmp_path: Path) -> None:
    shown = " ".join(coarsecon("prepare", "halves", "--help").out.split())
    assert "--brightness" in shown
    assert "0<=x<=255" in shown
    assert "--brightness" not in coarsecon("prepare", "toy", "--help").out
    done = coarsecon("prepare", "--out", tmp_path / "out", "halves", "--brightness", "7", "--json", "-")
    assert done.code == 0, done.err
    assert json.loads(done.out)["name"] == "halves"
    assert json.loads(coarsecon("datasets", "halves", "--json", "-").out)["options"] == ["brightness"]
    done = coarsecon("prepare", "halves", "--brightness", "256", "--out", tmp_path / "other")
    assert done.code == 2
    assert "--brightness" in done.err


@pytest.mark.usefixtures("halves")
def test_an_option_of_a_plugin_is_a_parameter_in_python(tmp_path: Path) -> None:
    dataset = library.prepare("halves", tmp_path / "out", brightness=7)
    images = dataset.split("train").images
    assert images is not None
    assert (images == 7).all()
    with pytest.raises(InputError, match="less than or equal to 255") as error:
        library.prepare("halves", tmp_path / "other", brightness=256)
    assert error.value.subject == "brightness"
    with pytest.raises(InputError, match="is not a setting; known settings: brightness") as error:
        library.prepare("halves", tmp_path / "other", seed=1)
    assert error.value.subject == "seed"


def test_what_is_no_source_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_plugin(tmp_path, monkeypatch, "Mine = 3\n", group="coarsecon.datasets", name="mine", attribute="Mine")
    with pytest.raises(CoarseconError, match=r"'mine' from throw-away 1\.0: throw_away:Mine is not a .*Source"):
        find_source("mine")
