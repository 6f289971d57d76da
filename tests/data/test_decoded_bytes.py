"""What a picture needs in memory is known from its header, and is never less than what decoding takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from delineate.data.formats.registry import open_image

NAMES = [f"{kind}.{ending}" for kind in ("gray", "rgb", "rgba", "deep") for ending in ("png", "tif")]
NAMES += ["gray.jpg", "rgb.jpg", "gray.bmp", "rgb.bmp", "gray.webp", "rgb.webp", "gray.jp2", "deep.jp2"]
NAMES += ["palette.png", "bits.png", "float.tif", "palette.gif"]


def _written(folder: Path, name: str) -> Path:
    drawn = np.random.default_rng(0)
    kind, ending = name.split(".")
    path = folder / f"{kind}.{ending}"
    gray, color = drawn.integers(0, 256, (9, 14), np.uint8), drawn.integers(0, 256, (9, 14, 4), np.uint8)
    arrays = {
        "gray": gray,
        "rgb": color[..., :3],
        "rgba": color,
        "deep": gray.astype(np.uint16) * 200,
        "float": gray / 255.0,
    }
    if ending == "npy":
        np.save(path, arrays[kind])
    elif ending == "tif":
        tifffile.imwrite(path, arrays[kind].astype(np.float32) if kind == "float" else arrays[kind])
    elif kind == "palette":
        Image.fromarray(color[..., :3]).quantize(8).save(path)
    elif kind == "bits":
        Image.fromarray(gray > 99).save(path)
    else:
        Image.fromarray(arrays[kind]).save(path)
    return path


@pytest.mark.parametrize("name", NAMES)
def test_the_bound_holds_and_costs_no_decoding(tmp_path: Path, name: str):
    handle = open_image(_written(tmp_path, name))
    bound = handle.decoded_bytes
    assert "_pixels" not in vars(handle), "it was decoded"
    assert handle.read().nbytes <= bound <= 8 * handle.read().nbytes
