"""Test cases of a demo, outlined by both of its networks and by the reference.

Four cases: at 12, 37, 62 and 87 % of the way from the worst to the best by mean Dice. One row per network.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from delineate.data.cases.pixels import case_mask
from delineate.data.formats.registry import read_image
from delineate.evaluation.inputs.predictions import read_prediction
from delineate.evaluation.results.scores_file import ScoresFile
from delineate.inference.overlay import draw
from delineate.report.parts.run_record import read_run
from delineate.report.parts.scores import case_values
from pictures.tiles import save_sheet, tile

METHODS = ("condseg", "unet")
PLACES = (0.125, 0.375, 0.625, 0.875)
SIDE = 256


def draw_outlines(demo: Path, out: Path) -> None:
    dice = {name: case_values(ScoresFile.read(demo / f"{name}-test" / "evaluation"), "dice") for name in METHODS}
    ranked = sorted(dice["unet"], key=lambda case: sum(dice[name][case] for name in METHODS))
    chosen = [ranked[int(place * len(ranked))] for place in PLACES]
    tiles = [_outlined(demo, name, case, dice[name][case]) for name in METHODS for case in chosen]
    save_sheet(tiles, len(chosen), out)


def _outlined(demo: Path, name: str, case: str, dice: float) -> Image.Image:
    """One test image with the outlines of reference and prediction."""
    record = read_run(demo / name)
    assert record.manifest is not None
    found = next(one for one in record.manifest.cases if one.id == case)
    image = read_image(record.manifest.path(found.images[0]))
    prediction = read_prediction(demo / f"{name}-test" / f"{case}.png", record.manifest.classes)
    pixels = draw(image, prediction, case_mask(record.manifest, found), record.manifest.classes, shorter=2 * SIDE)
    return tile(pixels, f"{record.summary.get('title', name)}   Dice {dice:.2f}", SIDE)
