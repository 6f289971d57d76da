"""What a few-shot model makes of three images when it is shown one. It is trained on super-pixels of phantoms, without labels."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import delineate
from delineate.data.cases.phantom import make_phantom, write_phantoms
from delineate.inference.overlay import draw
from pictures.tiles import save_sheet, tile

SHOWN, ASKED = 90, (81, 93, 99)
"""Numbers of phantoms; those below 80 are trained on."""
CLASSES = ("background", "lesion")
SIDE, SIZE, STEPS = 256, 128, 600


def draw_few_shot(out: Path) -> None:
    with TemporaryDirectory() as folder:
        data = write_phantoms(Path(folder) / "phantoms", count=80, size=SIZE, seed=3)
        run = delineate.fewshot_train(
            data,
            method="alpnet",
            preset="tiny",
            size=SIZE,
            steps=STEPS,
            out=Path(folder) / "run",
            cache_dir=Path(folder) / "cache",
        )
        model = delineate.load(run.model)
    image, mask = make_phantom(SHOWN, size=SIZE, seed=3)
    tiles = [tile(draw(image, mask, None, CLASSES, shorter=2 * SIDE), "the image that is shown, with its mask", SIDE)]
    for number in ASKED:
        query, truth = make_phantom(number, size=SIZE, seed=3)
        found = model.segment_like([image], [mask], query)
        tiles.append(tile(draw(query, found, truth, CLASSES, shorter=2 * SIDE), "what the model finds", SIDE))
    save_sheet(tiles, len(tiles), out)
