"""What a method keeps of a support, as inputs and outputs of graphs: names, types, and which lengths are free."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from delineate.common.errors import ArtefactError
from delineate.fewshot.export.graphs import ConditionGraph
from delineate.fewshot.predictor import FewShotPredictor
from delineate.inference.export.contract import MOST_CLASSES, MOST_SHOTS, STATE, StateTensor
from delineate.inference.export.onnx_file import Free, GraphInput

__all__ = ["SHOTS", "example_states", "example_support", "state_names", "state_tensors"]

SHOTS = Free("shots", 1, MOST_SHOTS)
_CLASSES = Free("classes", 1, MOST_CLASSES)
_TRACED = 3
"""Shots of the examples, and one more: so that what grows with them is seen, and no length is taken for another."""
_TYPES: dict[torch.dtype, Literal["float32", "bool", "int64"]] = {
    torch.float32: "float32",
    torch.bool: "bool",
    torch.int64: "int64",
}


def state_names(model: FewShotPredictor) -> tuple[str, ...]:
    """The method's own names, in order."""
    image, mask = example_support(model, 1)
    with torch.inference_mode():
        return tuple(model.network.condition(image[None], mask[None]))


def example_support(model: FewShotPredictor, shots: int) -> tuple[Tensor, Tensor]:
    """Noise K×C×h×w, and int64 K×h×w whose left half is the class."""
    draw = torch.Generator().manual_seed(shots)
    height, width = model.spec.size
    mask = (torch.arange(width) < width // 2).long().expand(shots, height, width).contiguous()
    return torch.rand(shots, model.spec.in_channels, height, width, generator=draw), mask


def state_tensors(model: FewShotPredictor, names: tuple[str, ...]) -> tuple[StateTensor, ...]:
    """Of a state. Raises `ArtefactError` for a type that graphs do not take."""
    graph = ConditionGraph(model).eval()
    with torch.no_grad():
        few, more = (graph(*example_support(model, _TRACED + further)) for further in (0, 1))
    free: dict[tuple[int, int], str] = {(_TRACED, _TRACED + 1): SHOTS.name}
    found = []
    for name, one, other in zip(names, few, more, strict=True):
        if one.dtype not in _TYPES:
            raise ArtefactError(f"the network cannot be exported: its state '{name}' is of {one.dtype}")
        pairs = zip(one.shape[1:], other.shape[1:], strict=True)
        lengths = (pair[0] if pair[0] == pair[1] else free.setdefault(pair, name) for pair in pairs)
        found.append(StateTensor(name=STATE + name, type=_TYPES[one.dtype], shape=(_CLASSES.name, *lengths)))
    return tuple(found)


def example_states(model: FewShotPredictor, tensors: tuple[StateTensor, ...]) -> list[GraphInput]:
    """Of several classes, as inputs of `forward`."""
    graph = ConditionGraph(model).eval()
    with torch.no_grad():
        few, more = (graph(*example_support(model, _TRACED + further)) for further in (0, 1))
    made = []
    for tensor, one, other in zip(tensors, few, more, strict=True):
        free = {0: _CLASSES}
        for axis, length in enumerate(tensor.shape):
            if axis and isinstance(length, str):
                grows = other.shape[axis] - one.shape[axis]
                least, most = (one.shape[axis] + (shots - _TRACED) * grows for shots in (1, MOST_SHOTS))
                free[axis] = SHOTS if length == SHOTS.name else Free(length, least, most)
        made.append(GraphInput(tensor.name, one.expand(_TRACED - 1, *one.shape[1:]).contiguous(), free))
    return made
