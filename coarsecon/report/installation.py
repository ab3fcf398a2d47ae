"""State of an installation: versions, device, precision, memory, extras, and a self-test."""

import os
import platform
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import requires, version
from pathlib import Path
from typing import Any

import torch
from packaging.requirements import Requirement

from coarsecon import registry
from coarsecon.config import BackboneSettings, RunConfig
from coarsecon.errors import CoarseconError
from coarsecon.methods import Method, Setup
from coarsecon.nn.backbone import create_backbone, feature_dim
from coarsecon.runtime.device import autocast, choose_precision
from coarsecon.search import exact
from coarsecon.train.environment import PACKAGES, system
from coarsecon.views.batch import ImageBatch

DEVELOPER_EXTRAS = ("dev", "docs")
"""Extras for developers of the project."""

IMAGES, SIDE, CLASSES, QUEUE = 16, 32, 4, 48
"""Size of the training step in the self-test."""

SMALL = {"layers": [1, 1, 1, 1], "channels": [16, 32, 32, 32], "stem_type": "deep", "stem_width": 8}
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True)
class Extra:
    """Optional extra: the packages that `pip install 'coarsecon[NAME]'` adds, and which of them are missing."""

    name: str
    packages: dict[str, str | None]
    """Version of each distribution; None if missing."""

    @property
    def is_present(self) -> bool:
        """True if all its packages are installed."""
        return None not in self.packages.values()


@dataclass(frozen=True)
class Check:
    """Result of one self-test: success, a message, and its duration in seconds."""

    name: str
    passed: bool
    message: str
    seconds: float


def installed(package: str) -> str | None:
    """Return the version of a distribution; None if it is missing or its metadata cannot be read."""
    try:
        return version(package)
    except Exception:
        return None


def versions() -> dict[str, str | None]:
    """Return the versions of Python and of the packages on which results depend."""
    return {"python": platform.python_version(), **{package: installed(package) for package in PACKAGES}}


def outdated() -> list[str]:
    """Describe the required packages whose installed version does not meet the requirements."""
    needed = [Requirement(requirement) for requirement in requires("coarsecon") or ()]
    found = [(each, installed(each.name)) for each in needed if each.marker is None or each.marker.evaluate()]
    return [
        f"{each.name} {version} is installed, but {each.name}{each.specifier} is required"
        for each, version in found
        if version is not None and not each.specifier.contains(version, prereleases=True)
    ]


def extras() -> list[Extra]:
    """Return every optional extra of this installation, from its metadata."""
    found: dict[str, dict[str, str | None]] = {}
    for requirement in requires("coarsecon") or ():
        name = re.match(r"[\w.-]+", requirement)
        extra = re.search(r"""extra == ['"]([\w-]+)['"]""", requirement)
        if name and extra and extra[1] not in DEVELOPER_EXTRAS:
            found.setdefault(extra[1], {})[name[0]] = installed(name[0])
    return [Extra(name, packages) for name, packages in sorted(found.items())]


def machine(device: torch.device) -> dict[str, Any]:
    """Return device, precision, threads, and memory in bytes (None if unknown)."""
    facts: dict[str, Any] = {
        "platform": system(),
        "device": str(device),
        "device_name": platform.machine(),
        "precision": choose_precision("auto", device),
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory": memory(),
        "device_memory": None,
    }
    if device.type == "cuda":
        facts["device_name"] = torch.cuda.get_device_name(device)
        free, total = torch.cuda.mem_get_info(device)
        facts["device_memory"] = {"total": total, "available": free}
    return facts


def memory() -> dict[str, int] | None:
    """Return main memory, `total` and `available`, in bytes, or the limit of a container if it is lower."""
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        total, available = page * os.sysconf("SC_PHYS_PAGES"), page * os.sysconf("SC_AVPHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not on this system
        return None
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():  # free pages leave out what files hold and would give back
        line = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo.read_text(), re.MULTILINE)
        available = 1024 * int(line[1]) if line else available
    if CGROUP_LIMIT.is_file() and (limit := CGROUP_LIMIT.read_text().strip()).isdecimal():
        total, available = min(total, int(limit)), min(available, int(limit))
    return {"total": total, "available": available}


def self_test(device: torch.device) -> list[Check]:
    """Run a small training step and a small search."""
    return [_try("training step", training_step, device), _try("search index", search_index, device)]


def _try(name: str, check: Callable[[torch.device], str], device: torch.device) -> Check:
    start = time.monotonic()
    try:
        message, passed = check(device), True
    except Exception as error:  # report any failure
        message, passed = f"{type(error).__name__}: {error}".splitlines()[0], False
    return Check(name, passed, message, time.monotonic() - start)


def training_step(device: torch.device) -> str:
    """Run a step of the default method on noise, in the precision of a run.

    Raises:
        CoarseconError: The loss is not finite, a parameter of the encoder has no gradient, or no parameter changed.
    """
    name = RunConfig().method["name"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        method = _small_method(name, device)
        pixels = torch.randint(0, 256, (IMAGES, 3, SIDE, SIDE), dtype=torch.uint8).to(device)
    labels = torch.arange(IMAGES, device=device) % CLASSES
    batch, generator = ImageBatch.full(pixels), torch.Generator(device).manual_seed(0)

    def shown() -> dict[str, torch.Tensor]:
        return {key: view(batch, generator) for key, view in method.views().items()}

    precision = choose_precision("auto", device)
    encoder = dict(method.encoder.named_parameters())
    before = {key: parameter.detach().clone() for key, parameter in encoder.items()}
    optimizer = torch.optim.SGD([each for each in method.parameters() if each.requires_grad], lr=0.1)
    with autocast(device, precision):
        method.before_training(iter([(shown(), labels)] * (QUEUE // IMAGES)))
        loss = method.step(shown(), labels)["loss"]
    loss.backward()
    loss = loss.detach()
    optimizer.step()
    method.after_step()
    if not bool(loss.isfinite()):
        raise CoarseconError(f"the loss is {float(loss)}")
    bad = [key for key, each in encoder.items() if each.grad is None or not bool(each.grad.isfinite().all())]
    if bad:
        raise CoarseconError(f"{len(bad)} parameters have no finite gradient, {bad[0]} among them")
    if all(torch.equal(before[key], parameter) for key, parameter in encoder.items()):
        raise CoarseconError("no weight of the encoder has moved")
    return f"{name} in {precision}: loss {float(loss):.3f}, gradients for {len(encoder)} of {len(encoder)} parameters"


def _small_method(name: str, device: torch.device) -> Method:
    method_class = registry.own(registry.METHODS, name).load()  # also where another package claims the name
    settings = method_class.Config(queue_size=QUEUE)
    settings = method_class.resolve(settings, image_size=SIDE, images=QUEUE, classes=CLASSES)
    encoder = create_backbone(BackboneSettings(name="resnet18", stem="small", args=SMALL), SIDE)
    setup = Setup(encoder, feature_dim(encoder), CLASSES, SIDE, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    method: Method = method_class(settings, setup)
    return method.to(device).train()


def search_index(device: torch.device) -> str:
    """Compare searches in random features with a plain matrix product.

    Raises:
        CoarseconError: A score differs, or an index does not match its score.
    """
    generator = torch.Generator().manual_seed(0)
    gallery = exact.l2_normalize(torch.randn(2000, 64, generator=generator)).to(device)
    queries = exact.l2_normalize(torch.randn(100, 64, generator=generator)).to(device)
    scores, indices = exact.nearest(queries, gallery, 10)
    products = (queries.double() @ gallery.double().T).cpu()
    difference = float((scores.cpu().double() - products.topk(10).values).abs().max())
    belonging = float((scores.cpu().double() - products.gather(1, indices.cpu())).abs().max())
    if not max(difference, belonging) < 1e-4:
        raise CoarseconError(f"scores differ by {max(difference, belonging):.1e} from those of a matrix product")
    by = f"FAISS {installed('faiss-cpu')}" if exact.faiss is not None and device.type == "cpu" else "torch"
    return f"{by} and a matrix product agree to {difference:.0e}"
