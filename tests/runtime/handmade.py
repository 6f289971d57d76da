"""Exported files whose network is a mean: what they give is known, and making one takes no time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from delineate.artefact.header import Header
from delineate.data.core.input_spec import InputSpec
from delineate.inference.export.contract import FACTS, HEADER, IMAGE, MASK, PROBABILITIES, SPACING, ExportFacts

__all__ = ["write_exported"]

_TYPES = {"uint8": TensorProto.UINT8, "uint16": TensorProto.UINT16, "float32": TensorProto.FLOAT}
_WHITE = {"uint8": 255, "uint16": 65535, "float32": 1}


def write_exported(path: Path, *, opset: int = 18, facts: dict[str, Any] | None = None, **header: Any) -> Path:
    """A file whose foreground probability is the mean of the channels: white is 1. `header`, `facts`: changes of both texts."""
    told = ExportFacts(
        opset=opset,
        numbers="uint8",
        channels=("red", "green", "blue"),
        batch=(1, 8),
        height=(1, 4096),
        width=(1, 4096),
        threshold=0.5,
        nodes=4,
        model_sha256="0" * 64,
        versions={"delineate": "0.1.0"},
    ).model_copy(update=facts or {})
    spec = header.pop("input", InputSpec(size=(64, 64)))
    about = Header(
        method="unet",
        options={},
        classes=1,
        in_channels=spec.in_channels,
        input=spec,
        class_names=("background", "polyp"),
        **{"format": 3, **header},
    )
    model = _graph(told, opset)
    for key, text in ((HEADER, about.to_json()), (FACTS, told.model_dump_json())):
        entry = model.metadata_props.add()
        entry.key, entry.value = key, text
    onnx.save(model, path)
    return path


def _graph(facts: ExportFacts, opset: int) -> Any:
    size = ["batch", "height", "width"]
    inputs = [helper.make_tensor_value_info(IMAGE, _TYPES[facts.numbers], [*size, len(facts.channels)])]
    if facts.spacing:
        inputs.append(helper.make_tensor_value_info(SPACING, TensorProto.DOUBLE, [2]))
    outputs = [
        helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, ["batch", 1, "height", "width"]),
        helper.make_tensor_value_info(MASK, TensorProto.UINT8, size),
    ]
    constants = {
        "white": np.float32(_WHITE[facts.numbers]),
        "threshold": np.float32(facts.threshold or 0),
        "last": np.array([3]),
        "second": np.array([1]),
    }
    nodes = [
        helper.make_node("Cast", [IMAGE], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["numbers", "last"], ["mean"], keepdims=0),
        helper.make_node("Div", ["mean", "white"], ["share"]),
        helper.make_node("Unsqueeze", ["share", "second"], [PROBABILITIES]),
        helper.make_node("GreaterOrEqual", ["share", "threshold"], ["inside"]),
        helper.make_node("Cast", ["inside"], [MASK], to=TensorProto.UINT8),
    ]
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "mean", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
