"""A method's panels as pictures."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from delineate.methods.contract import Panel

__all__ = ["NOT_FINITE", "render"]

NOT_FINITE = (255, 0, 255)
"""Magenta, which no panel has: what is not finite must not look like black or white."""


def render(panel: Panel, planes: int = 1) -> NDArray[np.uint8]:
    """The first picture of a panel's batch as RGB H×W×3: masks spread over black to white, heat in viridis.

    `planes`: slices that the network sees at once (`InputSpec.planes`); of its input, the one in the middle is shown.
    """
    tensor = panel.tensor[0].float().cpu()
    if panel.kind == "image":
        tensor = _shown(tensor, planes)
    finite = tensor.isfinite().reshape(-1, *tensor.shape[-2:]).all(0).numpy()
    picture = _picture(panel.kind, tensor.nan_to_num(0, 0, 0))
    picture[~finite] = NOT_FINITE
    return picture


def _shown(image: Tensor, planes: int) -> Tensor:
    """One or three channels of an image C×H×W: the slice in the middle of several, and the mean of other numbers of channels."""
    if planes > 1 and image.shape[0] % planes == 0:
        image = image.chunk(planes)[planes // 2]
    return image if image.shape[0] in (1, 3) else image.mean(0, keepdim=True)


def _picture(kind: str, tensor: Tensor) -> NDArray[np.uint8]:
    if kind == "mask":
        values = tensor.numpy()
        scaled = (values * (255 / max(1, values.max()))).astype(np.uint8)
        return np.repeat(scaled[..., None], 3, 2)
    levels = (tensor.clamp(0, 1).permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    if kind == "heat":
        return np.asarray(cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB))
    return levels if levels.shape[2] == 3 else np.repeat(levels, 3, 2)
