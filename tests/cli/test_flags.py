"""Errors of the library are printed with the flags of the command that was run."""

import pytest

from coarsecon.cli.flags import FLAGS, message_of
from coarsecon.cli.lazy import find_command
from coarsecon.config import RunConfig
from coarsecon.errors import CoarseconError, InputError


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["pretrain"], InputError("run.batch_size", "is odd"), "run.batch_size (--batch-size): is odd"),
        (["pretrain"], InputError("run.log", "is 0"), "run.log: is 0; change it with --set run.log=VALUE"),
        (["pretrain"], InputError("schedule.cycles", "is 30", "lower it"), "schedule.cycles: is 30; lower it"),
        (["export", "run"], InputError("run.batch_size", "is odd"), "run.batch_size: is odd"),
        (["knn", "run"], InputError("d", "is old", "set data.path"), "d: is old; set data.path (--data)"),
        (["export", "run"], InputError("d", "is gone", "set data.path"), "d: is gone; set data.path"),
        (["import", "f", "--from", "moco"], InputError("weights_key", "is unknown"), "--weights-key: is unknown"),
        (["data", "show", "d"], InputError("per_class", "is 0"), "--per-class: is 0"),
        (["export", "run", "--to", "hub"], InputError("push", "is no name"), "--push: is no name"),
        (["export", "run"], InputError("photo.jpg", "is broken"), "photo.jpg: is broken"),
        (["fewshot", "run"], InputError("c", "is small", "set skip_small"), "c: is small; pass --skip-small"),
        (["prepare", "cifar100"], InputError("d", "is empty", "download the files again, or set download"),
         "d: is empty; download the files again, or pass --download"),
        (["prepare", "folder"], InputError("t", "has no path", "name it with path, or a table (table)"),
         "t: has no path; name it with --path, or a table (--table)"),
        (["knn", "run"], InputError("d", "is old", "set download, or with skip_broken"),
         "d: is old; set download, or with skip_broken"),
        (["pretrain"], InputError("d", "is old", "set run.batch_size"), "d: is old; set run.batch_size (--batch-size)"),
        (["linear", "run"], InputError("finetune", "has its own views", "leave preset and augment out"),
         "--finetune: has its own views; leave --preset and --augment out"),
        (["prepare", "folder"], InputError("d", "is broken", "set skip_broken to leave out images and source"),
         "d: is broken; pass --skip-broken to leave out images and source"),
        (["detect", "run"], InputError("data.paths", "is empty"), "data.paths (--data): is empty"),
        (["nowhere"], InputError("command 'nowhere'", "not found"), "command 'nowhere': not found"),
        ([], CoarseconError("the disk failed"), "the disk failed"),
    ],
)  # fmt: skip
def test_the_subject_of_an_error_is_the_flag_where_the_command_has_one(words, error, message):
    assert message_of(error, words) == message


def test_every_flag_of_the_table_is_an_option_of_pretrain_and_a_setting():
    options = {flag for param in find_command(["pretrain"]).params for flag in param.opts}
    assert set(FLAGS.values()) <= options
    for setting in FLAGS.keys() - {"data.paths"}:  # of detect
        section, _, key = setting.partition(".")
        assert section in RunConfig.model_fields
        assert section == "method" or key in RunConfig.model_fields[section].annotation.model_fields


def test_a_command_prints_the_flag(coarsecon, tiny_data):
    done = coarsecon("pretrain", "--data", tiny_data, "--set", "run.batch_size=1")
    assert done.code == 2
    assert done.err.startswith("error: run.batch_size (--batch-size): ")
