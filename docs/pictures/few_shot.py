"""What a few-shot model makes of images when it is shown lesions of one kind in three other images, and then those of another kind.

It is trained for minutes on phantoms with both kinds; a row for each kind, of which the first image is one that it is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import delineate
from delineate.data.cases.phantom import make_phantom, write_phantoms
from delineate.inference.overlay import draw
from pictures.tiles import save_sheet, tile

TRAINED, SHOWN, ASKED = 160, 3, 3
"""Numbers of phantoms."""
KINDS = {1: "reddish", 2: "dark"}
SIDE, SIZE, STEPS, LEAST = 256, 96, 300, 400
"""LEAST pixels of a lesion in all images that are shown and asked for; they are the first such that training did not see."""


def draw_few_shot(out: Path) -> None:
    with TemporaryDirectory() as folder:
        model = _trained(Path(folder))
    fitting = [
        number
        for number in range(TRAINED, 2 * TRAINED)
        if all(_phantom(number, kind)[1].sum() > LEAST for kind in KINDS)
    ]
    shown, asked = fitting[:SHOWN], fitting[SHOWN : SHOWN + ASKED]
    tiles = [one for kind in KINDS for one in _row(model, kind, shown, asked)]
    save_sheet(tiles, 1 + ASKED, out)


def _trained(folder: Path) -> Any:
    data = write_phantoms(folder / "phantoms", count=TRAINED, size=SIZE, seed=3, classes=len(KINDS))
    run = delineate.fewshot_train(
        data,
        method="alpnet",
        preset="tiny",
        size=SIZE,
        episodes="labels",
        steps=STEPS,
        out=folder / "run",
        cache_dir=folder,
    )
    return delineate.load(run.model)


def _row(model: Any, kind: int, shown: Sequence[int], asked: Sequence[int]) -> list[Image.Image]:
    images, masks = zip(*(_phantom(number, kind) for number in shown), strict=True)
    tiles = [tile(draw(images[0], masks[0], shorter=2 * SIDE), f"shown: {KINDS[kind]} lesions", SIDE)]
    for number in asked:
        query, truth = _phantom(number, kind)
        found = model.segment_like(images, masks, query)
        dice = 2 * (found & truth).sum() / (found.sum() + truth.sum())
        tiles.append(tile(draw(query, found, truth, shorter=2 * SIDE), f"found   Dice {dice:.2f}", SIDE))
    return tiles


def _phantom(number: int, kind: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """An image, and a mask of its lesions of one kind."""
    image, labels = make_phantom(number, size=SIZE, seed=3, classes=len(KINDS))
    return image, (labels == kind).astype(np.uint8)
