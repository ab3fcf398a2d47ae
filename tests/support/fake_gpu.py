"""Training steps on a GPU that is not there: `python fake_gpu.py DATA METHOD[:BACKBONE]...` tells of each, as JSON.

Tensors have shapes, types and a device, but no values (torch's FakeTensorMode), on a device of our own (torch's
place for other backends). So what a GPU would complain of is an error here: tensors of two devices, and a result
that depends on values, for which a host would wait. The device is registered for the whole process.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from tiny import tiny_settings
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from coarsecon.methods import Method
from coarsecon.run.folder import RunFolder
from coarsecon.runtime import seeds
from coarsecon.runtime.progress import Reporter
from coarsecon.train.loop import Loop
from coarsecon.train.pretrain import Pretraining
from coarsecon.train.resolve import RunSpec, build_run_spec

_setup_privateuseone_for_python_backend("gpu")
GPU = torch.device("gpu:0")
vars(torch.gpu).update(  # type: ignore[attr-defined]
    get_rng_state=lambda *_: None,
    set_rng_state=lambda *_: None,
    manual_seed_all=lambda _: None,
    _is_in_bad_fork=lambda: False,
    get_amp_supported_dtype=lambda: [torch.bfloat16],
)


COPIED = {"aten::_to_copy": 0, "aten::copy_": 1}
"""Which argument is copied; after it may come only whether the host goes on at once."""


class GpuGenerator(torch.Generator):
    """A generator that says it is the GPU's."""

    device = GPU


class Watch(TorchDispatchMode):
    """Counts the kernels a GPU would be given, and keeps the copies between devices that the host waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.launches: Counter[str] = Counter()
        self.waits: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        name = func._schema.name
        if name.startswith("aten::") and not (func.is_view or name.startswith(("aten::empty", "aten::new_empty"))):
            self.launches[name] += 1
        if name in COPIED:
            source, at_once = args[COPIED[name]], kwargs.get("non_blocking") or any(args[2:])
            if source.device.type != out.device.type and not at_once:
                self.waits.append(f"{name} of {list(source.shape)} from {source.device} to {out.device}")
        return out


@dataclass(frozen=True)
class FakePlan(RunSpec):
    """A plan whose method is built as always, and then put on the fake GPU."""

    def build_method(self, *arguments: Any) -> Method:
        """The method, its weights without values."""
        with _disable_current_modes():
            method = RunSpec(**{**vars(self), "device": torch.device("cpu")}).build_method(*arguments)
        for module in method.modules():
            for name, value in module.named_parameters(recurse=False):
                setattr(module, name, nn.Parameter(_on_gpu(value), requires_grad=value.requires_grad))
            for name, value in module.named_buffers(recurse=False):
                setattr(module, name, _on_gpu(value))
        return method


def _on_gpu(value: Tensor) -> Tensor:
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=GPU)


@contextmanager
def fake_gpu(watch: Watch) -> Iterator[FakeTensorMode]:
    """Within it new tensors are fakes."""
    generator, tensor = torch.Generator, torch.tensor

    def fake_tensor(data: Any, *, device: Any = None, **others: Any) -> Tensor:
        value = tensor(data, **others)
        if device is None or torch.device(device).type != GPU.type:
            return value
        watch.waits.append(f"torch.tensor of {list(value.shape)}")
        return _on_gpu(value)

    def fake_generator(device: Any = "cpu") -> torch.Generator:
        return GpuGenerator() if torch.device(device).type == GPU.type else generator(device)

    patches = {"tensor": fake_tensor, "Generator": fake_generator, "randint": _real_scalar(torch.randint)}
    with mock.patch.multiple(torch, **patches), FakeTensorMode(allow_non_fake_inputs=True) as mode, watch:
        yield mode


def _real_scalar(randint: Any) -> Any:
    """A seed that is drawn on the host is had without waiting, so it may be looked at."""
    return lambda high, size, **others: 1 if size == () else randint(high, size, **others)


def steps_of(data: Path, name: str, backbone: str) -> dict[str, Any]:
    """What two steps did: where the host would wait, and the kernels of each, SGD's update apart; views are of both."""
    settings = tiny_settings(data, name, run={"precision": "float32"})
    planned = build_run_spec({**settings, "backbone": {"name": backbone} if backbone else settings["backbone"]})
    watch = Watch()
    with fake_gpu(watch) as mode:
        split = planned.split
        assert split.images is not None
        split = replace(
            split,
            labels={level: mode.from_tensor(column) for level, column in split.labels.items()},
            images=mode.from_tensor(split.images),
        )
        trainer = Pretraining(
            FakePlan(**{**vars(planned), "device": GPU, "split": split}), RunFolder(data / "no"), Reporter()
        )
        order = trainer.source.order(0)[:2]
        Loop(trainer).train_step(next(trainer.source.draw(order, seeds.VIEWS, 0)), 0.1)  # constants are copied once
        trainer.optimizer.step = lambda: None  # a fused one on a real GPU, many small ones here
        watch.waits.clear()
        watch.launches.clear()
        launches = []
        for views, labels in trainer.source.draw(order, seeds.VIEWS, len(order)):
            Loop(trainer).train_step((views, labels), 0.1)
            launches.append(watch.launches.total())
            watch.launches.clear()
    return {"waits": watch.waits, "launches": launches}


def main() -> None:
    """One method after the other."""
    data, *names = sys.argv[1:]
    told = {}
    for name in names:
        method, _, backbone = name.partition(":")
        try:
            told[name] = steps_of(Path(data), method, backbone)
        except Exception as error:
            told[name] = {"waits": [f"{type(error).__name__}: {error}"[:400]]}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
