"""Whether an exported file does what the model does: measured, and told in a file beside it.

Two things are measured, since they fail for different reasons. The file against the same graph in torch, at many sizes and numbers
of images: what the exporter may get wrong. The file against `predict`, on images: resizing, too, whose rounding differs from
OpenCV's by at most one gray level here and there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import nn

from delineate.common.errors import ArtefactError, DelineateError
from delineate.data.core.manifest import IGNORE
from delineate.inference.export.cases import TrialImage, TrialImages, noise
from delineate.inference.export.contract import IMAGE, SPACING, ExportFacts
from delineate.inference.export.graph_input import graph_feed
from delineate.inference.export.network import network_batches
from delineate.inference.predictor import Predictor

__all__ = ["LEAST_DICE", "TOLERANCE", "USUAL", "Parity", "mean_dice", "open_session", "parity_of", "run_file"]

TOLERANCE = {"fp32": 1e-4, "fp16": 5e-3}
"""Of probabilities, file against torch. int8 is judged by what it costs on references."""
LEAST_DICE = 0.999
"""Mean over images, of the file's masks against those of `predict`."""
USUAL = 0.999
"""Share of pixels that keep the tolerance where images are resized: a sum that lies halfway between two gray levels may be rounded
either way, and one such pixel has neighbors."""


class Parity(BaseModel):
    """What was measured of an exported file. Differences are of probabilities."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tolerance: float | None
    """Of the first three; None: of int8, which is judged otherwise."""
    sizes: tuple[tuple[int, int, int], ...]
    """Images, height and width of each input that the file was given beside the same graph in torch."""
    network_difference: float
    """Largest, where the image has the network's own size, so that nothing is resized."""
    resized_difference: float
    """Of 99.9 % of the pixels at most so much, at the other sizes."""
    images: str
    """What `predict` and the file were given."""
    real: bool
    largest_difference: float
    """Between the file and `predict`."""
    dice: float
    """Of the file's masks against those of `predict`: the mean over images and classes; where both are empty it is 1."""
    least_dice: float
    pixels: int
    """In all masks."""
    other_pixels: int
    """Of these, of another class."""
    torch_milliseconds: float
    """Median for an image, `predict` on the CPU."""
    onnxruntime_milliseconds: float
    """The same of the file."""
    threads: int
    """Of both."""
    torch_condition_milliseconds: float | None = None
    """Of methods that segment by examples: the median for a support."""
    onnxruntime_condition_milliseconds: float | None = None

    @property
    def fault(self) -> str | None:
        """Why the file is not what it should be; None: it is."""
        if self.tolerance is None:
            return None
        if not self.network_difference <= self.tolerance:
            return f"probabilities differ from torch's by {self.network_difference:.1e} (allowed: {self.tolerance:.0e})"
        if not self.resized_difference <= 10 * self.tolerance:
            return f"probabilities of resized images differ by {self.resized_difference:.1e} (allowed: {10 * self.tolerance:.0e})"
        if not self.dice >= LEAST_DICE:
            return f"its masks have a Dice of {self.dice:.4f} with those of predict (needed: {LEAST_DICE})"
        return None

    @property
    def lines(self) -> list[str]:
        """For people."""
        faster = self.torch_milliseconds / self.onnxruntime_milliseconds
        support = (
            ""
            if self.onnxruntime_condition_milliseconds is None
            else f", a support {self.onnxruntime_condition_milliseconds:.0f} and {self.torch_condition_milliseconds:.0f} ms"
        )
        return [
            f"file against torch at {len(self.sizes)} sizes: probabilities differ by at most {self.network_difference:.1e}, where "
            f"images are resized by {self.resized_difference:.1e} (99.9 % of pixels)",
            f"file against predict on {self.images}: Dice of masks {self.dice:.5f} (least {self.least_dice:.5f}), "
            f"{self.other_pixels} of {self.pixels} pixels of another class, probabilities differ by at most "
            f"{self.largest_difference:.1e}",
            f"an image takes {self.onnxruntime_milliseconds:.0f} ms with onnxruntime, {self.torch_milliseconds:.0f} ms with torch "
            f"({faster:.1f} times as fast; {self.threads} threads, CPU){support}",
        ]


def open_session(model: Path | bytes) -> Any:
    """An onnxruntime session on the CPU. Raises `ArtefactError` where the installed runtime cannot open it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # its own lines say nothing to users
    try:
        content = model if isinstance(model, bytes) else str(model)
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # it has a kind for each cause, none of them public
        text = str(error).strip().splitlines()[0]
        raise ArtefactError(f"onnxruntime {onnxruntime.__version__} cannot open the exported file: {text}") from error


def parity_of(
    session: Any,
    graph: nn.Module,
    predictor: Predictor,
    facts: ExportFacts,
    images: TrialImages,
    progress: Callable[[int, int], None] | None = None,
) -> Parity:
    """Measure a whole graph.

    Args:
        session: Of the file.
        graph: The same in torch, on the CPU.
        predictor: Of the model, on the CPU.
        facts: Of the file.
        images: For `predict`.
        progress: Called with (images done, images in all).

    Returns:
        What was measured.

    Raises:
        ArtefactError: The file does not run at one of the sizes, or gives other shapes.
    """
    sizes, differences = [], []
    whole = facts.graph == "whole"
    for number, batch in enumerate(_batches(predictor, facts) if whole else network_batches(predictor, facts)):
        given = (
            {IMAGE: batch}
            if not facts.spacing
            else {IMAGE: batch, SPACING: np.array(predictor.spec.spacing, np.float64)}
        )
        with torch.inference_mode():
            made = graph(*map(torch.from_numpy, given.values()))
            expected = (made[0] if whole else predictor.artefact.probabilities(made)).numpy()
        found = run_file(session, given)[0]
        found = found if whole else predictor.artefact.probabilities(torch.from_numpy(found)).numpy()
        size = batch.shape[1:3] if whole else batch.shape[2:]
        if found.shape != expected.shape:
            raise ArtefactError(f"the exported file gives maps of {found.shape[2:]} for an image of {size}")
        away = np.abs(found - expected)
        differences.append(float(away.max() if number == 0 or not whole else np.quantile(away, USUAL)))
        sizes.append((batch.shape[0], *size))
    return Parity(
        tolerance=TOLERANCE.get(facts.precision),
        sizes=tuple(sizes),
        network_difference=differences[0],
        resized_difference=max(differences[1:]),
        images=images.words,
        real=images.real,
        threads=torch.get_num_threads(),
        **_against_predict(session, predictor, facts, images, progress),
    )


def mean_dice(found: NDArray[np.uint8], expected: NDArray[np.uint8], classes: int) -> float:
    """Mean over the foreground classes, without ignored pixels; 1 where both are empty."""
    valid = expected != IGNORE
    scores = []
    for index in range(1, classes):
        one, other = (found == index) & valid, expected == index
        total = int(one.sum()) + int(other.sum())
        scores.append(2 * int((one & other).sum()) / total if total else 1.0)
    return float(np.mean(scores))


def _against_predict(
    session: Any,
    predictor: Predictor,
    facts: ExportFacts,
    images: TrialImages,
    progress: Callable[[int, int], None] | None,
) -> dict[str, Any]:
    scores, ours, theirs = [], [], []
    largest, pixels, others = 0.0, 0, 0
    for number, image in enumerate(images.images, start=1):
        height, width = image.pixels.shape[:2]
        start = time.perf_counter()
        prepared = predictor.prepare(image.pixels, image.spacing)
        working = predictor.probabilities_of(prepared)
        mask = predictor.to_classes(working, height, width, image.spacing)
        theirs.append(time.perf_counter() - start)
        start = time.perf_counter()
        found, found_mask = _predicted(session, predictor, facts, image)
        ours.append(time.perf_counter() - start)
        expected = predictor.to_native(working, height, width, image.spacing).transpose(2, 0, 1)
        largest = max(largest, float(np.abs(found - expected).max()))
        pixels, others = pixels + mask.size, others + int((mask != found_mask).sum())
        scores.append(mean_dice(found_mask, mask, len(predictor.classes.names)))
        if progress is not None:
            progress(number, len(images.images))
    return {
        "largest_difference": largest,
        "dice": float(np.mean(scores)),
        "least_dice": min(scores),
        "pixels": pixels,
        "other_pixels": others,
        "torch_milliseconds": 1000 * median(theirs),
        "onnxruntime_milliseconds": 1000 * median(ours),
    }


def _predicted(
    session: Any, predictor: Predictor, facts: ExportFacts, image: TrialImage
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Probabilities K×H×W and mask H×W of one image; of a network alone with the predictor's own steps around it."""
    if facts.graph == "whole":
        found, mask = run_file(session, graph_feed(image.pixels, image.spacing, facts))
        return found[0], mask[0]
    height, width = image.pixels.shape[:2]
    prepared = predictor.prepare(image.pixels, image.spacing)
    logits = run_file(session, {IMAGE: np.ascontiguousarray(prepared.transpose(2, 0, 1)[None])})[0]
    working = predictor.artefact.probabilities(torch.from_numpy(logits))[0].numpy()
    mask = predictor.to_classes(working, height, width, image.spacing)
    return predictor.to_native(working, height, width, image.spacing).transpose(2, 0, 1), mask


def run_file(session: Any, given: dict[str, NDArray[Any]]) -> Sequence[Any]:
    """All outputs. Raises `ArtefactError` where the file does not run, `DelineateError` where its first output is not finite."""
    try:
        found: Sequence[Any] = session.run(None, given)
    except Exception as error:  # as above
        text = str(error).strip().splitlines()[0]
        shape = next(iter(given.values())).shape[1:3]
        raise ArtefactError(f"the exported file does not run on an image of {shape}: {text}") from error
    if not np.isfinite(found[0]).all():
        raise DelineateError("the exported file gives values that are not finite")
    return found


def _batches(predictor: Predictor, facts: ExportFacts) -> Iterator[NDArray[Any]]:
    """The network's own size first; then the least, odd, portrait, landscape, far smaller and larger sizes."""
    height, width = predictor.spec.size
    sizes = [
        (1, height, width),
        (3, height + 11, width + 6),
        (1, 1, 1),
        (1, 2 * height + 1, width // 2 + 1),
        (2, height // 2 + 1, 2 * width + 3),
        (1, height // 3 + 1, width // 3 + 2),
        (1, 2 * height, 2 * width),
        (1, 3 * height + 1, 3 * width + 2),
    ]
    for seed, (count, *size) in enumerate(sizes):
        images = range(min(count, facts.batch[1]))
        one = [noise(predictor.spec, facts.numbers, (size[0], size[1]), 10 * seed + at) for at in images]
        yield np.stack(one)
