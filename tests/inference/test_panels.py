"""Pictures of a method's panels: of several slices that a network sees at once, people see the one in the middle."""

from __future__ import annotations

import numpy as np
import torch

from delineate.inference.panels import render
from delineate.methods.contract import Panel


def levels(*values: float) -> torch.Tensor:
    """1×C×2×2, each channel of one value."""
    return torch.tensor(values).view(1, -1, 1, 1).expand(1, len(values), 2, 2)


def shown(image: torch.Tensor, planes: int = 1) -> list[int]:
    picture = render(Panel.of_image(image), planes)
    assert picture.shape == (2, 2, 3)
    assert (picture == picture[0, 0]).all()
    return [int(value) for value in picture[0, 0]]


def test_the_slice_in_the_middle_is_shown() -> None:
    assert shown(levels(0, 1, 0), planes=3) == [255, 255, 255]
    assert shown(levels(0, 0.2, 1, 0.2, 0), planes=5) == [255, 255, 255]
    colors = levels(0, 0, 0, 1, 0, 0.6, 0, 0, 0)
    assert shown(colors, planes=3) == [255, 0, 153], "three slices of three channels"


def test_without_neighbors_channels_are_colors_or_their_mean() -> None:
    assert shown(levels(1, 0, 0.6)) == [255, 0, 153]
    assert shown(levels(0.6)) == [153, 153, 153]
    assert shown(levels(1, 0)) == [128, 128, 128]
    assert shown(levels(0.6), planes=3) == [153] * 3, "a picture that is not of the input"


def test_heat_and_masks_stay_as_they_are() -> None:
    mask = render(Panel("mask", torch.tensor([[[0, 1], [2, 0]]])), 3)
    assert np.array_equal(mask[..., 0], [[0, 127], [255, 0]])
    heat = torch.rand(1, 1, 2, 2)
    assert np.array_equal(render(Panel("heat", heat), 3), render(Panel("heat", heat)))
