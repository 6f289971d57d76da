"""How `augment.npz` was made: what augmentation drew and made when each of its parts had no file of its own yet.

    PYTHONPATH=src python tests/golden/make_augment.py

run on the commit "Rooms inside of data, one reader of plugins, no circle of files". Per seed the file holds the augmented picture
and mask, and the number that the generator gives next. Recipes of that time must go on to draw the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from delineate.data.augment.apply import apply
from delineate.data.augment.settings import AugmentSettings, sample

SHAPE = (14, 18)
SEEDS = range(40)
EVERYTHING = AugmentSettings(
    flip_horizontal=0.5,
    flip_vertical=0.5,
    warp=0.6,
    rotate=180,
    scale=(0.7, 1.4),
    shift=0.1,
    shear=10,
    elastic=0.3,
    elastic_sigma=2,
    color=0.6,
    brightness=0.2,
    contrast=0.3,
    saturation=0.4,
    hue=0.1,
    gamma=0.4,
    gray=0.2,
    blur=0.3,
    noise=0.3,
    dropout=0.4,
)


def augmented(seed: int) -> tuple[Any, Any, float]:
    """Picture, mask, and the generator's next number. Odd seeds have floats, in bytes again; every third mirrors the border."""
    rng = np.random.default_rng(seed)
    image, mask = rng.integers(0, 256, (*SHAPE, 3), np.uint8), rng.integers(0, 4, SHAPE).astype(np.uint8)
    settings = EVERYTHING.model_copy(update={"border": "constant" if seed % 3 else "reflect"})
    parameters = sample(settings, rng, *SHAPE)
    picture, labels = apply(image / np.float32(255) if seed % 2 else image, mask, parameters)
    return np.rint(picture * 255).astype(np.uint8) if seed % 2 else picture, labels, rng.random()


def main() -> None:
    images, masks, following = (np.stack(made) for made in zip(*map(augmented, SEEDS), strict=True))
    np.savez_compressed(Path(__file__).with_name("augment.npz"), image=images, mask=masks, following=following)


if __name__ == "__main__":
    main()
