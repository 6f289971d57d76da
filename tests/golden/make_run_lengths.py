"""Makes run_lengths.json: masks as pycocotools packs them, and outlines as it fills them. Needs `pip install pycocotools`.

python tests/golden/make_run_lengths.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from pycocotools import mask as coco

SIZE = 23, 31
OUTLINES = {
    "square": [[4, 5, 14, 5, 14, 15, 4, 15]],
    "fractions": [[3.2, 4.7, 20.9, 6.1, 17.3, 18.8, 6.6, 20.2]],
    "concave": [[2, 2, 28, 2, 28, 20, 15, 8, 2, 20]],
    "two parts": [[2, 2, 9, 2, 9, 9, 2, 9], [15, 10, 27, 12, 20, 21]],
    "over the border": [[-5, -3, 12, 4, 40, 30, -2, 18]],
}


def main() -> None:
    rng = np.random.default_rng(0)
    masks = [rng.random(SIZE) < share for share in (0.02, 0.3, 0.7, 0.98)]
    masks += [np.zeros(SIZE, bool), np.ones(SIZE, bool)]
    wide = np.zeros((700, 900), bool)
    wide[100:600, 37:890] = True
    wide[300:310] = False
    content = {
        "masks": [{**packed(mask), "pixels": np.packbits(mask).tobytes().hex()} for mask in masks],
        "wide": packed(wide),
        "outlines": [
            {"name": name, "segmentation": parts, **packed(coco.decode(coco.merge(coco.frPyObjects(parts, *SIZE))))}
            for name, parts in OUTLINES.items()
        ],
    }
    Path(__file__).with_name("run_lengths.json").write_text(json.dumps(content, indent=1) + "\n")


def packed(mask: np.ndarray) -> dict[str, object]:
    found = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": found["size"], "counts": found["counts"].decode()}


if __name__ == "__main__":
    main()
