"""Memory: a lower bound of what a training step needs, what the machine has, and what was used at most."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from delineate.common.errors import DeviceError, RecipeError
from delineate.methods.contract import Method
from delineate.nn.meta_device import on_meta_device

__all__ = ["GIB", "available_bytes", "check_memory", "enough_values", "peak_bytes", "shown_bytes", "training_bytes"]

GIB = 2**30


def training_bytes(
    build: Callable[[], Method], batch: int, size: tuple[int, int], *, moments: int = 2, half: bool = False
) -> int:
    """Bytes that `forward` alone keeps for its backward pass, plus weights, gradients and optimizer moments; of parameters that
    need no gradient, the weights alone. `half`: in mixed precision.

    Computed without allocating anything (fake tensors). A lower bound: the objective's other heads and the operators'
    working memory come on top.
    """
    kept: dict[int, Tensor] = {}

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with on_meta_device(), torch.random.fork_rng(devices=[]):
        method = build().train()
    # Built on the meta device, since some of timm's networks read numbers from tensors while they are built.
    with FakeTensorMode(allow_non_fake_inputs=True):
        method.to_empty(device="cpu")
        with torch.autograd.graph.saved_tensors_hooks(note, _same), enough_values(batch, size), _autocast(half):
            output = method(torch.empty(batch, method.in_channels, *size))
    weights = {p.untyped_storage()._cdata for p in [*method.parameters(), *method.buffers()]}
    activations = sum(t.untyped_storage().nbytes() for key, t in kept.items() if key not in weights)
    del output
    copies = ((p, 2 + moments if p.requires_grad else 1) for p in method.parameters())
    return activations + sum(p.numel() * p.element_size() * count for p, count in copies)


def available_bytes(device: torch.device) -> int | None:
    """Free memory of the device, or None where it cannot be told."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        return None
    return None


def peak_bytes(device: torch.device) -> int | None:
    """The most memory that this process has used so far: on a GPU that of tensors, on the CPU all of it. None where it cannot be
    told."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if device.type == "mps":
        return int(torch.mps.driver_allocated_memory())
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(most if sys.platform == "darwin" else most * 1024)


def shown_bytes(size: int) -> str:
    """ "2.1 GiB", "640 MiB"."""
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / 2**20:.0f} MiB"


def check_memory(need: int, device: torch.device, batch: int, size: tuple[int, int], ways: Sequence[str]) -> None:
    """Raise `DeviceError` when `need` bytes surely do not fit; `ways`: options that need less."""
    have = available_bytes(device)
    if have is not None and need > have:
        raise DeviceError(
            f"a training step with batch {batch} at {size[0]}×{size[1]} needs at least {need / GIB:.1f} GiB, and {device.type} "
            f"has {have / GIB:.1f} GiB free; try one or more of {', '.join(ways)} (engine.memory_check=false tries all the same)"
        )


@contextmanager
def enough_values(batch: int, size: tuple[int, int], labeled: Tensor | None = None) -> Iterator[None]:
    """Raise `RecipeError` where BatchNorm gets one number per channel, of which there is no variance: a batch of one image at a
    size that the network brings down to 1×1. `labeled`: bool B, since some networks see the images with masks by themselves."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        masks = batch if labeled is None else int(labeled.sum())
        seen, share = f"a batch of {batch}", ""
        if masks < batch:
            seen, share = f"{seen}, {masks} with masks,", ", a larger data.labeled_share"
        raise RecipeError(
            f"batch normalization needs several values per channel, and {seen} at {size[0]}×{size[1]} gives it one: use a larger "
            f"engine.batch_size (engine.accumulate divides it){share} or a larger --size"
        ) from error


def _autocast(half: bool) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=half)


def _same(tensor: Any) -> Any:
    return tensor
