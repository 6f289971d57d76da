"""Makes `docs/images/outlines.jpg` from a demo's output: `python docs/make_images.py demo/`.

Four test cases in each column's place of the ranking by mean Dice (12, 37, 62 and 87 % from the worst), one row per network.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from delineate.data.cases.pixels import case_mask
from delineate.data.formats.registry import read_image
from delineate.evaluation.predictions import read_prediction
from delineate.evaluation.stored import Stored
from delineate.inference.overlay import draw
from delineate.report.scores import case_values
from delineate.report.source import read_run

OUT = Path(__file__).with_name("images") / "outlines.jpg"
TILE, GAP = 256, 6
PLACES = (0.125, 0.375, 0.625, 0.875)


def main(demo: Path) -> None:
    methods = ("condseg", "unet")
    dice = {name: case_values(Stored.read(demo / f"{name}-test" / "evaluation"), "dice") for name in methods}
    ranked = sorted(dice["unet"], key=lambda case: sum(dice[name][case] for name in methods))
    chosen = [ranked[int(place * len(ranked))] for place in PLACES]
    size = (len(chosen) * (TILE + GAP) - GAP, len(methods) * (TILE + GAP) - GAP)
    sheet = Image.new("RGB", size, "white")
    for row, name in enumerate(methods):
        for column, case in enumerate(chosen):
            tile = outlined(demo, name, case, dice[name][case])
            sheet.paste(tile, (column * (TILE + GAP), row * (TILE + GAP)))
    sheet.save(OUT, quality=86, optimize=True)


def outlined(demo: Path, name: str, case: str, dice: float) -> Image.Image:
    """One test image with the outlines of reference and prediction."""
    record = read_run(demo / name)
    assert record.manifest is not None
    found = next(one for one in record.manifest.cases if one.id == case)
    image = read_image(record.manifest.path(found.images[0]))
    prediction = read_prediction(demo / f"{name}-test" / f"{case}.png", record.manifest.classes)
    pixels = draw(image, prediction, case_mask(record.manifest, found), record.manifest.classes, shorter=2 * TILE)
    tile = Image.fromarray(pixels).resize((TILE, TILE), Image.Resampling.LANCZOS)
    pen, font = ImageDraw.Draw(tile, "RGBA"), ImageFont.load_default(13)
    words = f"{record.summary.get('title', name)}   Dice {dice:.2f}"
    pen.rectangle((0, TILE - 21, pen.textlength(words, font) + 14, TILE), fill=(0, 0, 0, 150))
    pen.text((7, TILE - 19), words, font=font, fill="white")
    return tile


if __name__ == "__main__":
    main(Path(sys.argv[1]))
