"""Where to compute."""

from __future__ import annotations

import torch

from delineate.common.errors import DeviceError


def resolve_device(name: str = "auto") -> torch.device:
    """`auto` takes CUDA, then Apple's MPS, then the CPU. Raises `DeviceError` for a device that this machine lacks."""
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
        raise DeviceError(f"{kind} was asked for, but {built}; use --device cpu or auto")
    if kind == "cuda" and index and int(index) >= torch.cuda.device_count():
        raise DeviceError(f"device {name} does not exist; this machine has {torch.cuda.device_count()} CUDA device(s)")
    return torch.device(name)
