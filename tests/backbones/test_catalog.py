"""The default list holds what timm records."""

from pathlib import Path

import pytest
import timm

from coarsecon.backbones.candidates import parse_candidate, parse_candidates
from coarsecon.backbones.catalog import CATALOG
from coarsecon.backbones.compare import license_of
from coarsecon.nn.published import find_published_transform

LICENSES = {"apache-2.0": "Apache-2.0", "dinov3-license": "DINOv3 license", "mit": "MIT"}


@pytest.mark.parametrize("entry", CATALOG, ids=lambda entry: entry.name)
def test_licenses_and_sizes_are_those_that_timm_records(entry):
    published = timm.models.get_pretrained_cfg(entry.name)
    assert published.architecture == entry.name.partition(".")[0]
    assert entry.license == LICENSES[published.license]
    assert find_published_transform(entry.name).transform.size == entry.size


@pytest.mark.slow
@pytest.mark.parametrize("entry", CATALOG, ids=lambda entry: entry.name)
def test_parameters_are_those_of_the_network_without_a_classifier(entry):
    model = timm.create_model(entry.name, num_classes=0)
    assert sum(each.numel() for each in model.parameters()) / 1e6 == pytest.approx(entry.parameters, abs=0.06)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("resnet50.a1_in1k", "Apache-2.0"),
        ("vit_base_patch16_clip_224.metaclip_400m", "cc-by-nc-4.0"),
        ("open_clip:EVA02-B-16/merged2b_s8b_b131k", "mit"),
        ("resnet18=random", ""),
    ],
)
def test_the_license_of_published_weights_is_known(text, expected):
    assert license_of(parse_candidate(text)) == expected


def test_the_default_list_is_compared_without_names():
    assert [each.name for each in parse_candidates([])] == [entry.name for entry in CATALOG]


def test_the_documentation_lists_it():
    text = (Path(__file__).resolve().parents[2] / "docs" / "backbones.md").read_text()
    for entry in CATALOG:
        row = f"| `{entry.name}` | {entry.license} | {entry.parameters} | {entry.size} | {entry.about} |"
        assert row in text, entry.name
