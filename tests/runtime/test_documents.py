"""JSON and YAML that anybody may have written: limits on size and depth, and errors in one sentence."""

from itertools import pairwise

import pytest

from coarsecon.errors import InputError
from coarsecon.runtime.documents import parse_json, parse_yaml, read_json, read_json_object

NAMES = "abcdefghijklmnopqrst"
BOMB = "a: &a [x, x]\n" + "".join(f"{name}: &{name} [*{before}, *{before}]\n" for before, name in pairwise(NAMES))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "not valid JSON"),
        ("", "not valid JSON"),
        (b"\xff\xfe{", "not valid JSON"),
        ("[" * 100_000 + "]" * 100_000, "nested too deep"),
        ("[" * 70 + "]" * 70, "nested deeper than 64 levels"),
        ('{"a":' * 500 + "1" + "}" * 500, "nested"),
        ("[" + "1" * 400 + "]", "an integer of more than 64 bits"),
        ("1" * 5000, "not valid JSON"),
        ('{"a": {"b": [-9223372036854775809]}}', "an integer of more than 64 bits"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_json_that_cannot_be_used_is_refused_with_file_problem_and_remedy(tmp_path, content, problem):
    file = tmp_path / "file.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=f"{file}: .*{problem}.*; restore it from a copy, or delete it") as error:
        read_json(file)
    assert "\n" not in str(error.value)


def test_json_of_64_levels_and_64_bits_is_read(tmp_path):
    (tmp_path / "a.json").write_text('{"a":' * 62 + "[9223372036854775807, 1e400]" + "}" * 62)
    value = read_json(tmp_path / "a.json")
    for _ in range(62):
        value = value["a"]
    assert value == [2**63 - 1, float("inf")]


def test_a_file_that_is_too_large_or_none_is_not_read(tmp_path):
    (tmp_path / "a.json").write_text('"' + "x" * 2**20 + '"')
    with pytest.raises(InputError, match="larger than 1 MiB"):
        read_json(tmp_path / "a.json", max_bytes=2**20)
    with pytest.raises(InputError, match="not a regular file"):
        read_json(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "missing.json")


@pytest.mark.parametrize("content", ["[]", "1", "null", '"x"'])
def test_another_value_than_an_object_is_refused(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(InputError, match="not a JSON object"):
        read_json_object(tmp_path / "a.json")


def test_a_piece_of_json_names_its_origin():
    with pytest.raises(InputError, match=r"log, line 3: not valid JSON \(.*\); delete it"):
        parse_json("{]", "log, line 3", remedy="delete it")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (BOMB, "aliases expand to more than 20,000 values"),
        ("&a [*a]", "contains itself"),
        ("data: &a {x: *a}", "contains itself"),
        ("[" * 5000 + "]" * 5000, "nested too deep"),
        ("[" * 70 + "]" * 70, "nested deeper than 64 levels"),
        ("x: 2001-99-99", "not valid YAML"),
        ("x: !!bool maybe", "not valid YAML"),
        ("x: !!int zz", "not valid YAML"),
        ("x: !!python/object/apply:os.getcwd []", "not valid YAML"),
        ("x: " + "1" * 5000, "not valid YAML"),
        ("x: [", "line 1: not valid YAML"),
    ],
    ids=lambda value: value[:20],
)
def test_yaml_that_cannot_be_used_is_refused(text, problem):
    with pytest.raises(InputError, match=f"config.yaml.*{problem}") as error:
        parse_yaml(text, "config.yaml")
    assert "\n" not in str(error.value)


def test_aliases_and_merges_of_an_ordinary_size_are_read():
    text = "base: &base {lr: 1e-3, steps: [1, 2]}\nrun: {<<: *base, lr: 0.1}\nagain: *base\n"
    base = {"lr": 0.001, "steps": [1, 2]}
    assert parse_yaml(text, "config.yaml") == {"base": base, "run": {**base, "lr": 0.1}, "again": base}


def test_an_empty_document_is_none():
    assert parse_yaml("", "config.yaml") is None
