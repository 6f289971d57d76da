"""The largest connected part of each class, in masks that a network makes for itself."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

__all__ = ["largest_components"]

_TOUCHING = np.ones((3, 3), bool)
"""Pixels that touch, be it at a corner, belong together."""


def largest_components(mask: Tensor) -> Tensor:
    """Each image's largest component of each foreground class; what else there was of the class becomes background.

    Runs on the CPU, image by image: on a GPU it costs a copy there and back and waits for it.

    Args:
        mask: Long B×H×W class indices, 0 = background.

    Returns:
        The same shape, type and device. Of equally large components the first in reading order stays.

    Example:
        >>> from delineate.nn.components import largest_components
        >>> largest_components(torch.tensor([[[1, 1, 0, 1, 0, 2]]])).tolist()
        [[[1, 1, 0, 0, 0, 2]]]
    """
    found = mask.cpu().numpy().copy()
    for image in found:
        for index in np.unique(image[image > 0]):
            of_class = image == index
            labels, count = ndimage.label(of_class, _TOUCHING)
            if count > 1:
                largest = 1 + np.bincount(labels.ravel())[1:].argmax()
                image[of_class & (labels != largest)] = 0
    return torch.from_numpy(found).to(mask.device)
