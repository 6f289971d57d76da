"""The episodes that exported files are tried on: real ones where there are annotated images, else noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.cases.census import inspect
from delineate.data.cases.sample_pixels import SamplePixels
from delineate.data.cases.volumes import is_volume, volume_mask
from delineate.data.core.findings import count
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import IGNORE, Case, ClassTable, Manifest
from delineate.data.core.samples import Sample
from delineate.data.layouts.source import DataSource, as_source
from delineate.data.splits.run_splits import run_manifest
from delineate.fewshot.predictor import FewShotPredictor
from delineate.fewshot.support import Support
from delineate.inference.export.cases import TrialImage, noise
from delineate.inference.export.graph import numbers_of
from delineate.inference.model_info import without_folders

__all__ = ["TrialEpisode", "TrialEpisodes", "blob", "trial_episodes"]

_SHOTS = (1, 2)
"""Of the episodes, in turn."""
_ASKED = 4
"""Annotated images that are looked at, for each that is needed: not all show a class."""


@dataclass(frozen=True)
class TrialEpisode:
    """A support and one query."""

    support: Support
    query: TrialImage


@dataclass(frozen=True)
class TrialEpisodes:
    """Episodes, and where they are from."""

    words: str
    episodes: tuple[TrialEpisode, ...]
    real: bool = True


def trial_episodes(model: FewShotPredictor, data: DataSource | None, number: int) -> TrialEpisodes:
    """At most `number` episodes of one and two shots: of `data`, or of the model's run, validation cases first; else of noise.

    Test cases of a run are never read. Raises `DataError` for data of another kind than the model's, or without annotated images.
    """
    if data is not None:
        manifest = as_source(data).manifest()
        some = tuple(case for case in manifest.cases if case.masks)[: _ASKED * (number + max(_SHOTS))]
        episodes = _of_cases(model, inspect(manifest.model_copy(update={"cases": some}))[0], number)
        if not episodes:
            raise DataError(f"{data.path}: episodes need two images with masks that show a class; give other --data")
        return TrialEpisodes(f"{count(len(episodes), 'episode')} of {Path(data.path).name}", episodes)
    why = "no data are given (--data)"
    saved = run_manifest(model.source)
    if saved is not None:
        manifest = Manifest.load(saved)
        try:
            if episodes := _of_cases(model, manifest, number):
                return TrialEpisodes(f"{count(len(episodes), 'episode')} of the run's cases", episodes)
            why = "the run's cases show too few masks and no data are given (--data)"
        except DataError as error:
            why = f"the run's cases cannot be read ({without_folders(str(error))})"
    episodes = tuple(_of_noise(model.spec, number))
    return TrialEpisodes(f"{count(len(episodes), 'episode')} of noise, since {why}", episodes, real=False)


@dataclass(frozen=True)
class _Pair:
    image: TrialImage
    mask: NDArray[np.uint8]


def _of_cases(model: FewShotPredictor, manifest: Manifest, number: int) -> tuple[TrialEpisode, ...]:
    """Validation cases first, then the others but for those of the test. Each is asked for once, the next ones are its support."""
    cases = [*manifest.split("val"), *(case for case in manifest.cases if case.split not in ("val", "test"))]
    pairs = list(_pairs(manifest, [case for case in cases if case.masks], model.spec, number + max(_SHOTS)))
    classes = manifest.classes.with_regions({})
    found = []
    for at, query in enumerate(pairs[:number]):
        others = [*pairs[at + 1 :], *pairs[:at]][: _SHOTS[at % len(_SHOTS)]]
        if others and (one := _episode(model, others, query, classes)) is not None:
            found.append(one)
    return tuple(found)


def _episode(model: FewShotPredictor, shown: list[_Pair], query: _Pair, classes: ClassTable) -> TrialEpisode | None:
    support = Support(tuple(one.image.pixels for one in shown), tuple(one.mask for one in shown), classes)
    try:
        model.condition_on(support)
    except DataError:  # nothing is left of a class at the working size
        return None
    return TrialEpisode(support, query.image)


def _pairs(manifest: Manifest, cases: list[Case], spec: InputSpec, number: int) -> Iterator[_Pair]:
    """At most `number` images that show a class: pictures, or of each volume the slice with the most of it."""
    reader = SamplePixels(manifest, spec.axis, spec=spec)
    for case in cases:
        if not number:
            return
        if is_volume(manifest, case) != (spec.axis is not None):
            trained, given = ("pictures", "a volume") if spec.axis is None else ("volumes", "a picture")
            path = manifest.path(case.images[0])
            raise DataError(f"{path} is {given}, and the model was trained on {trained}; give --data of that kind")
        sample = Sample(case)
        if spec.axis is not None:
            labels = np.moveaxis(volume_mask(manifest, case), spec.axis, 0)
            sample = Sample(case, int(((labels > 0) & (labels < IGNORE)).sum((1, 2)).argmax()))
        mask = reader.mask(sample)
        if mask is not None and ((mask > 0) & (mask < IGNORE)).any():
            number -= 1
            yield _Pair(TrialImage(sample.name, reader.image(sample)), mask)


def _of_noise(spec: InputSpec, number: int) -> Iterator[TrialEpisode]:
    height, width = spec.size
    sizes = [(height, width), (2 * height + 1, width + 3), (height // 2 + 1, 2 * width), (height + 7, width // 2 + 1)]
    for at in range(number):
        query, *shown = (sizes[(at + further) % len(sizes)] for further in range(1 + _SHOTS[at % len(_SHOTS)]))
        numbers, seeds = numbers_of(spec), iter(range(10 * at, 10 * at + 9))
        images = tuple(noise(spec, numbers, size, next(seeds)) for size in shown)
        support = Support(images, tuple(blob(size) for size in shown), ClassTable())
        asked = TrialImage(f"noise of {query[0]}×{query[1]}", noise(spec, numbers, query, next(seeds)))
        yield TrialEpisode(support, asked)


def blob(size: tuple[int, int]) -> NDArray[np.uint8]:
    """A mask H×W with an ellipse in the middle, and an ignored last row."""
    rows, columns = (np.linspace(-1, 1, length) for length in size)
    mask = (rows[:, None] ** 2 + columns[None] ** 2 < 0.4).astype(np.uint8)
    mask[-1] = IGNORE
    mask[size[0] // 2, size[1] // 2] = 1
    return mask
