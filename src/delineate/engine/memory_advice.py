"""Memory that did not suffice: what happened, and which settings need less of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from delineate.common.errors import DeviceError
from delineate.engine.recipe import Recipe
from delineate.inference.device import is_out_of_memory
from delineate.methods.contract import MethodInfo

__all__ = ["told_of_memory", "ways_to_save_memory"]

_Size = tuple[int, int]


@contextmanager
def told_of_memory(device: torch.device, recipe: Recipe, stage: str, info: MethodInfo, size: _Size) -> Iterator[None]:
    """Within the block, memory that does not suffice, on any device, is a `DeviceError` that names what helps."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        batch = recipe.stage_settings(stage).batch_size
        raise DeviceError(
            f"{device.type} ran out of memory in stage '{stage}' with batch {batch} at {size[0]}×{size[1]}; try one or more of "
            f"{', '.join(ways_to_save_memory(recipe, stage, info, size, device))}"
        ) from error


def ways_to_save_memory(recipe: Recipe, stage: str, info: MethodInfo, size: _Size, device: torch.device) -> list[str]:
    """Options with values, those first that change the result least."""
    settings, devices = recipe.stage_settings(stage), recipe.engine.devices
    batch, parts = settings.batch_size, settings.accumulate
    ways = []
    if info.checkpoint_modules and not recipe.engine.activation_checkpointing:
        ways.append("--set engine.activation_checkpointing=true")
    if parts < batch // devices:
        ways.append(f"--set {recipe.stage_key(stage, 'accumulate')}={min(2 * parts, batch // devices)}")
    if recipe.engine.precision == "32" and (precision := _half_precision(device)):
        ways.append(f"--set engine.precision={precision}")
    if smaller := batch // 2 // devices * devices:
        ways.append(f"--set {recipe.stage_key(stage, 'batch_size')}={smaller}")
    if lower := _smaller(size, info):
        ways.append(f"--size {lower[0]}" if lower[0] == lower[1] else f"--set input.size=[{lower[0]},{lower[1]}]")
    return ways or ["a smaller network", "another device"]


def _half_precision(device: torch.device) -> str | None:
    """Mixed precision that the device has, whose activations need half the memory."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "16"
    return "bf16" if device.type == "cpu" else None


def _smaller(size: _Size, info: MethodInfo) -> _Size | None:
    """About three quarters of each side, if the method can take that."""
    height, width = (side * 3 // 4 // info.divisor * info.divisor for side in size)
    return (height, width) if min(height, width) >= max(1, info.min_size) else None
