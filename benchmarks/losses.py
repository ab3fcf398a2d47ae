"""Time and memory of the losses with long queues and large batches, against dense implementations.

    python benchmarks/losses.py

MaskCon, targets to gradient: ours works through the queue in chunks; dense holds labels, targets, logits and
log-softmax as matrices over batch and queue. SupCon, forward and backward, must fit 1.5 GB. Time is the median of runs
that take turns. Memory is what the kernel counts as resident at its peak less what was resident before the run, in a
fresh process for each side whose allocator gives every freed block back at once, so that nothing freed earlier is
used unseen. It needs Linux, which lets a process reset its peak. On a GPU time is that of the GPU; memory stays that
of a run on the CPU.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from multiprocessing import get_context
from typing import NamedTuple

import torch
import torch.nn.functional as F
from machine import describe_machine, synchronize, watch_memory
from torch import Tensor

from coarsecon.losses import maskcon_loss, supcon_loss
from coarsecon.runtime.device import choose_device

W, T0, T = 0.8, 0.1, 0.05


class Sizes(NamedTuple):
    batch: int
    queue: int
    dim: int
    supcon_batch: int


def contrast_inputs(sizes: Sizes, classes: int = 20) -> tuple[Tensor, ...]:
    """Return q (with gradient), k, labels, queue, and queue labels."""
    generator = torch.Generator().manual_seed(0)
    q, k, queue = (torch.randn(n, sizes.dim, generator=generator) for n in (sizes.batch, sizes.batch, sizes.queue))
    labels, queue_labels = (torch.randint(classes, (n,), generator=generator) for n in (sizes.batch, sizes.queue))
    return q.requires_grad_(), k, labels, F.normalize(queue, dim=1), queue_labels


def supcon_inputs(sizes: Sizes, classes: int = 20) -> tuple[Tensor, ...]:
    """Return features of two views (with gradient) and labels."""
    generator = torch.Generator().manual_seed(0)
    features = F.normalize(torch.randn(sizes.supcon_batch, 2, sizes.dim, generator=generator), dim=2)
    return features.requires_grad_(), torch.randint(classes, (sizes.supcon_batch,), generator=generator)


def dense_maskcon(q: Tensor, k: Tensor, labels: Tensor, queue: Tensor, queue_labels: Tensor) -> Tensor:
    """Compute the equations with matrices over batch and queue."""
    q, k = F.normalize(q, dim=1), F.normalize(k, dim=1)
    with torch.no_grad():
        same = labels[:, None].repeat(1, len(queue)) == queue_labels[None, :].repeat(len(q), 1)
        soft = (k @ queue.T / T).masked_fill(~same, float("-inf")).softmax(1)
        target = torch.cat([torch.ones(len(q), 1), soft / soft.amax(1, keepdim=True)], 1)
        alone = torch.zeros_like(target)
        alone[:, 0] = 1
        target = W * target / target.sum(1, keepdim=True) + (1 - W) * alone
    logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.T], 1) / T0
    return -(target * logits.log_softmax(1)).sum(1).mean()


def our_maskcon(*inputs: Tensor) -> Tensor:
    """Compute the same loss in chunks."""
    return maskcon_loss(*inputs, w=W, t0=T0, t=T)


Side = tuple[Callable[[Sizes], tuple[Tensor, ...]], Callable[..., Tensor]]
SIDES: dict[str, Side] = {
    "MaskCon, dense": (contrast_inputs, dense_maskcon),
    "MaskCon, ours": (contrast_inputs, our_maskcon),
    "SupCon, ours": (supcon_inputs, supcon_loss),
}
"""Name -> (function from sizes to inputs, the first with gradient; loss of the inputs)."""


def forward_backward(side: str, inputs: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """Compute the loss and its gradient."""
    inputs[0].grad = None
    loss = SIDES[side][1](*inputs)
    loss.backward()
    synchronize()
    assert inputs[0].grad is not None
    return loss.detach(), inputs[0].grad


def added_memory(side: str, sizes: Sizes) -> float:
    """Return the MB of peak memory beyond the inputs. Call it in a fresh process."""
    forward_backward(side, SIDES[side][0](Sizes(8, 64, sizes.dim, 8)))  # load libraries and start threads
    inputs = SIDES[side][0](sizes)
    added = watch_memory()
    forward_backward(side, inputs)
    return added() * 2**20 / 1e6


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--queue", type=int, default=65_536)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--supcon-batch", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    sizes = Sizes(options.batch, options.queue, options.dim, options.supcon_batch)

    os.environ["MALLOC_MMAP_THRESHOLD_"] = "65536"  # read by the children when they start
    memory = {}
    for side in SIDES:
        with get_context("spawn").Pool(1) as pool:
            memory[side] = pool.apply(added_memory, (side, sizes))

    device = choose_device("auto")
    inputs = {
        side: tuple(value.detach().to(device).requires_grad_(value.requires_grad) for value in make(sizes))
        for side, (make, _) in SIDES.items()
    }
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    results = {}
    for turn in range(options.repeats + 1):
        for side in SIDES:
            start = time.perf_counter()
            results[side] = forward_backward(side, inputs[side])
            if turn:  # the first warms up
                seconds[side].append(time.perf_counter() - start)
    for ours, dense in zip(results["MaskCon, ours"], results["MaskCon, dense"], strict=True):
        torch.testing.assert_close(ours, dense, rtol=1e-4, atol=1e-7)

    print(
        f"{describe_machine()}; N={sizes.batch}, K={sizes.queue}, D={sizes.dim}; SupCon B={sizes.supcon_batch}, V=2\n"
    )
    print("| loss, forward and backward | median ms | time against dense | peak above the inputs, MB | against dense |")
    print("|---|---|---|---|---|")
    for side, values in seconds.items():
        ratios = ["", ""]
        if side.startswith("MaskCon"):
            dense = statistics.median(seconds["MaskCon, dense"])
            ratios = [f"{statistics.median(values) / dense:.0%}", f"{memory[side] / memory['MaskCon, dense']:.1%}"]
        print(f"| {side} | {1000 * statistics.median(values):.0f} | {ratios[0]} | {memory[side]:.0f} | {ratios[1]} |")


if __name__ == "__main__":
    main()
