"""Two graphs → one: each shot is cut out of the padded support and prepared by itself, in a loop; then the network looks at all.

A runtime has no lists of images of different sizes that all of its languages know, so a support comes as one padded array with
the size of each image beside it.
"""

from __future__ import annotations

from typing import Any

from delineate.inference.export.contract import SUPPORT_IMAGE, SUPPORT_MASK, SUPPORT_SIZE, Numbers

__all__ = ["of_support"]

_SHOT, _ALL = "shot/", "support/"
"""How the names of what is inside begin."""


def of_support(shot: Any, condition: Any, numbers: Numbers, channels: int) -> Any:
    """One model of two.

    Args:
        shot: Of one image with its mask (`ShotGraph`), an `onnx.ModelProto`.
        condition: Of what it gives of all shots (`ConditionGraph`).
        numbers: Type of the images.
        channels: Their number.

    Returns:
        An `onnx.ModelProto` with the inputs `support_image`, `support_mask` and `support_size`, and the outputs of `condition`.
    """
    import numpy as np
    from onnx import TensorProto, compose, helper, numpy_helper

    shot, condition = compose.add_prefix(shot, _SHOT), compose.add_prefix(condition, _ALL, rename_outputs=False)
    taken = [one.name for one in shot.graph.input]
    image, mask = (one.name for one in shot.graph.output)
    number, going = _SHOT + "number", _SHOT + "going"
    body = [
        helper.make_node("Gather", [SUPPORT_SIZE, number], [_SHOT + "size"], axis=0),
        helper.make_node("Identity", [going], [_SHOT + "on"]),
    ]
    for given, name in zip((SUPPORT_IMAGE, SUPPORT_MASK), taken, strict=True):
        one, cut = f"{_SHOT}{given}/one", f"{_SHOT}{given}/cut"
        body.append(helper.make_node("Gather", [given, number], [one], axis=0))
        body.append(helper.make_node("Slice", [one, "zeros", _SHOT + "size", "axes"], [cut]))
        body.append(helper.make_node("Unsqueeze", [cut, "first"], [name]))
    prepared = [_SHOT + "prepared/image", _SHOT + "prepared/mask"]
    after = [
        helper.make_node("Squeeze", [one, "first"], [name]) for one, name in zip((image, mask), prepared, strict=True)
    ]
    inside = helper.make_graph(
        [*body, *shot.graph.node, *after],
        "shot",
        [helper.make_tensor_value_info(number, TensorProto.INT64, []), _flag(going)],
        [
            _flag(_SHOT + "on"),
            helper.make_tensor_value_info(prepared[0], TensorProto.FLOAT, None),
            helper.make_tensor_value_info(prepared[1], TensorProto.INT64, None),
        ],
    )
    constants = {"zeros": [0, 0], "axes": [0, 1], "first": [0]}
    initializers = [numpy_helper.from_array(np.array(values), name) for name, values in constants.items()]
    initializers.append(numpy_helper.from_array(np.array(True), "yes"))
    outside = [
        helper.make_node("Shape", [SUPPORT_SIZE], ["shots"], start=0, end=1),
        helper.make_node("Squeeze", ["shots"], ["count"]),
        helper.make_node("Loop", ["count", "yes"], [one.name for one in condition.graph.input], body=inside),
    ]
    types = {"uint8": TensorProto.UINT8, "uint16": TensorProto.UINT16, "float32": TensorProto.FLOAT}
    inputs = [
        helper.make_tensor_value_info(SUPPORT_IMAGE, types[numbers], ["shots", "height", "width", channels]),
        helper.make_tensor_value_info(SUPPORT_MASK, TensorProto.UINT8, ["shots", "height", "width"]),
        helper.make_tensor_value_info(SUPPORT_SIZE, TensorProto.INT64, ["shots", 2]),
    ]
    graph = helper.make_graph(
        [*outside, *condition.graph.node],
        "condition",
        inputs,
        list(condition.graph.output),
        [*initializers, *shot.graph.initializer, *condition.graph.initializer],
    )
    return helper.make_model(graph, opset_imports=condition.opset_import, ir_version=condition.ir_version)


def _flag(name: str) -> Any:
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(name, TensorProto.BOOL, [])
