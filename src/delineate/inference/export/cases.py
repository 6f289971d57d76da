"""The images that an exported file is tried on: real ones where there are some, else noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from delineate.common.errors import DataError
from delineate.data.cases.sample_pixels import SamplePixels
from delineate.data.cases.volumes import is_volume, opened
from delineate.data.core.findings import count
from delineate.data.core.geometry import pixel_spacing
from delineate.data.core.input_spec import InputSpec, Pixels, PixelSpacing
from delineate.data.core.manifest import Case, Manifest
from delineate.data.core.samples import Sample
from delineate.data.layouts.source import DataSource, as_source
from delineate.data.splits.run_splits import run_manifest
from delineate.inference.export.contract import Numbers
from delineate.inference.export.graph import numbers_of
from delineate.inference.model_info import without_folders
from delineate.inference.predictor import Predictor

__all__ = ["TrialImage", "TrialImages", "noise", "trial_images"]

_WHITE = {"uint8": 255, "uint16": 65535, "float32": 1000}


@dataclass(frozen=True)
class TrialImage:
    """One image."""

    name: str
    pixels: Pixels
    """H×W(×C), as the predictor takes them."""
    spacing: PixelSpacing | None = None


@dataclass(frozen=True)
class TrialImages:
    """Images, and where they are from."""

    words: str
    """ "8 validation cases of the run"."""
    images: tuple[TrialImage, ...]
    real: bool = True


def trial_images(predictor: Predictor, data: DataSource | None, number: int) -> TrialImages:
    """At most `number` images: of `data`; else of the validation cases of the model's run; else noise.

    Test cases of a run are never read. Raises `DataError` for data of another kind than the model's.
    """
    spec = predictor.spec
    if data is not None:
        manifest = as_source(data).manifest()
        cases = manifest.split("val") or manifest.cases
        images = tuple(_read(manifest, cases, spec, number))
        return TrialImages(f"{count(len(images), 'image')} of {Path(data.path).name}", images)
    why = "no data are given (--data)"
    saved = run_manifest(predictor.source)
    if saved is not None:
        manifest = Manifest.load(saved)
        if cases := manifest.split("val"):
            try:
                images = tuple(_read(manifest, cases, spec, number))
                return TrialImages(f"{count(len(images), 'image')} of the run's validation cases", images)
            except DataError as error:
                why = f"the run's validation cases cannot be read ({without_folders(str(error))})"
        else:
            why = "the run has no validation cases and no data are given (--data)"
    made = tuple(
        TrialImage(f"noise of {height}×{width}", noise(spec, numbers_of(spec), (height, width), seed), spec.spacing)
        for seed, (height, width) in enumerate(_sizes(spec.size)[:number])
    )
    return TrialImages(f"{count(len(made), 'image')} of noise, since {why}", made, real=False)


def noise(spec: InputSpec, numbers: Numbers, size: tuple[int, int], seed: int) -> Pixels:
    """A smooth random picture H×W×C over the whole range of its type, so that resizing has something to keep."""
    channels = (3 if isinstance(spec.channels, str) and spec.axis is None else _of_slices(spec)) * spec.planes
    drawn = np.random.default_rng(seed).random((*size, channels))
    smooth = cv2.GaussianBlur(drawn, (0, 0), 2).reshape(*size, channels)
    smooth -= smooth.min()
    return (smooth / max(float(smooth.max()), 1e-9) * _WHITE[numbers]).astype(numbers)


def _of_slices(spec: InputSpec) -> int:
    return 1 if isinstance(spec.channels, str) else len(spec.channels)


def _sizes(working: tuple[int, int]) -> list[tuple[int, int]]:
    """Smaller and larger than the working size, portrait and landscape, odd and even, equal, and one axis of each."""
    height, width = working
    return [
        (height, width),
        (2 * height + 1, 2 * width + 3),
        (height // 2 + 1, width // 2 + 3),
        (3 * height, width // 2 + 1),
        (height // 3 + 1, 2 * width + 1),
        (height + 7, width + 31),
        (2 * height, 2 * width),
        (height - 1, width + 1),
    ]


def _read(manifest: Manifest, cases: Sequence[Case], spec: InputSpec, number: int) -> Iterator[TrialImage]:
    reader = SamplePixels(manifest, spec.axis, spec=spec)
    chosen = [cases[at] for at in np.unique(np.linspace(0, len(cases) - 1, number).round().astype(int))]
    for case in chosen:
        if is_volume(manifest, case) != (spec.axis is not None):
            trained, given = ("pictures", "a volume") if spec.axis is None else ("volumes", "a picture")
            path = manifest.path(case.images[0])
            raise DataError(f"{path} is {given}, and the model was trained on {trained}; give --data of that kind")
        if spec.axis is None:
            yield TrialImage(case.id, reader.image(Sample(case)), case.pixel_spacing)
            continue
        grid = opened([manifest.path(path) for path in case.images], manifest.channels).geometry
        middle = grid.shape[spec.axis] // 2
        spacing = None if grid.millimeters is None else pixel_spacing(grid.millimeters, spec.axis)
        yield TrialImage(f"{case.id}, slice {middle}", reader.image(Sample(case, middle)), spacing)
