"""Test cases of a demo, outlined by both of its networks and by the reference.

Four cases: at 12, 37, 62 and 87 % of the way from the worst to the best by mean Dice. One row per network.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from delineate.data.cases.pixels import case_mask
from delineate.data.formats.registry import read_image
from delineate.evaluation.results.scores_file import ScoresFile
from delineate.inference.overlay import draw
from delineate.report.parts.run_record import read_run
from delineate.report.parts.scores import case_values
from pictures.tiles import save_sheet, tile

METHODS = ("condseg", "unet")
PLACES = (0.125, 0.375, 0.625, 0.875)
SIDE = 256


def draw_outlines(demo: Path, out: Path, of_method: Path) -> None:
    """Write all of them to the file `out`, and those of each method to a file in the folder `of_method`."""
    dice = {name: case_values(ScoresFile.read(demo / f"{name}-test" / "evaluation"), "dice") for name in METHODS}
    ranked = sorted(dice["unet"], key=lambda case: sum(dice[name][case] for name in METHODS))
    chosen = [ranked[int(place * len(ranked))] for place in PLACES]
    rows = {name: [_outlined(demo, name, case, dice[name][case]) for case in chosen] for name in METHODS}
    save_sheet([one for row in rows.values() for one in row], len(chosen), out)
    for name, row in rows.items():
        save_sheet(row, len(chosen), of_method / f"{name}.jpg")


def _outlined(demo: Path, name: str, case: str, dice: float) -> Image.Image:
    """One test image with the outlines of reference and prediction."""
    record = read_run(demo / name)
    assert record.manifest is not None
    found = next(one for one in record.manifest.cases if one.id == case)
    image = read_image(record.manifest.path(found.images[0]))
    prediction = (read_image(demo / f"{name}-test" / f"{case}.png") > 0).astype(np.uint8)
    pixels = draw(image, prediction, case_mask(record.manifest, found), record.manifest.classes, shorter=2 * SIDE)
    return tile(pixels, f"{record.summary.get('title', name)}   Dice {dice:.2f}", SIDE)
