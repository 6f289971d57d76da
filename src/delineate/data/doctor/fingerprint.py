"""What the training images of a data set are like: what a planner decides by. No other split is looked at.

After the "data fingerprint" of Isensee et al., Nature Methods 2021: sizes, spacing, intensities, classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.cases.census import Census
from delineate.data.cases.sample_pixels import SamplePixels
from delineate.data.core.findings import some
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import IGNORE, Case, Manifest
from delineate.data.core.samples import Sample
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS

__all__ = ["Fingerprint", "take_fingerprint", "thickness"]

_SAMPLED = 50
"""Images, or slices of volumes, whose pixels are read, evenly spaced through the training split; sizes are those of all."""
_PIXELS = 65_536
"""About as many pixels of each of them enter the intensities."""


@dataclass(frozen=True)
class Fingerprint:
    """Facts of the training split. Sizes are (height, width) in pixels."""

    cases: int
    empty: int
    """Labeled cases without any foreground."""
    median_size: tuple[int, int]
    smallest: tuple[int, int]
    largest: tuple[int, int]
    """By area."""
    aspects: tuple[float, float]
    """5th and 95th percentile of width / height."""
    spacing: tuple[float, ...] | None
    """Median over the cases that state one."""
    bits: int
    channels: str
    intensity: str | dict[str, Any]
    """Rule by which pixels become [0, 1], or that of each channel; the two that follow are measured after it."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """Per channel, over the sampled images."""
    sampled: int
    classes: tuple[str, ...]
    class_share: tuple[float, ...]
    """Share of the labeled pixels, by class."""
    foreground: tuple[float, float, float] | None
    """Share of an image's pixels that any class takes, where it is not empty: 5th, 50th and 95th percentile."""
    thickness: float | None
    """How thick the thinnest class is, as a fraction of the image's longer side: 4 × the mean distance to its outline
    inside it (a strip's width, ⅔ of a disc's diameter); median over the sampled images."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def take_fingerprint(
    manifest: Manifest, census: Census, spec: InputSpec, *, max_pixels: int = DEFAULT_MAX_PIXELS
) -> Fingerprint:
    """The fingerprint of the training split; `spec` says channels and intensity rule. Deterministic.

    Raises `DataError` when the split is empty or one of the sampled files cannot be read.
    """
    cases = manifest.split("train")
    if not cases:
        raise DataError(f"{manifest.root}: the train split is empty, nothing can be planned from it")
    if census.large:
        raise DataError(
            f"{manifest.root}: {some(census.large, 3)}: read by windows, and a plan from the data measures whole pictures: leave "
            "it out (plan.from_data=false)"
        )
    sizes = np.array([size for case in cases for size in census.facts[case.id].sizes])
    areas, aspects = sizes.prod(1), sizes[:, 1] / sizes[:, 0]
    samples = census.samples(cases, manifest.labels)
    pixels = SamplePixels(manifest, census.axis, max_pixels, spec=spec)
    places = np.linspace(0, len(samples) - 1, min(_SAMPLED, len(samples))).round().astype(int)
    chosen = [samples[place] for place in np.unique(places)]
    mean, std = _intensities(pixels, chosen, spec)
    shares, foreground, thickness = _objects(pixels, chosen, len(manifest.classes.names))
    return Fingerprint(
        cases=len(cases),
        empty=sum(bool(case.masks) and case.id in census.empty for case in cases),
        median_size=_pair(np.median(sizes, 0)),
        smallest=_pair(sizes[areas.argmin()]),
        largest=_pair(sizes[areas.argmax()]),
        aspects=(float(np.percentile(aspects, 5)), float(np.percentile(aspects, 95))),
        spacing=_spacing(cases),
        bits=spec.source_bits,
        channels=spec.kind,
        intensity=_rules(spec),
        mean=mean,
        std=std,
        sampled=len(chosen),
        classes=manifest.classes.names,
        class_share=shares,
        foreground=foreground,
        thickness=thickness,
    )


def _rules(spec: InputSpec) -> str | dict[str, Any]:
    if isinstance(spec.intensity, str):
        return spec.intensity
    return {name: rule.model_dump() for name, rule in zip(spec.channels, spec.intensity, strict=True)}


def thickness(mask: NDArray[np.bool_]) -> float:
    """4 × the mean distance from a pixel inside to the outside, less half a pixel: a strip's width. Pixels; 0 when empty."""
    if not mask.any():
        return 0.0
    if mask.all():
        return float(max(mask.shape))
    distance = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return 4 * (float(distance[mask].mean()) - 0.5)


def _intensities(
    pixels: SamplePixels, samples: Sequence[Sample], spec: InputSpec
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of the images in [0, 1]; each image has the same weight."""
    means, squares = [], []
    for sample in samples:
        image = pixels.image(sample)
        step = max(1, round((image.shape[0] * image.shape[1] / _PIXELS) ** 0.5))
        native = spec.model_copy(update={"size": image.shape[:2], "fit": "stretch"})
        unit = native.to_unit(native.working_pixels(image))[::step, ::step].astype(np.float64)
        means.append(unit.mean((0, 1)))
        squares.append((unit**2).mean((0, 1)))
    mean = np.mean(means, 0)
    std = np.sqrt(np.maximum(np.mean(squares, 0) - mean**2, 1e-6))
    return tuple(mean.round(4).tolist()), tuple(std.round(4).tolist())


def _objects(
    pixels: SamplePixels, samples: Sequence[Sample], classes: int
) -> tuple[tuple[float, ...], tuple[float, float, float] | None, float | None]:
    """Pixel share by class; percentiles of the foreground's share; thickness of the thinnest class."""
    counts = np.zeros(classes)
    shares, thinnest = [], []
    for sample in samples:
        mask = pixels.mask(sample)
        if mask is None:
            continue
        found = np.bincount(mask[mask != IGNORE].ravel(), minlength=len(counts))
        counts += found
        if found[1:].any():
            shares.append(found[1:].sum() / found.sum())
            present = np.flatnonzero(found[1:]) + 1
            thinnest.append(min(thickness(mask == label) for label in present) / max(mask.shape))
    by_class = tuple((counts / max(1.0, counts.sum())).round(5).tolist())
    if not shares:
        return by_class, None, None
    low, middle, high = np.percentile(shares, (5, 50, 95)).round(5).tolist()
    return by_class, (low, middle, high), round(float(np.median(thinnest)), 5)


def _spacing(cases: Sequence[Case]) -> tuple[float, ...] | None:
    stated = [case.spacing for case in cases if case.spacing is not None]
    return tuple(np.median(stated, 0).tolist()) if stated else None


def _pair(values: NDArray[Any]) -> tuple[int, int]:
    return round(float(values[0])), round(float(values[1]))
