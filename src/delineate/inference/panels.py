"""A method's panels as pictures."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from delineate.methods.contract import Panel


def render(panel: Panel) -> NDArray[np.uint8]:
    """The first picture of a panel's batch as RGB H×W×3: masks spread over black to white, heat in viridis."""
    tensor = panel.tensor[0].float().cpu()
    if panel.kind == "mask":
        values = tensor.numpy()
        scaled = (values * (255 / max(1, values.max()))).astype(np.uint8)
        return np.repeat(scaled[..., None], 3, 2)
    levels = (tensor.clamp(0, 1).permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    if panel.kind == "heat":
        return np.asarray(cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB))
    return levels if levels.shape[2] == 3 else np.repeat(levels, 3, 2)
