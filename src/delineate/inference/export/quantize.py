"""A graph in single precision → one whose convolutions and products with weights are in 8 bits, and what that costs in Dice.

Weights have a scale for each output channel, activations one for each map, between the least and the greatest value that
calibration images gave it (`minmax`; other ways gained nothing, docs/exported-files.md). The range is that of what a following ReLU
lets through: negative values that it drops would take more than half of the 8 bits. Both are signed, which runtimes compute alike
with and without instructions for 8 bits. The network's first and last such layer, and all that lies outside the network, stay in
single precision.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from delineate.common.errors import ArtefactError, DataError
from delineate.data.cases.sample_pixels import SamplePixels
from delineate.data.core.findings import count
from delineate.data.core.input_spec import Pixels
from delineate.data.core.manifest import IGNORE
from delineate.data.layouts.source import DataSource
from delineate.data.loading.samples import open_samples
from delineate.evaluation.statistics.intervals import mean_interval
from delineate.inference.export.contract import ExportFacts
from delineate.inference.export.graph_input import graph_feed
from delineate.inference.export.onnx_file import NETWORK
from delineate.inference.export.parity import mean_dice
from delineate.inference.predictor import Predictor

__all__ = ["MOST_LOSS", "Calibration", "CalibrationMethod", "Loss", "loss_of", "quantized"]

MOST_LOSS = 0.01
"""Of mean Dice on validation cases; a file that loses more is refused unless it is forced."""
_IMAGES = 64
"""For the ranges of activations."""
_CASES = 200
"""For the loss."""
_OPERATORS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_ACTIVATIONS = ("Relu", "Clip")
"""What becomes a part of the layer before it: only what it lets through needs a range."""
CalibrationMethod = Literal["minmax", "entropy", "percentile"]


class Loss(BaseModel):
    """What 8 bits cost: Dice of `predict` less that of the file, on references."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cases: int
    """Validation images with a mask."""
    calibration_images: int
    dice_before: float
    """Mean over images and classes (both empty = 1), of `predict`."""
    dice_after: float
    low: float | None
    """95 % interval of the loss; None: too few groups for one."""
    high: float | None

    @property
    def loss(self) -> float:
        """Of mean Dice."""
        return self.dice_before - self.dice_after

    @property
    def words(self) -> str:
        """For people."""
        interval = (
            "" if self.low is None or self.high is None else f" (95 % interval {self.low:.4f} to {self.high:.4f})"
        )
        return (
            f"8 bits cost {self.loss:.4f} of Dice{interval}: {self.dice_before:.4f} before, {self.dice_after:.4f} after, on "
            f"{count(self.cases, 'validation image')}; calibrated on {count(self.calibration_images, 'training image')}"
        )


class Calibration:
    """A dataset with masks: training images give the ranges of activations, validation images the loss."""

    def __init__(self, data: DataSource, predictor: Predictor) -> None:
        """Raises `DataError` for data of another kind or with other classes than the model's."""
        self.path = data.path
        spec = predictor.spec
        self.size = spec.size
        opened = open_samples(data, axis=spec.axis)
        if (opened.axis is None) != (spec.axis is None):
            trained, given = ("pictures", "volumes") if spec.axis is None else ("volumes", "pictures")
            raise DataError(f"{data.path} holds {given}, and the model was trained on {trained}")
        if opened.classes.names != predictor.classes.names:
            raise DataError(
                f"{data.path} has the classes {', '.join(opened.classes.names)}, and the model {', '.join(predictor.classes.names)}"
            )
        opened = replace(opened, reader=SamplePixels(opened.manifest, spec.axis, spec=spec))
        self.train, self.val = opened.split("train"), opened.split("val")
        if not len(self.train) or not any(one.labeled for one in self.val.samples):
            raise DataError(f"{data.path}: calibration needs training images, and validation images with masks")


def quantized(
    model: Any, calibration: Calibration, facts: ExportFacts, method: CalibrationMethod = "minmax"
) -> tuple[Any, int]:
    """The model in 8 bits (an `onnx.ModelProto`), and on how many images it was calibrated. Raises `ArtefactError` where no layer
    can be."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization import CalibrationMethod as Known

    class Reader(CalibrationDataReader):
        def __init__(self, feeds: Iterator[dict[str, NDArray[Any]]]) -> None:
            self.feeds = feeds

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(self.feeds, None)

    nodes = _layers(model)
    if not nodes:
        raise ArtefactError("the network has no layers for 8 bits: convolutions or products with weights in its middle")
    part = calibration.train
    chosen = [part.samples[at] for at in np.unique(np.linspace(0, len(part) - 1, _IMAGES).round().astype(int))]
    size = None if method == "minmax" else calibration.size
    feeds = (graph_feed(_of_size(part.image(one), size), one.spacing, facts) for one in chosen)
    root = logging.getLogger()
    before = root.level
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "given.onnx"), Path(folder, "made.onnx")
        onnx.save(model, given)
        try:
            root.setLevel(logging.ERROR)  # its advice is for other tools, and so is what it prints
            with contextlib.redirect_stdout(io.StringIO()):
                quantize_static(
                    given,
                    made,
                    Reader(feeds),
                    quant_format=QuantFormat.QDQ,
                    per_channel=True,
                    activation_type=QuantType.QInt8,
                    weight_type=QuantType.QInt8,
                    nodes_to_quantize=nodes,
                    calibrate_method={"minmax": Known.MinMax, "entropy": Known.Entropy, "percentile": Known.Percentile}[
                        method
                    ],
                )
        finally:
            root.setLevel(before)
        return onnx.load(made), len(chosen)


def loss_of(session: Any, predictor: Predictor, calibration: Calibration, images: int, facts: ExportFacts) -> Loss:
    """Score both on the validation images. Raises `DataError` where their masks have no pixel that counts."""
    part = calibration.val
    samples = [one for one in part.samples if one.labeled]
    chosen = [samples[at] for at in np.unique(np.linspace(0, len(samples) - 1, _CASES).round().astype(int))]
    groups = {one.name: stack.group for stack, one in part}
    before, after, of = [], [], []
    for one in chosen:
        pixels, reference = part.image(one), part.mask(one)
        if (reference == IGNORE).all():
            continue
        found = session.run(None, graph_feed(pixels, one.spacing, facts))[1][0]
        classes = len(predictor.classes.names)
        before.append(mean_dice(predictor.predict(pixels, one.spacing), reference, classes))
        after.append(mean_dice(predictor.postprocess(found), reference, classes))
        of.append(groups[one.name])
    if not before:
        raise DataError(
            f"{calibration.path}: no validation mask has a pixel that counts, so the loss cannot be measured"
        )
    interval = mean_interval(np.array(before) - np.array(after), of)
    return Loss(
        cases=len(before),
        calibration_images=images,
        dice_before=float(np.mean(before)),
        dice_after=float(np.mean(after)),
        low=interval.low,
        high=interval.high,
    )


def _of_size(pixels: Pixels, size: tuple[int, int] | None) -> Pixels:
    """Histograms are made of images of one size: onnxruntime joins what each of them gave."""
    if size is None or pixels.shape[:2] == size:
        return pixels
    return cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA)


def _layers(model: Any) -> list[str]:
    """Names of the network's layers that have weights, but the first and the last."""
    weights = {one.name for one in model.graph.initializer}
    found = [
        node.name
        for node in model.graph.node
        if node.op_type in _OPERATORS and node.name.startswith(NETWORK) and weights & set(node.input[:2])
    ]
    layers = found[1:-1]
    chosen = set(layers)
    outputs = {output for node in model.graph.node if node.name in chosen for output in node.output}
    after = [node.name for node in model.graph.node if node.op_type in _ACTIVATIONS and node.input[0] in outputs]
    return [*layers, *after]
