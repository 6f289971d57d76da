"""A trained model as a file: what it says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from delineate.inference.model_info import ModelInfo

__all__ = ["info"]


def info(model: Path | str) -> ModelInfo:
    """What a model says of itself. Its weights are not loaded.

    Args:
        model: A `model.safetensors`, a run folder that holds one, or an exported `.onnx` file.

    Returns:
        Classes, input, training data, scores with intervals, licenses. Folders of other machines are cut off from all names.

    Raises:
        ArtefactError: The file is no model of this project, or damaged.

    Example:
        >>> import delineate
        >>> about = delineate.info("runs/first")
        >>> about.method, about.classes[1]["name"], about.activation
        ('unet', 'polyp', 'sigmoid')
    """
    from delineate.inference.model_info import read_info

    return read_info(model)
