"""One phantom under each augmentation, drawn strongly enough to be seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from delineate.data.augment.apply import apply
from delineate.data.augment.settings import AugmentSettings, parts, sample
from delineate.data.augment.transform import CHANCE, TransformSettings
from delineate.data.cases.phantom import make_phantom
from pictures.tiles import save_sheet, tile

STRONG: dict[str, Any] = {
    "rotate": 40,
    "scale": (0.8, 1.2),
    "shear": 10,
    "elastic_alpha": 220,
    "elastic_sigma": 9,
    "brightness": 0.3,
    "contrast": 0.3,
    "saturation": 0.5,
    "hue": 0.1,
    "gamma_range": (1.8, 2.2),
    "blur_sigma": (2.0, 3.0),
    "noise_std": (0.08, 0.1),
    "dropout_holes": (5, 5),
    "dropout_size": (0.1, 0.2),
}
"""Ranges; keys that are not here keep their defaults."""
SIDE, COLUMNS = 190, 4


def draw_augmented(out: Path) -> None:
    image, mask = make_phantom(11, size=2 * SIDE, seed=0)
    tiles = [tile(image, "as it is", SIDE)]
    tiles += [_augmented(part, image, mask) for part in parts()]
    save_sheet(tiles, COLUMNS, out)


def _augmented(part: type[TransformSettings], image: Any, mask: Any) -> Image.Image:
    chances = [name for name, field in part.model_fields.items() if CHANCE in field.metadata]
    ranges = {name: value for name, value in STRONG.items() if name in part.model_fields}
    settings = AugmentSettings(**dict.fromkeys(chances, 1.0), **ranges)
    drawn = sample(settings, np.random.default_rng(2), *mask.shape)
    return tile(apply(image, mask, drawn)[0], ", ".join(chances), SIDE)
