"""Settings: strict values, the order of layers, one-line errors, and the round trip through a file."""

import warnings

import pytest

from coarsecon.config import RunConfig, merge, parse_assignments, read_config_file, to_yaml, validate
from coarsecon.errors import InputError
from coarsecon.runtime.documents import parse_yaml


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
def test_a_malformed_assignment_is_refused(assignment):
    with pytest.raises(InputError, match=r"expected section\.key=value|not valid YAML"):
        parse_assignments([assignment])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"optimizer": {"wieght_decay": 1.0}},
            r"optimizer\.wieght_decay: is not a setting; did you mean optimizer\.weight_decay\?",
        ),
        ({"optimiser": {"lr": 1.0}}, r"optimiser: is not a setting; did you mean optimizer\?"),
        ({"epochs": 3}, r"epochs: is not a setting; did you mean schedule\.epochs\?"),
        (
            {"optimizer": {"lr_rate": 1.0}},
            r"not a setting; known settings: optimizer\.name, optimizer\.lr, [\w., ]+nesterov$",
        ),
        (
            {"nonsense": 1},
            r"not a setting; known settings: recipe, data, backbone, method, optimizer, schedule, finetune, run$",
        ),
        ({"optimizer": {"lr": "fast"}}, r"optimizer\.lr: input should be a valid number \(got 'fast'\)"),
        ({"optimizer": {"lr": 0}}, r"optimizer\.lr: input should be greater than 0"),
        ({"schedule": {"epochs": 1.5}}, r"schedule\.epochs"),
        ({"run": {"batch_size": True}}, r"run\.batch_size"),
        ({"run": {"loggers": ["excel"]}}, r"run\.loggers\.0"),
        ({"data": []}, r"data: "),
    ],
)
def test_a_wrong_setting_is_reported_in_one_line(values, message):
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
def test_a_config_file_without_a_mapping_of_settings_is_refused(tmp_path, content):
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.yaml"):
        read_config_file(path)


def test_yaml_errors_name_the_line():
    with pytest.raises(InputError, match="recipe, line 2"):
        parse_yaml("a: 1\nb: [", "recipe")


def test_a_plain_value_where_a_section_belongs_is_refused_in_every_layer(tmp_path):
    with pytest.raises(InputError, match=r"^method: is a section of settings.*got 3"):
        parse_assignments(["method=3"])
    (tmp_path / "plain.yaml").write_text("data: images\n")
    with pytest.raises(InputError, match=r"plain\.yaml: data: is a section of settings.*'images'"):
        read_config_file(tmp_path / "plain.yaml")
    (tmp_path / "run.yaml").write_text("recipe: maskcon-toy\ndata:\n")
    assert read_config_file(tmp_path / "run.yaml") == {"recipe": "maskcon-toy", "data": None}
    assert parse_assignments(["optimizer={lr: 1}"]) == {"optimizer": {"lr": 1}}
    assert parse_assignments(["schedule=null", "epochs=3"]) == {"schedule": None, "epochs": 3}


def test_several_mistakes_are_reported_together():
    with pytest.raises(InputError) as caught:
        validate(RunConfig, {"optimizer": {"lr": 0, "kint": "sgd"}, "run": {"seed": -1}})
    assert caught.value.subject == "optimizer.lr"
    assert str(caught.value).count("optimizer.kint: is not a setting") == 1
    assert "run.seed" not in str(caught.value)


def test_former_keys_keep_working_in_every_layer(tmp_path):
    saved = tmp_path / "config.yaml"
    saved.write_text("optimizer: {kind: adamw, lr: 0.001}\nschedule: {kind: cyclic}\n")
    with warnings.catch_warnings(action="error"):  # as of a run's folder
        config = validate(RunConfig, merge({"schedule": {"name": "cosine"}}, read_config_file(saved)))
        assert validate(RunConfig, {"schedule": {"kind": "cyclic"}}).schedule.name == "cyclic"
    assert (config.optimizer.name, config.schedule.name) == ("adamw", "cyclic")
    with pytest.warns(FutureWarning, match=r"^optimizer\.kind is now called optimizer\.name$"):
        layer = parse_assignments(["optimizer.kind=sgd"])
    assert validate(RunConfig, merge(merge({}, read_config_file(saved)), layer)).optimizer.name == "sgd"
    with pytest.warns(FutureWarning, match="kind is now called") as caught:
        read_config_file(saved, warn=True)
    assert len(caught) == 2


def test_the_present_key_wins_over_the_former_one():
    assert merge({}, {"schedule": {"name": "cyclic", "kind": "cosine"}}) == {"schedule": {"name": "cyclic"}}
