"""A model of patches → one ONNX model with a loop over the tiles of an image."""

from __future__ import annotations

from typing import Any

import torch

from delineate.inference.export.contract import MASK, PROBABILITIES
from delineate.inference.export.onnx_file import Free, GraphInput, build
from delineate.inference.export.tiles import TiledGraph

__all__ = ["build_tiled"]

_START, _STEP, _FINISH = "start/", "step/", "finish/"
"""How the names of the three parts begin; `step/` is inside the loop."""


def build_tiled(graph: TiledGraph, image: GraphInput, opset: int) -> Any:
    """Trace the three parts and join them.

    Args:
        graph: In eval mode, on the CPU.
        image: The input, an example of one image with free height and width.
        opset: Of ONNX.

    Returns:
        An `onnx.ModelProto` with the outputs `probabilities` and `mask`.

    Raises:
        ArtefactError: As `build`.
    """
    import numpy as np
    from onnx import TensorProto, compose, helper, numpy_helper

    with torch.no_grad():
        unit, sums, geometry, _ = graph.start(image.example)
    height, width = image.free[1], image.free[2]
    grown = [
        Free(f"padded_{one.name}", one.least + 2 * side, one.most + 2 * side)
        for one, side in zip((height, width), graph.start.tile, strict=True)
    ]
    inputs = [
        GraphInput("number", torch.tensor(0), {}),
        GraphInput("sums", sums, {1: height, 2: width}),
        GraphInput("unit", unit, {2: grown[0], 3: grown[1]}),
        GraphInput("geometry", geometry, {}),
    ]
    start = build(graph.start, [image], ("unit", "sums", "geometry", "count"), opset)
    step = build(graph.step, inputs, ("sum",), opset)
    finish = build(graph.finish, [inputs[1]], (PROBABILITIES, MASK), opset)
    start, step = compose.add_prefix(start, _START, rename_inputs=False), compose.add_prefix(step, _STEP)
    finish = compose.add_prefix(finish, _FINISH, rename_outputs=False)
    made, zeros, places, count = (one.name for one in start.graph.output)
    padded, geometry_inside = (one.name for one in step.graph.input[2:])
    known = {padded: made, geometry_inside: places}
    for node in step.graph.node:  # of the graph around the loop
        for at, name in enumerate(node.input):
            node.input[at] = known.get(name, name)
    going = helper.make_tensor_value_info(_STEP + "going", TensorProto.BOOL, [])
    on = helper.make_tensor_value_info(_STEP + "on", TensorProto.BOOL, [])
    body = helper.make_graph(
        [helper.make_node("Identity", [going.name], [on.name]), *step.graph.node],
        "tile",
        [step.graph.input[0], going, step.graph.input[1]],
        [on, step.graph.output[0]],
    )
    loop = helper.make_node("Loop", [count, "yes", zeros], [finish.graph.input[0].name], body=body)
    yes = numpy_helper.from_array(np.array(True), "yes")
    joined = helper.make_graph(
        [*start.graph.node, loop, *finish.graph.node],
        "tiles",
        list(start.graph.input),
        list(finish.graph.output),
        [yes, *start.graph.initializer, *step.graph.initializer, *finish.graph.initializer],
    )
    return helper.make_model(joined, opset_imports=step.opset_import, ir_version=step.ir_version)
