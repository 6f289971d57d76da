"""What the processes of a distributed run agree on: to stop, and that all fail where one does; else the others wait for ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from lightning.fabric import Fabric

from delineate.common.errors import DelineateError

__all__ = ["agree_on", "allow_unused", "gather_objects", "raise_together"]

_Value = TypeVar("_Value")


def agree_on(fabric: Fabric, word: _Value | None) -> _Value | None:
    """The word of the first process that has one, in all processes; None if none has. All must call it at the same place.

    Costs one small reduction; the word itself is sent only when there is one.
    """
    if fabric.world_size == 1:
        return word
    mine = fabric.world_size if word is None else fabric.global_rank
    reduced = fabric.all_reduce(torch.tensor([mine], device=fabric.device), reduce_op="min")
    first = int(reduced)  # type: ignore[arg-type]  # waits for the device
    return None if first == fabric.world_size else fabric.broadcast(word, src=first)


def gather_objects(fabric: Fabric, value: _Value) -> list[_Value]:
    """The value of each process, in the order of their ranks."""
    if fabric.world_size == 1:
        return [value]
    found: list[Any] = [None] * fabric.world_size
    torch.distributed.all_gather_object(found, value)
    return found


@contextmanager
def raise_together(fabric: Fabric) -> Iterator[None]:
    """A `DelineateError` of one process within the block is raised in all. The block itself must not exchange anything."""
    fault: DelineateError | None = None
    try:
        yield
    except DelineateError as error:
        if fabric.world_size == 1:
            raise
        fault = error
    common = agree_on(fabric, fault)
    if common is not None:
        common.told_elsewhere = not fabric.is_global_zero
        raise common


def allow_unused(fabric: Fabric, allowed: bool) -> None:
    """Whether modules that are wrapped from now on may leave parameters without a gradient in a step.

    It costs a walk through the graph at each step, so only where it can happen.
    """
    if fabric.world_size > 1:
        strategy: Any = fabric.strategy
        strategy._ddp_kwargs["find_unused_parameters"] = allowed
