"""How often `predict` says that an image lies outside of the training images: false alarms, ten corruptions, other contents.

    python benchmarks/drift.py RUN --other DATA [--cases 60] [--json FILE]

Of a run with a summary of its training images (`delineate drift RUN`), the test images are compared as they are (false alarms),
then changed at their own size by each corruption at three strengths. Contents are changed by inverting gray values, by shuffling
4×4 parts of an image, and by taking images of another data set. Each row has the share of cases outside with a 95 % interval
(Wilson), and of 200 random series of ten of these cases the share that is told apart, with Wilson's interval of as many series as
there are without a case in common; once by the statistics of images alone, once with the features of the encoder. At the end, false
alarms are averaged over 200 random divisions of validation and test images into held-out and new ones, since a single division has
more or fewer by chance.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from delineate.artefact.training_images import LEVELS
from delineate.common.files import write_json
from delineate.data.core.manifest import Manifest
from delineate.data.formats.registry import read_image
from delineate.data.layouts.discover import discover
from delineate.inference.measuring import encoder_views, measured, rounded, seen_parts, vector_of
from delineate.inference.outside import CaseDrift, compare
from delineate.inference.predictor import Predictor, load
from delineate.inference.series_drift import compare_series

SERIES, DRAWS = 10, 200
Image = NDArray[Any]
Change = Callable[[Image, float, np.random.Generator], Image]


def motion(image: Image, length: float, rng: np.random.Generator) -> Image:
    side = int(length) | 1
    kernel = np.zeros((side, side), np.float32)
    kernel[side // 2] = 1 / side
    return np.asarray(cv2.filter2D(image, -1, kernel), np.float32)


def jpeg(image: Image, quality: float, rng: np.random.Generator) -> Image:
    content = cv2.imencode(".jpg", as_bytes(image), [cv2.IMWRITE_JPEG_QUALITY, int(quality)])[1]
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_UNCHANGED), np.float32) / 255


def coarse(image: Image, factor: float, _: np.random.Generator) -> Image:
    height, width = image.shape[:2]
    small = cv2.resize(image, (int(width / factor), int(height / factor)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def occluded(image: Image, share: float, rng: np.random.Generator) -> Image:
    tall, wide = (int(side * share) for side in image.shape[:2])
    top, left = (rng.integers(0, side - own + 1) for side, own in zip(image.shape, (tall, wide), strict=False))
    result = image.copy()
    result[top : top + tall, left : left + wide] = 0
    return result


def shuffled(image: Image, parts: float, rng: np.random.Generator) -> Image:
    number = int(parts)
    tall, wide = (side // number for side in image.shape[:2])
    result = image[: tall * number, : wide * number].copy()
    corners = [(row * tall, column * wide) for row in range(number) for column in range(number)]
    for (top, left), at in zip(corners, rng.permutation(len(corners)), strict=True):
        row, column = corners[at]
        result[top : top + tall, left : left + wide] = image[row : row + tall, column : column + wide]
    return result


def cast(image: Image, share: float, _: np.random.Generator) -> Image:
    return image * np.array([1 + share, 1, 1 - share], np.float32) if image.ndim == 3 else image


CORRUPTIONS: dict[str, tuple[Change, tuple[float, ...]]] = {
    "noise, σ": (lambda image, sigma, rng: image + rng.normal(0, sigma, image.shape), (0.02, 0.05, 0.1)),
    "blur, σ in pixels": (lambda image, sigma, _: cv2.GaussianBlur(image, (0, 0), sigma), (1, 2, 4)),
    "motion blur, pixels": (motion, (7, 15, 25)),
    "darker, times": (lambda image, factor, _: image * factor, (0.8, 0.6, 0.4)),
    "brighter, times": (lambda image, factor, _: image * factor, (1.2, 1.5, 2)),
    "lower contrast, times": (
        lambda image, factor, _: (image - image.mean()) * factor + image.mean(),
        (0.8, 0.6, 0.4),
    ),
    "color cast, red + and blue −": (cast, (0.1, 0.2, 0.4)),
    "JPEG, quality": (jpeg, (40, 20, 8)),
    "lower resolution, times": (coarse, (2, 3, 5)),
    "black square, share of a side": (occluded, (0.2, 0.35, 0.5)),
}
CONTENTS: dict[str, tuple[Change, tuple[float, ...]]] = {
    "inverted": (lambda image, _, __: 1 - image, (1,)),
    "shuffled, parts of a side": (shuffled, (4,)),
}


@dataclass(frozen=True)
class Row:
    """What was told of cases: without the encoder, and with it."""

    name: str
    plain: list[CaseDrift]
    encoder: list[CaseDrift]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--other", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    model = load(given.run, device="cpu")
    assert model.training_images is not None, "delineate drift RUN"
    print(model.training_images.words)
    found, start = [], time.perf_counter()
    for row in rows(model, Manifest.load(given.run / "manifest.json"), given.other, given.cases):
        found.append(line(model, row))
        print(" | ".join(["", *found[-1].values(), ""]).strip(), flush=True)
    print(f"{time.perf_counter() - start:.0f} s")
    for name, (case, series) in divided(model, Manifest.load(given.run / "manifest.json")).items():
        print(f"false alarms over {DRAWS} divisions, {name}: case {case:.3f}, series {series:.3f}")
    if given.json is not None:
        write_json(given.json, found)


def rows(model: Predictor, manifest: Manifest, other: Path, number: int) -> Iterator[Row]:
    rng = np.random.default_rng(0)
    paths = [manifest.path(case.images[0]) for case in manifest.split("test")]
    yield told(model, "as they are", [read_image(path) for path in paths])
    chosen = sorted(rng.choice(len(paths), min(number, len(paths)), replace=False))
    images = [read_image(paths[at]) for at in chosen]
    for name, (change, strengths) in (CORRUPTIONS | CONTENTS).items():
        for strength in strengths:
            changed = (as_bytes(change(image.astype(np.float32) / 255, strength, rng)) for image in images)
            yield told(model, f"{name} {strength:g}", changed)
    others = discover(other)
    cases = [case for case in others.cases if case.split == "test"] or list(others.cases)
    taken = [read_image(others.path(cases[at].images[0])) for at in rng.choice(len(cases), number, replace=False)]
    yield told(model, f"images of {other.name}", taken)


def told(model: Predictor, name: str, images: Any) -> Row:
    """Sizes are not compared: that another set has another size is no test of this."""
    training, spec, encoder = model.training_images, model.spec, model.encoder
    assert training is not None
    assert encoder is not None
    row = Row(name, [], [])
    for image in images:
        shown = model.prepare(image)
        parts = seen_parts(shown, spec, image.shape[0], image.shape[1])
        vector = vector_of(measured(parts, spec), training.names)
        assert vector is not None
        features = encoder.of_images(encoder_views(shown, spec)).mean(0)
        for kept, given in ((row.plain, []), (row.encoder, [features])):
            drift = compare(training, [vector], None, features=given)
            assert drift is not None
            kept.append(drift)
    return row


def line(model: Predictor, row: Row) -> dict[str, str]:
    cells = {"images": row.name}
    for name, cases in (("statistics", row.plain), ("with encoder", row.encoder)):
        cells[f"{name}, case"] = share(sum(one.outside for one in cases), len(cases))
        cells[f"{name}, series"] = share(series_share(model, cases) * (len(cases) // SERIES), len(cases) // SERIES)
    return cells


def series_share(model: Predictor, cases: list[CaseDrift]) -> float:
    training, rng, number = model.training_images, np.random.default_rng(1), 0
    assert training is not None
    for _ in range(DRAWS):
        one = compare_series(training, [cases[at] for at in rng.choice(len(cases), SERIES, replace=False)])
        number += one is not None and one.reason is not None
    return number / DRAWS


def divided(model: Predictor, manifest: Manifest) -> dict[str, tuple[float, float]]:
    """Mean rates of false alarms of a case and of a series."""
    training, rng = model.training_images, np.random.default_rng(2)
    assert training is not None
    number = len(manifest.split("val"))
    cases = [case for name in ("val", "test") for case in manifest.split(name)]
    row = told(model, "all", (read_image(manifest.path(case.images[0])) for case in cases))
    found = {}
    for name, drifts, scale in (
        ("statistics", row.plain, training.threshold),
        ("with encoder", row.encoder, training.encoder and training.encoder.threshold),
    ):
        distances = np.array([one.distance for one in drifts]) * (scale or 1)
        rates = []
        for _ in range(DRAWS):
            order = rng.permutation(len(cases))
            kept, new = np.sort(distances[order[:number]]), order[number:]
            threshold = float(kept[int(np.ceil((number + 1) * (1 - training.rate) - 1e-9)) - 1])
            clouds = training.statistics.model_copy(update={"held_out": rounded(np.quantile(kept, LEVELS))})
            changed = {"threshold": threshold, "held_out": number, "statistics": clouds, "encoder": None}
            drawn = [
                CaseDrift(distances[at] / threshold, None, drifts[at].statistics)
                for at in rng.choice(new, SERIES, replace=False)
            ]
            series = compare_series(training.model_copy(update=changed), drawn)
            apart = series is not None and series.reason is not None
            rates.append((float(np.mean(distances[new] > threshold)), float(apart)))
        means = np.mean(rates, axis=0)
        found[name] = (float(means[0]), float(means[1]))
    return found


def share(hits: float, number: int) -> str:
    """With Wilson's interval."""
    z, rate = 1.96, hits / number
    middle, spread = rate + z * z / (2 * number), z * np.sqrt(rate * (1 - rate) / number + (z / (2 * number)) ** 2)
    low, high = ((middle + sign * spread) / (1 + z * z / number) for sign in (-1, 1))
    return f"{rate:.2f} [{max(0, low):.2f}, {min(1, high):.2f}]"


def as_bytes(image: Image) -> NDArray[np.uint8]:
    return np.asarray(np.rint(np.clip(image, 0, 1) * 255), np.uint8)


if __name__ == "__main__":
    main()
