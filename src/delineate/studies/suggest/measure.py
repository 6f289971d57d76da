"""How much the network doubts each image, and where the image lies among its features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from threading import Lock
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.cases.sample_pixels import SamplePixels
from delineate.data.core.samples import Sample
from delineate.inference.executors import Threads
from delineate.inference.features import FeatureReader, ImageFeatures
from delineate.inference.predictor import Predictor
from delineate.inference.segment import NO_MEMORY, Failure, Worker
from delineate.inference.segmenter import Prepared, Probabilities
from delineate.nn.certainty import entropy_of_mean, largest_entropy
from delineate.nn.output import Output
from delineate.studies.suggest.images import ImageSet

__all__ = ["BAND", "DoubtRule", "Measure", "doubt_map", "measure_images"]

DoubtRule = Literal["foreground", "mean"]
"""Over which pixels an image's entropy is averaged. mean: all of them, as most of the field does; where most of an image is a sure
background, it tells above all how large the object is. foreground: those that may be foreground (`BAND`): the object and the border
that the network is unsure of, as in the selective uncertainty of Ma et al. (2024, arXiv 2401.16298); all pixels where
none may be."""
BAND = 0.1
"""From this probability of any foreground on, a pixel may be foreground. Our reading: the paper has a set of its own around the
decision boundary."""


@dataclass(frozen=True)
class Measure:
    """Of one case: a picture, or all slices of a volume together."""

    case: str
    doubt: float
    """Mean entropy as a share of the largest possible, 0 … 1."""
    features: NDArray[np.float32]
    """D numbers; of several slices the mean."""
    telling: Sample
    """The picture, or the slice with most entropy in all."""
    remark: str | None = None
    """How the image differs in kind from those of training."""
    failure: str | None = None
    """Why there is no measure."""


def doubt_map(probabilities: Probabilities, output: Output) -> NDArray[np.float32]:
    """K×h×w → entropy h×w, as a share of the largest possible."""
    found = entropy_of_mean(torch.from_numpy(np.ascontiguousarray(probabilities))[None], output)[0]
    return (found / largest_entropy(output)).numpy()


def measure_images(
    images: ImageSet, predictor: Predictor, reader: FeatureReader, rule: DoubtRule, max_pixels: int
) -> Iterator[Measure]:
    """One for each case, in order. Images are read ahead while the network computes.

    Raises `DeviceError` when the device's memory does not suffice.
    """
    manifest, census = images.manifest, images.census
    pixels = SamplePixels(manifest, census.axis, max_pixels, spec=predictor.spec)
    steps = _Steps(predictor, reader, rule, pixels)
    items = [census.samples([case], manifest.labels) for case in manifest.cases]
    with closing(Threads().run(items, steps)) as results:
        yield from results


@dataclass(frozen=True)
class _Sums:
    """Of one slice."""

    sample: Sample
    whole: float
    """Entropy over all pixels; their number."""
    size: int
    counted: float
    """The same of those that may be foreground."""
    pixels: int
    features: NDArray[np.float32]


@dataclass
class _Case:
    """A case whose slices are on their way, from several threads."""

    left: int
    done: dict[int, _Sums] = field(default_factory=dict)
    """By the slice's number: added up in one order, whatever order they come in."""
    remark: str | None = None
    failure: str | None = None
    lock: Lock = field(default_factory=Lock)


@dataclass(frozen=True)
class _Slice:
    case: _Case
    number: int
    sample: Sample


@dataclass(frozen=True)
class _Made:
    slice: _Slice
    result: Prepared | ImageFeatures | Failure
    remark: str | None = None


@dataclass(frozen=True)
class _Steps:
    """`executors.Steps` over the samples of each case."""

    predictor: Predictor
    reader: FeatureReader
    rule: DoubtRule
    pixels: SamplePixels

    @property
    def batch(self) -> int:
        return self.reader.images

    def parts(self, item: Sequence[Sample]) -> list[_Slice]:
        case = _Case(len(item))
        return [_Slice(case, number, sample) for number, sample in enumerate(item)]

    def read(self, part: _Slice) -> _Made:
        sample = part.sample
        try:
            spacing = sample.spacing or sample.case.pixel_spacing
            ready = Worker(self.predictor).prepare(self.pixels.image(sample), spacing)
        except DataError as error:
            return _Made(part, Failure("data", str(error)))
        except NO_MEMORY as error:
            return _Made(part, Failure.of_memory(error))
        return _Made(part, ready, None if isinstance(ready, Failure) else ready.facts.remark)

    def compute(self, ready: Sequence[_Made]) -> list[_Made]:
        found = iter(self.reader.read([one.result for one in ready if isinstance(one.result, Prepared)]))
        return [_Made(one.slice, next(found), one.remark) if isinstance(one.result, Prepared) else one for one in ready]

    def write(self, made: _Made) -> Measure | None:
        """Add a slice to its case; the case's measure with the last of them."""
        case, result, sample = made.slice.case, made.result, made.slice.sample
        sums = self._sums(sample, result) if isinstance(result, ImageFeatures) else None
        with case.lock:
            case.left -= 1
            case.remark = case.remark or made.remark
            if sums is not None:
                case.done[made.slice.number] = sums
            elif isinstance(result, Failure):
                case.failure = result.line(sample.name)
            return None if case.left else _measured(case, sample)

    def _sums(self, sample: Sample, result: ImageFeatures) -> _Sums:
        output, values = self.predictor.method.output, result.probabilities
        entropy = doubt_map(values, output)
        foreground = values.max(0) if output.independent else 1 - values[0]
        counts = foreground >= (BAND if self.rule == "foreground" else 0)
        whole, counted = (float(one.sum(dtype=np.float64)) for one in (entropy, entropy[counts]))
        return _Sums(sample, whole, entropy.size, counted, int(counts.sum()), result.features)


def _measured(case: _Case, sample: Sample) -> Measure:
    if case.failure is not None:
        return Measure(sample.case.id, 0.0, np.empty(0, np.float32), sample, case.remark, case.failure)
    slices = [case.done[number] for number in sorted(case.done)]
    doubt = sum(one.whole for one in slices) / sum(one.size for one in slices)
    if pixels := sum(one.pixels for one in slices):
        doubt = sum(one.counted for one in slices) / pixels
    telling = max(slices, key=lambda one: one.whole).sample
    return Measure(sample.case.id, doubt, np.mean([one.features for one in slices], 0), telling, case.remark)
