"""Safetensors files that are either whole or absent, and whose faults are the user's to understand."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from delineate.common.files import atomic_path

__all__ = ["not_finite", "write_tensors"]


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write contiguous CPU tensors that share no memory, atomically. Raises `DelineateError` when the disk is full or `path`
    cannot be written."""
    with atomic_path(path) as temporary:
        try:
            save_file(dict(tensors), temporary, metadata=metadata)
        except SafetensorError as error:
            # The library wraps the operating system's error into text; its number says what the matter is.
            number = re.search(r"os error (\d+)", str(error))
            if number is None:
                raise
            raise OSError(int(number[1]), str(error)) from error


def not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that hold NaN or infinity, in order.

    A pass over all numbers where they lie, and one synchronization per device: milliseconds for tens of millions of weights.
    """
    flags: dict[torch.device, dict[str, Tensor]] = defaultdict(dict)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() or tensor.is_complex():
            flags[tensor.device][name] = tensor.isfinite().all()
    bad: set[str] = set()
    for named in flags.values():
        finite = torch.stack(list(named.values())).tolist()
        bad |= {name for name, good in zip(named, finite, strict=True) if not good}
    return [name for name in tensors if name in bad]
