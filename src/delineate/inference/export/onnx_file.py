"""A module → an ONNX model with named inputs and free sizes as they were asked for, and metadata."""

from __future__ import annotations

import importlib.util
import inspect
import logging
import math
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from delineate.common.errors import ArtefactError, DelineateError
from delineate.inference.export.contract import FACTS, HEADER, ExportFacts

__all__ = [
    "NETWORK",
    "NEWEST_OPSET",
    "OLDEST_OPSET",
    "Free",
    "GraphInput",
    "build",
    "check_opset",
    "check_packages",
    "count_nodes",
    "with_metadata",
]

OLDEST_OPSET, NEWEST_OPSET = 18, 23
"""The exporter writes 18 and converts upwards; later ones have nothing that is used here."""
_PACKAGES = {"onnx": "onnx", "onnxscript": "onnxscript", "onnxruntime": "onnxruntime"}
"""Import name → distribution."""
_LARGEST = 1_900_000_000
"""Bytes of weights; a file of the format ends at 2 GiB."""
NETWORK = "network/"
"""How names of the network's nodes begin."""
_SCOPES = "pkg.torch.onnx.name_scopes"
_OPTIMIZED = 3000
"""Nodes up to which the exporter's own optimization is worth its time, which grows faster than the graph."""


@dataclass(frozen=True)
class Free:
    """A length that is known only when the graph runs."""

    name: str
    least: int
    most: int
    multiple: int = 1


@dataclass(frozen=True)
class GraphInput:
    """An input with an example."""

    name: str
    example: Tensor
    free: Mapping[int, Free]
    """Axis → what it may be; the others are fixed."""


def check_packages() -> None:
    """Raise `DelineateError` with the command that installs what is missing."""
    missing = [package for module, package in _PACKAGES.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise DelineateError(f"export to ONNX needs {' and '.join(missing)}: pip install {' '.join(missing)}")


def check_opset(opset: int) -> None:
    """Raise `DelineateError` for an opset that cannot be written."""
    if not OLDEST_OPSET <= opset <= NEWEST_OPSET:
        raise DelineateError(f"--opset {opset}: graphs are written for opsets {OLDEST_OPSET} to {NEWEST_OPSET}")


def build(module: nn.Module, inputs: Sequence[GraphInput], outputs: Sequence[str], opset: int) -> Any:
    """Trace a module.

    Args:
        module: In eval mode, on the CPU.
        inputs: In the order of its `forward`, which may take any number at its end (`*given`).
        outputs: Their names, in order.
        opset: Of ONNX.

    Returns:
        An `onnx.ModelProto`.

    Raises:
        ArtefactError: The module cannot be traced, a length that should be free is fixed, or its weights are too large for a file.
    """
    weights = sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())
    if weights > _LARGEST:
        raise ArtefactError(f"the model has {weights / 1e9:.1f} GB of weights, and an ONNX file holds at most 2")
    shapes: tuple[Any, ...] = tuple({axis: _dim(free) for axis, free in one.free.items()} or None for one in inputs)
    kinds = [one.kind for one in inspect.signature(module.forward).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        named = kinds.index(inspect.Parameter.VAR_POSITIONAL)
        shapes = (*shapes[:named], shapes[named:])
    with _quiet(), torch.no_grad():
        try:
            program = torch.export.export(
                module, tuple(one.example for one in inputs), dynamic_shapes=shapes, strict=False
            )
            _check_exact(program)
            small = len(program.graph.nodes) < _OPTIMIZED
            made: Any = torch.onnx.export(
                program,
                input_names=[one.name for one in inputs],
                output_names=list(outputs),
                opset_version=opset,
                optimize=small,
                verbose=False,
            )
        except ArtefactError:
            raise
        except Exception as error:  # of many kinds, by the compiler's parts
            raise ArtefactError(f"the network cannot be exported: {_first_line(error)}") from error
    model = made.model_proto
    _name_sizes(model, inputs)
    _strip(model)
    return model if small else _folded(model)


def with_metadata(model: Any, header: str, facts: ExportFacts) -> Any:
    """The model, told what it is."""
    del model.metadata_props[:]
    model.producer_name, model.producer_version = "delineate", facts.versions["delineate"]
    for key, text in ((HEADER, header), (FACTS, facts.model_dump_json())):
        entry = model.metadata_props.add()
        entry.key, entry.value = key, text
    return model


def count_nodes(model: Any) -> int:
    """Of the graph and of those inside its nodes and functions."""

    def inside(nodes: Any) -> int:
        return sum(1 + sum(inside(one.g.node) for one in node.attribute if one.HasField("g")) for node in nodes)

    return inside(model.graph.node) + sum(inside(function.node) for function in model.functions)


def _dim(free: Free) -> Any:
    if free.multiple == 1:
        return torch.export.Dim(free.name, min=free.least, max=free.most)
    unit = torch.export.Dim(f"{free.name}_units", min=free.least // free.multiple, max=free.most // free.multiple)
    return free.multiple * unit


def _check_exact(program: torch.export.ExportedProgram) -> None:
    """Fail where a plain number meets tensors of double precision: the exporter rounds it to single precision without a word."""
    for node in program.graph.nodes:
        made = node.meta.get("val")
        if node.op != "call_function" or not isinstance(made, Tensor) or made.dtype != torch.float64:
            continue
        for number in (*node.args, *node.kwargs.values()):
            if isinstance(number, float) and math.isfinite(number) and float(np.float32(number)) != number:
                raise ArtefactError(
                    f"the network cannot be exported: {number} would be rounded to single precision; make it a tensor"
                )


def _name_sizes(model: Any, inputs: Sequence[GraphInput]) -> None:
    """Give free lengths their names, and fail where one is not free: the exporter fixes some without a word."""
    names: dict[str, str] = {}
    for one, value in zip(inputs, model.graph.input, strict=True):
        for axis, free in one.free.items():
            dim = value.type.tensor_type.shape.dim[axis]
            if not dim.dim_param:
                raise ArtefactError(
                    f"the network cannot be exported with a free {free.name}: it was fixed at {dim.dim_value} without a word"
                )
            names[dim.dim_param] = free.name
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in names:
                dim.dim_param = names[dim.dim_param]


def _strip(model: Any) -> None:
    """Take out what the exporter notes of each node: its source, with paths of this machine. What remains is in the names: nodes of
    the submodule `network` begin with `NETWORK`."""
    for node in model.graph.node:
        scopes = next((one.value for one in node.metadata_props if one.key == _SCOPES), "")
        if "'network'" in scopes:
            node.name = NETWORK + node.name
    noted = [model.graph, *model.graph.node, *model.graph.initializer, *model.graph.value_info, *model.graph.input]
    for one in (*noted, *model.graph.output):
        del one.metadata_props[:]
        one.doc_string = ""


def _folded(model: Any) -> Any:
    """The same graph by the runtime's own basic pass, which keeps to ONNX's operators: constants are folded, what does nothing
    goes. It takes a second where the exporter's optimization takes minutes."""
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 4
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "made.onnx")
        options.optimized_model_filepath = str(made)
        try:
            onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # of kinds of its own, without a base
            raise ArtefactError(f"onnxruntime refuses the exported network: {_first_line(error)}") from error
        result = onnx.load(made)
    used = {node.domain for node in result.graph.node}
    kept = [one for one in result.opset_import if one.domain in used]
    del result.opset_import[:]
    result.opset_import.extend(kept)
    return result


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's own lines, which are about its inside."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)


def _first_line(error: BaseException) -> str:
    """Of the innermost cause, which says what happened."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0] if text else 'no details'}"
