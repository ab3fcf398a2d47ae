"""Settings: strict values, the order of layers, one-line errors, and the round trip through a file."""

import pytest

from coarsecon.config import RunConfig, merge, parse_assignments, parse_yaml, read_config_file, to_yaml, validate
from coarsecon.errors import InputError


def test_later_layers_win_key_by_key():
    recipe = {"optimizer": {"lr": 0.1, "momentum": 0.8}, "schedule": {"epochs": 5}}
    config = validate(
        RunConfig, merge(merge(recipe, {"optimizer": {"lr": 0.2}}), parse_assignments(["optimizer.lr=0.3"]))
    )
    assert (config.optimizer.lr, config.optimizer.momentum, config.schedule.epochs) == (0.3, 0.8, 5)


def test_another_method_drops_the_settings_of_the_first():
    base = {"method": {"name": "maskcon", "w": 0.5}}
    assert merge(base, {"method": {"name": "moco"}})["method"] == {"name": "moco"}
    assert merge(base, {"method": {"name": "maskcon"}})["method"] == {"name": "maskcon", "w": 0.5}
    assert merge(base, {"method": {"t": 0.1}})["method"] == {"name": "maskcon", "w": 0.5, "t": 0.1}


def test_another_backbone_drops_what_only_the_first_understands():
    base = {"backbone": {"name": "resnet18", "stem": "small", "batch_norm_splits": 8, "args": {"layers": [1, 1, 1, 1]}}}
    other = {"backbone": {"name": "resnet50"}}
    assert merge(base, other)["backbone"] == {"name": "resnet50", "batch_norm_splits": 8}
    asked = {"backbone": {"name": "resnet50", "stem": "standard", "args": {"drop_rate": 0.1}}}
    assert merge(base, asked)["backbone"] == {**asked["backbone"], "batch_norm_splits": 8}
    same = {"backbone": {"name": "resnet18.tv_in1k", "pretrained": True}}
    assert merge(base, same)["backbone"] == {**base["backbone"], **same["backbone"]}
    assert merge({"backbone": {"args": {"depth": 1}}}, other)["backbone"] == {"name": "resnet50", "args": {"depth": 1}}


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 1e-3), ("5E2", 500.0), ("3", 3), ("-0.5", -0.5), ("true", True), ("[a, b]", ["a", "b"]), ("null", None),
     ("weak", "weak"), ("1.5.2", "1.5.2")],
)  # fmt: skip
def test_values_of_set_are_yaml_with_plain_exponents(text, value):
    parsed = parse_assignments([f"a.b={text}"])["a"]["b"]
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize("assignment", ["optimizer.lr", "=3", "a..b=1", ".=1", "a.b=[1"])
def test_a_malformed_assignment_is_told(assignment):
    with pytest.raises(InputError, match="--set"):
        parse_assignments([assignment])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"optimizer": {"wieght_decay": 1.0}},
            r"optimizer\.wieght_decay is not a setting; did you mean optimizer\.weight_decay\?",
        ),
        ({"optimiser": {"lr": 1.0}}, r"optimiser is not a setting; did you mean optimizer\?"),
        ({"epochs": 3}, r"epochs is not a setting; did you mean schedule\.epochs\?"),
        (
            {"optimizer": {"lr_rate": 1.0}},
            r"not a setting; known: optimizer\.kind, optimizer\.lr, [\w., ]+nesterov$",
        ),
        ({"nonsense": 1}, r"not a setting; known: recipe, data, backbone, method, optimizer, schedule, run$"),
        ({"optimizer": {"lr": "fast"}}, r"optimizer\.lr: input should be a valid number \(got 'fast'\)"),
        ({"optimizer": {"lr": 0}}, r"optimizer\.lr: input should be greater than 0"),
        ({"schedule": {"epochs": 1.5}}, r"schedule\.epochs"),
        ({"run": {"batch_size": True}}, r"run\.batch_size"),
        ({"run": {"loggers": ["excel"]}}, r"run\.loggers\.0"),
        ({"data": []}, r"data: "),
    ],
)
def test_a_wrong_setting_is_told_in_one_line(values, message):
    with pytest.raises(InputError, match=message) as caught:
        validate(RunConfig, values)
    assert "\n" not in str(caught.value)


def test_the_written_settings_read_back_the_same(tmp_path):
    config = validate(
        RunConfig, {"data": {"path": "data/x"}, "optimizer": {"lr": 1e-3}, "backbone": {"args": {"a": [1, 2]}}}
    )
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(config))
    assert validate(RunConfig, read_config_file(path)) == config


@pytest.mark.parametrize(
    "content", [b"a: [1", b"- 1\n", b"plain", b"\xff\xfe\x00", b"!!python/object/apply:os.system [id]"]
)
def test_a_config_file_that_is_no_mapping_of_settings_is_told(tmp_path, content):
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.yaml"):
        read_config_file(path)


def test_yaml_errors_name_the_line():
    with pytest.raises(InputError, match="recipe, line 2"):
        parse_yaml("a: 1\nb: [", "recipe")


def test_a_plain_value_where_a_section_belongs_is_refused_in_every_layer(tmp_path):
    with pytest.raises(InputError, match=r"--set: method is a section of settings.*got 3"):
        parse_assignments(["method=3"])
    (tmp_path / "plain.yaml").write_text("data: images\n")
    with pytest.raises(InputError, match=r"plain\.yaml: data is a section of settings.*'images'"):
        read_config_file(tmp_path / "plain.yaml")
    (tmp_path / "run.yaml").write_text("recipe: maskcon-toy\ndata:\n")
    assert read_config_file(tmp_path / "run.yaml") == {"recipe": "maskcon-toy", "data": None}
    assert parse_assignments(["optimizer={lr: 1}"]) == {"optimizer": {"lr": 1}}
    assert parse_assignments(["schedule=null", "epochs=3"]) == {"schedule": None, "epochs": 3}
