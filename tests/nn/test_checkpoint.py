"""Nothing in a stranger's file is run, and what is refused is told with what to do."""

import argparse
import pathlib
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from coarsecon.errors import InputError
from coarsecon.nn.checkpoint import read_checkpoint


class Hostile:
    def __reduce__(self):
        return (print, ("unpickled",))


def saved(tmp_path, content, name="c.pth"):
    torch.save(content, tmp_path / name)
    return tmp_path / name


def test_weights_are_found_in_every_container_without_the_module_of_parallel_training(tmp_path):
    weights = {"module.a.weight": torch.ones(2), "b.module.c": torch.ones(1)}
    for content in (weights, {"state_dict": weights, "epoch": 1}, {"model": weights, "opt": argparse.Namespace(lr=1)}):
        found = read_checkpoint(saved(tmp_path, content))
        assert set(found.state) == {"a.weight", "b.c"}
    assert found.others == ["opt"]
    save_file({"x": torch.ones(1)}, tmp_path / "x.safetensors")
    assert set(read_checkpoint(tmp_path / "x.safetensors").state) == {"x"}


@pytest.mark.parametrize("content", [{"state_dict": Hostile()}, {"w": torch.ones(1), "args": Hostile()}])
def test_code_is_refused_by_name_and_not_run(content, tmp_path, capsys):
    with pytest.raises(InputError, match=r"would run code \(\S*print\).*torch.save\(model.state_dict"):
        read_checkpoint(saved(tmp_path, content))
    assert "unpickled" not in capsys.readouterr().out


def test_a_whole_module_and_other_classes_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"torch\.nn\.modules\.linear\.Linear"):
        read_checkpoint(saved(tmp_path, torch.nn.Linear(1, 1)))
    with pytest.raises(InputError, match="pathlib"):
        read_checkpoint(saved(tmp_path, {"w": torch.ones(1), "args": argparse.Namespace(root=pathlib.Path("/"))}))


def test_namespaces_stay_unknown_to_torch_elsewhere(tmp_path):
    read_checkpoint(saved(tmp_path, {"w": torch.ones(1), "args": argparse.Namespace()}))
    assert argparse.Namespace not in torch.serialization.get_safe_globals()


def test_metrics_and_histories_of_numpy_are_no_obstacle(tmp_path):
    beside = {"best": np.float64(0.5), "epoch": np.int64(3), "history": np.arange(4.0), "names": np.array(["a", "b"])}
    found = read_checkpoint(saved(tmp_path, {"model": {"w": torch.ones(2)}, **beside}))
    assert found.state["w"].tolist() == [1, 1]
    assert found.others == list(beside)


def test_numpy_arrays_of_objects_run_nothing(tmp_path, capsys):
    with pytest.raises(InputError, match="print"):
        read_checkpoint(saved(tmp_path, {"w": torch.ones(2), "x": np.array([Hostile()], dtype=object)}))
    assert "unpickled" not in capsys.readouterr().out


def test_every_set_of_weights_is_found_by_its_keys(tmp_path):
    weights, momentum = {"a.w": torch.ones(2)}, {"state": {0: {"momentum_buffer": torch.ones(2)}}}
    content = {
        "state_dict": {f"_orig_mod.module.{name}": value for name, value in weights.items()}, "optimizer": momentum,
        "ema": {"model": weights, "decay": 0.9}, "best": torch.tensor(1.0), "epoch": 3,
    }  # fmt: skip
    found = read_checkpoint(saved(tmp_path, content))
    assert {key: list(state) for key, state in found.sets.items()} == {"state_dict": ["a.w"], "ema.model": ["a.w"]}
    assert found.others == ["optimizer", "best", "epoch"]


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "is empty"), (b"<!DOCTYPE html><html>", "is a web page"), (b"<html>", "is a web page"),
     (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer")],
)  # fmt: skip
def test_a_failed_download_is_named(content, words, tmp_path):
    (tmp_path / "c.pth").write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_checkpoint(tmp_path / "c.pth")


def test_a_list_and_a_safetensors_file_of_another_suffix(tmp_path):
    with pytest.raises(InputError, match="has a list, not weights by name"):
        read_checkpoint(saved(tmp_path, [{"w": torch.ones(1)}]))
    save_file({"x": torch.ones(1)}, tmp_path / "x.bin")
    assert set(read_checkpoint(tmp_path / "x.bin").state) == {"x"}


def test_a_tensor_that_claims_more_than_the_file_holds_is_refused(tmp_path):
    with pytest.raises(InputError, match="claims more numbers"):
        read_checkpoint(saved(tmp_path, {"w": torch.ones(1).expand(10**6, 10**6)}))


def test_files_that_are_too_large_also_unpacked_are_refused(tmp_path):
    file = tmp_path / "bomb.pth"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(1_000_000))
    assert file.stat().st_size < 10_000
    for path in (file, saved(tmp_path, {"w": torch.zeros(10_000)})):
        with pytest.raises(InputError, match="larger than"):
            read_checkpoint(path, max_bytes=10_000)


def test_a_file_of_something_else_is_told_without_torchs_advice(tmp_path):
    for name, content in (("a.pth", b"import torch\n"), ("b.jpg", b"\xff\xd8\xff\xe0")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=rf"{name}: not a checkpoint: neither safetensors nor saved by torch$"):
            read_checkpoint(tmp_path / name)


def test_broken_missing_and_empty_files_are_told(tmp_path):
    (tmp_path / "broken.pth").write_bytes(b"PK\3\4 nothing")
    (tmp_path / "broken.safetensors").write_bytes(b"\xff" * 20)
    for name, words in {
        "broken.pth": "loaded safely", "broken.safetensors": "as safetensors", "missing.pth": "no such file",
    }.items():  # fmt: skip
        with pytest.raises(InputError, match=words):
            read_checkpoint(tmp_path / name)
    with pytest.raises(InputError, match="has no weights, but epoch"):
        read_checkpoint(saved(tmp_path, {"epoch": 3}))


def test_an_archive_that_claims_to_span_several_disks_is_read_as_torch_reads_it(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"conv1.weight": torch.ones(3)}, path)
    content = path.read_bytes()
    locator = b"PK\x06\x07" + bytes(12) + (7).to_bytes(4, "little")
    end = content.rindex(b"PK\x05\x06")
    path.write_bytes(content[:end].removesuffix(content[end - 20 : end]) + locator + content[end:])
    assert torch.equal(read_checkpoint(path).sets[""]["conv1.weight"], torch.ones(3))
