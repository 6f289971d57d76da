"""Trainings of a second each, on made-up pictures: what `make_equal_trainings.py` and `make_old_runs.py` keep, and tests compare.

The pictures are made of integers alone and stored without compression, so that they are the same bytes on every machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.torch import load_file

import delineate

GOLDEN = Path(__file__).parent
Pixels = NDArray[np.uint8]
TOLERANCE = 1e-3
"""For other processors, whose sums are rounded otherwise. Without vector instructions losses differ by 6e-6, weights by 3e-4
at most; a random number that is drawn more or in another order changes losses by 1e-2."""

SAME_ROUNDING = pytest.mark.skipif(
    int(cv2.__version__.partition(".")[0]) < 5,
    reason="they were made with OpenCV 5; OpenCV 4 turns and scales images otherwise",
)


@dataclass(frozen=True)
class Training:
    """What is asked for, in the settings of today: a key that is renamed is renamed here too."""

    data: str
    method: str
    settings: tuple[str, ...]
    steps: int = 6
    size: int = 32
    preset: str = "tiny"

    def run(self, folder: Path, **more: Any) -> Path:
        """Train on the data of that name in `folder` (written where they are not there), into `folder/run`."""
        data = folder / self.data
        if not data.exists():
            DATA[self.data](data)
        verb = delineate.fewshot_train if self.data == "slices" else delineate.train
        verb(
            data,
            method=self.method,
            out=folder / "run",
            preset=self.preset,
            size=self.size,
            steps=self.steps,
            seed=7,
            device="cpu",
            settings=[*EVERY, *self.settings],
            cache_dir=folder / "cache",
            **more,
        )
        return folder / "run"


EVERY = ("data.workers=1", "engine.validate_every=0.1")
WARPED = ("augment.flip_horizontal=0.5", "augment.warp=1.0", "augment.rotate=25", "augment.scale=[0.8, 1.25]")
COLORED = ("augment.color=0.7", "augment.brightness=0.2", "augment.contrast=0.2", "augment.hue=0.05")
RARE = (
    "augment.elastic=0.5",
    "augment.gamma=0.5",
    "augment.gray=0.3",
    "augment.blur=0.4",
    "augment.noise=0.5",
    "augment.dropout=0.5",
)
UNET = ("method.encoder.name=test_byobnet", "method.decoder_channels=[4, 4]", "engine.batch_size=4")
CONDSEG = ("method.encoder.name=test_byobnet", "method.width=8", "method.heads=2", "engine.batch_size=4")
MFEL = ("method.widths=[4, 4, 8, 8]", "method.decoder_depths=[0, 0, 1]", "engine.batch_size=4")
ALPNET = ("method.encoder.name=test_byobnet", "method.levels=2", "method.width=8", "engine.batch_size=2")
REGIONS = ("episodes.region_size=40", "episodes.least=20", "episodes.validation=6")

TRAININGS = {
    "ema": Training(
        "pictures",
        "unet",
        (*UNET, *WARPED, *RARE, "strategy.ema=0.5", "engine.lr=0.01", "engine.schedule=poly", "input.fit=letterbox"),
    ),
    "patches": Training(
        "pictures",
        "unet",
        (
            *UNET,
            *COLORED,
            "input.fit=patch",
            "engine.optimizer=sgd",
            "engine.lr=0.02",
            "engine.schedule=plateau",
            "engine.plateau_patience=1",
            "engine.clip_norm=0.5",
            "engine.accumulate=2",
        ),
    ),
    "two-stages": Training(
        "pictures",
        "condseg",
        (*CONDSEG, *WARPED, "stages.reinforcement.share=0.5", "stages.segmentation.share=0.5"),
        steps=4,
    ),
    "unlabeled": Training("unlabeled", "mfel", (*MFEL, *COLORED, "data.labeled_share=0.5"), steps=4),
    "few-shot": Training("slices", "alpnet", (*ALPNET, *REGIONS)),
}
"""One of each kind: averaged weights, patches with a divided batch, two stages with a view of their own, images without masks,
episodes."""


def picture(index: int, height: int = 40, width: int = 52) -> tuple[Pixels, Pixels]:
    """An ellipse on a pattern: image height×width×3, and its mask (0, 255)."""
    y, x = np.mgrid[:height, :width]
    down, across = 12 + 7 * index % 17, 14 + 11 * index % 23
    tall, wide = 6 + index % 4, 7 + 3 * index % 5
    inside = ((y - down) * wide) ** 2 + ((x - across) * tall) ** 2 <= (tall * wide) ** 2
    pattern = (x * (3 + index % 5) + y * (5 + index % 3) + x * y % (7 + index)) % 41
    image = np.stack([60 + pattern + rise * inside for rise in (90, 40, 10)], axis=-1)
    return image.astype(np.uint8), (255 * inside).astype(np.uint8)


def write_pictures(folder: Path, bare: int = 0) -> None:
    """14 pictures, 10 of them for training; of these the first `bare` have no masks."""
    names = [f"picture_{index:02d}" for index in range(14)]
    for index, name in enumerate(names):
        image, mask = picture(index)
        _write(folder / ("unlabeled" if index < bare else "images") / f"{name}.bmp", image[..., ::-1])
        if index >= bare:
            _write(folder / "masks" / f"{name}.bmp", mask)
    _write_lists(folder, names[bare:10], names[10:12], names[12:])


def write_slices(folder: Path) -> None:
    """Nine volumes of six gray slices with two classes, by name; the last two are for testing, the two before for validation."""
    splits: list[list[str]] = [[], [], []]
    for index in range(54):
        patient, place = divmod(index, 6)
        name = f"patient{patient:03d}_frame01_slice_{place:02d}"
        image, mask = picture(patient, 40, 40)
        second = np.roll(mask, (9 + place, 13 - place), (0, 1)) > 0
        labels = np.where(mask > 0, 1, np.where(second, 2, 0)).astype(np.uint8)
        _write(
            folder / "images" / f"{name}.bmp", image[..., 0] // 2 + 3 * np.uint8(place) + 70 * second.astype(np.uint8)
        )
        _write(folder / "masks" / f"{name}.bmp", labels)
        splits[0 if patient < 5 else 1 if patient < 7 else 2].append(name)
    _write_lists(folder, *splits)


DATA = {
    "pictures": write_pictures,
    "unlabeled": lambda folder: write_pictures(folder, bare=5),
    "slices": write_slices,
}


def record(run: Path) -> dict[str, Any]:
    """What is compared of a finished run: the log, and the mean size of the weights of each part."""
    weights: dict[str, list[float]] = {}
    for name, tensor in sorted(load_file(run / "model.safetensors").items()):
        if tensor.is_floating_point():
            weights.setdefault(name.partition(".")[0], []).append(float(tensor.double().abs().mean()))
    log = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return {
        "log": [
            {key: line[key] for key in ("stage", "step", "lr", "loss")}
            | {"dice": line["val"]["dice"], "validation_loss": line["val"]["loss"]}
            for line in log
        ],
        "weights": {part: sum(means) for part, means in weights.items()},
    }


def unlike(golden: Any, found: Any, where: str = "") -> Iterator[str]:
    """Where two records differ: each difference as a line. What `found` has more is none."""
    if isinstance(golden, dict):
        for key, value in golden.items():
            yield from unlike(value, found.get(key), f"{where}.{key}")
    elif isinstance(golden, list):
        if len(golden) != len(found):
            yield f"{where}: {len(golden)} → {len(found)} entries"
        for at, (one, other) in enumerate(zip(golden, found, strict=False)):
            yield from unlike(one, other, f"{where}[{at}]")
    elif isinstance(golden, float) and isinstance(found, int | float):
        if not abs(golden - found) <= _most(golden, where):
            yield f"{where}: {golden} → {found}"
    elif golden != found:
        yield f"{where}: {golden} → {found}"


def _most(golden: float, where: str) -> float:
    """By how much a number may differ. Of Dice a pixel may fall to the other side; Adam makes steps of the same size of gradients
    that are nothing but rounding."""
    if where.endswith("].dice"):
        return 0.05
    return (5 if where.startswith(".weights") else 1) * TOLERANCE * max(abs(golden), 1e-3)


def _write(path: Path, pixels: Pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.ascontiguousarray(pixels))


def _write_lists(folder: Path, *parts: list[str]) -> None:
    for split, names in zip(("train", "val", "test"), parts, strict=True):
        (folder / f"{split}.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
