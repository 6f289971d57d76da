"""A network alone as a file: for runtimes that have a preprocessing of their own. Which sizes it takes, the method says."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from delineate.inference.export.contract import IMAGE, LONGEST_NETWORK_SIDE, MOST_IMAGES, ExportFacts
from delineate.inference.export.onnx_file import Free, GraphInput
from delineate.inference.predictor import Predictor

__all__ = ["network_batches", "network_input", "network_sizes"]

_LEAST = 64
"""So that the coarsest maps, of 32 pixels mostly, are larger than one: exporters take a size of one for a number of its own."""
_TRACED = 7
"""Sides of the example in multiples of the largest one that a network has, so that it lies above all thresholds."""


def network_sizes(predictor: Predictor) -> tuple[tuple[int, int], tuple[int, int], int]:
    """Least and greatest height, the same of the width, and of what number both are multiples."""
    info = predictor.method.info
    if info.export_form == "fixed":
        height, width = predictor.spec.size
        return (height, height), (width, width), 1
    step = math.lcm(info.divisor, info.export_multiple if info.export_form == "multiple" else 1)
    least = -(-max(info.min_size, info.export_least, _LEAST) // step) * step
    most = LONGEST_NETWORK_SIDE // step * step
    return (least, most), (least, most), step


def network_input(predictor: Predictor) -> GraphInput:
    """The input, with two images as an example."""
    high, wide, step = network_sizes(predictor)
    free = {0: Free("batch", 1, MOST_IMAGES)}
    sides = high[0], wide[0]
    if high[0] < high[1]:
        free |= {2: Free("height", *high, step), 3: Free("width", *wide, step)}
        unit = math.lcm(step, 32)
        first = max(_TRACED * unit, -(-high[0] // unit) * unit)
        sides = first, first + unit
    return GraphInput(IMAGE, torch.rand(2, predictor.spec.in_channels, *sides), free)


def network_batches(predictor: Predictor, facts: ExportFacts) -> list[NDArray[np.float32]]:
    """What the file is tried on: the network's own size, then the least, portrait, landscape, odd where it may be, larger ones."""
    step, least = facts.multiple, facts.height[0]
    own = predictor.spec.size
    if facts.height[0] == facts.height[1]:
        sizes = [(1, own[0], own[1]), (3, own[0], own[1])]
    else:
        near = [max(least, side // step * step) for side in own]
        sizes = [
            (1, near[0], near[1]),
            (1, least, least),
            (2, least + step, near[1]),
            (1, near[0], least + 3 * step),
            (3, near[0] + step, near[1] + 3 * step),
            (1, near[0] + 5 * step, near[1]),
            (1, 2 * near[0], near[1]),
            (1, 2 * near[0] + step, 2 * near[1]),
        ]
    channels, draw = predictor.spec.in_channels, np.random.default_rng(0)
    return [draw.random((count, channels, height, width), dtype=np.float32) for count, height, width in sizes]
