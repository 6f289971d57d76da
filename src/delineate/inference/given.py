"""What a caller gives as an image: brought to one form, and compared in kind with those that a model was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from delineate.common.errors import DataError
from delineate.data.core.input_spec import InputSpec, Pixels
from delineate.data.core.intensity import Rule, usable
from delineate.data.formats.from_pillow import pillow_pixels
from delineate.data.formats.images import read_image


def as_pixels(image: Any, rule: Rule = "range") -> Pixels:
    """An array, a Pillow image or a path → uint8 or uint16 H×W, H×W×3 or H×W×4; where the intensity `rule` is another than `range`,
    arrays of other numbers are taken, too. Raises `DataError` for anything else."""
    if isinstance(image, str | Path):
        return read_image(Path(image))
    if hasattr(image, "convert"):
        return pillow_pixels(image)
    if isinstance(image, np.ndarray) and image.dtype.kind == "u" and image.dtype.itemsize <= 2:
        image = np.ascontiguousarray(image, image.dtype.newbyteorder("="))
    if isinstance(image, np.ndarray) and image.dtype.kind in "iuf" and rule != "range":
        image = usable(image)
    elif not isinstance(image, np.ndarray) or image.dtype not in (np.uint8, np.uint16):
        kind = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise DataError(f"an image to predict is uint8 or uint16, not {kind}; scale it to 0…255 or 0…65535 first")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)) or image.size == 0:
        raise DataError(f"an image to predict is H×W, H×W×3 or H×W×4, not of shape {image.shape}")
    return image


def remark(pixels: Pixels, spec: InputSpec) -> str | None:
    """What the user should know when an image is not of the kind that the model was trained on; None if it is."""
    bits = 8 * pixels.dtype.itemsize
    grey = pixels.ndim == 2 or pixels.shape[2] == 1
    wanted = "grey" if spec.channels == "grey" else "RGB"
    given = "grey" if grey else "RGB"
    if pixels.dtype.kind == "u" and bits != spec.source_bits:
        scale = f"0…{2**bits - 1}" if spec.intensity == "range" else spec.rule_words
        return (
            f"{bits}-bit {given} image given to a model trained on {spec.source_bits}-bit {wanted} images; "
            f"{scale} is read as black to white"
        )
    if wanted == "grey" and not grey:
        return "RGB image given to a model trained on grey images; it is turned to grey"
    return None
