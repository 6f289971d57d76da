"""The device, and the precision of the arithmetic: 32 bits, or mixed precision (autocast to bfloat16 or float16)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from delineate.common.errors import DeviceError

__all__ = ["Precision", "arithmetic", "as_batch", "checked_precision", "is_out_of_memory", "resolve_device"]

Precision = Literal["32", "bf16", "16"]
_AUTOCAST = {"32": None, "bf16": torch.bfloat16, "16": torch.float16}


def resolve_device(name: str = "auto") -> torch.device:
    """Find a device by its name.

    Args:
        name: `auto` (CUDA, else Apple's MPS, else the CPU), `cpu`, `cuda`, `cuda:1` or `mps`.

    Returns:
        The device.

    Raises:
        DeviceError: The name is unknown, or this machine does not have the device.
    """
    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, there in has.items() if there)
    kind, _, index = name.partition(":")
    if kind not in has or (index and not index.isdigit()):
        raise DeviceError(f"unknown device '{name}'; use auto, cpu, cuda or mps")
    if not has[kind]:
        built = (
            "this PyTorch is built without it" if kind == "cuda" and torch.version.cuda is None else "none was found"
        )
        raise DeviceError(f"{kind} is not available: {built}; use --device cpu or auto")
    if kind == "cuda" and index and int(index) >= torch.cuda.device_count():
        raise DeviceError(f"device {name} does not exist; this machine has {torch.cuda.device_count()} CUDA device(s)")
    return torch.device(name)


def checked_precision(precision: Precision, device: torch.device) -> Precision:
    """The precision itself. Raises `DeviceError` if it is unknown, or if the device does not support it."""
    if precision not in _AUTOCAST:
        raise DeviceError(f"unknown precision '{precision}'; use 32, bf16 or 16")
    if precision == "16" and device.type == "cpu":
        raise DeviceError("precision 16 needs a GPU; on the CPU use bf16 or 32")
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise DeviceError("this GPU has no bfloat16; use precision 16 or 32")
    return precision


@contextmanager
def arithmetic(device: torch.device, precision: Precision, images: int, size: tuple[int, int]) -> Iterator[None]:
    """The context in which a network computes, with mixed precision if it was chosen.

    Raises `DeviceError` with the number of images and their size when memory does not suffice.
    """
    try:
        with torch.autocast(device.type, _AUTOCAST[precision], enabled=precision != "32"):
            yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        smaller = f"try --batch-size {images // 2}" if images > 1 else "try --device cpu"
        raise DeviceError(
            f"{device.type} ran out of memory with batch {images} at {size[0]}×{size[1]}; {smaller}"
        ) from error


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out: torch's, on a GPU or on the CPU, or Python's and NumPy's."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    said = str(error)
    return any(words in said for words in ("allocate memory", "not enough memory", "out of memory"))


def as_batch(inputs: Sequence[NDArray[np.float32]], device: torch.device) -> torch.Tensor:
    """Prepared inputs h×w×C → B×C×h×w on the device."""
    return torch.from_numpy(np.stack(inputs)).to(device).permute(0, 3, 1, 2)
