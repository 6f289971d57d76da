"""Enhancement against OpenCV and against its own formulas."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from delineate.nn.enhance import Enhance, EnhanceOptions, clahe, equalize, logarithm

KINDS = ["log", "gamma", "clahe", "equalize", "identity"]


def pictures() -> dict[str, np.ndarray]:
    """Gray 8-bit pictures: noise, a dark gradient with few levels, one level only, a bright spot."""
    random = np.random.default_rng(0)
    ramp = np.linspace(0, 1, 96) ** 2 * np.ones((80, 1)) * 255
    ys, xs = np.mgrid[:128, :72]
    spot = 30 + 200 * np.exp(-((ys - 40) ** 2 + (xs - 30) ** 2) / 500) + random.normal(0, 4, (128, 72))
    named = {"noise": random.integers(0, 256, (64, 64)), "ramp": ramp, "flat": np.full((64, 64), 7), "spot": spot}
    return {name: picture.clip(0, 255).astype(np.uint8) for name, picture in named.items()}


def tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture.copy()).float()[None, None] / 255


@pytest.mark.parametrize("name", pictures())
def test_equalization_is_opencvs_before_its_rounding(name: str) -> None:
    picture = pictures()[name]
    gap = equalize(tensor(picture))[0, 0].numpy() * 255 - cv2.equalizeHist(picture)
    assert np.abs(gap).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("name", pictures())
@pytest.mark.parametrize(("clip", "tiles"), [(2.0, 8), (40.0, 4), (0.5, 8)])
def test_clahe_is_opencvs_before_its_roundings(name: str, clip: float, tiles: int) -> None:
    """OpenCV rounds the tables and the result, each by at most half a level."""
    picture = pictures()[name]
    gap = clahe(tensor(picture), clip=clip, tiles=tiles)[0, 0].numpy() * 255 - cv2.createCLAHE(
        clip, (tiles, tiles)
    ).apply(picture)
    assert np.abs(gap).max() <= 1 + 1e-3


@given(height=st.integers(17, 90), width=st.integers(17, 90))
@settings(max_examples=15, deadline=None)
def test_clahe_is_opencvs_at_any_size(height: int, width: int) -> None:
    picture = np.random.default_rng(height * 100 + width).integers(0, 256, (height, width), dtype=np.uint8)
    gap = clahe(tensor(picture))[0, 0].numpy() * 255 - cv2.createCLAHE(2.0, (8, 8)).apply(picture)
    assert np.abs(gap).max() <= 1 + 1e-3


def test_images_too_small_for_the_tiles_are_refused() -> None:
    with pytest.raises(ValueError, match="larger than 3×40"):
        clahe(torch.rand(1, 1, 3, 40))


def test_logarithm_keeps_the_ends_and_spreads_the_dark() -> None:
    found = logarithm(torch.tensor([0.0, 1 / 255, 15 / 255, 1.0]))
    assert torch.allclose(found, torch.tensor([0, 1 / 8, 4 / 8, 1]), atol=1e-6)


def test_gamma_is_a_power() -> None:
    image = torch.tensor([0.0, 0.25, 1.0]).view(1, 1, 1, 3)
    found = Enhance(EnhanceOptions(kind="gamma", gamma=0.5))(image)
    assert torch.allclose(found.flatten(), torch.tensor([0, 0.5, 1]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("color", ["channels", "luminance"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_results_stay_in_range_and_do_not_depend_on_the_batch(kind: str, color: str, channels: int) -> None:
    image = torch.rand(3, channels, 40, 33, generator=torch.Generator().manual_seed(0)) ** 2
    enhance = Enhance(EnhanceOptions(kind=kind, color=color))
    found = enhance(image)
    assert found.shape == image.shape
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    assert torch.allclose(found, torch.cat([enhance(one) for one in image.split(1)]), atol=1e-6)
    assert torch.equal(found, enhance(image)), "the same image twice"


@pytest.mark.parametrize("kind", KINDS)
def test_a_brighter_pixel_never_becomes_the_darker_one(kind: str) -> None:
    """Point-wise maps are monotone; CLAHE is so within one tile's reach, here with a single tile."""
    image = torch.linspace(0, 1, 256).view(1, 1, 16, 16)
    found = Enhance(EnhanceOptions(kind=kind, tiles=1))(image).flatten()
    assert (found.diff() >= 0).all()


@pytest.mark.parametrize("kind", ["log", "equalize", "clahe"])
def test_luminance_keeps_color_differences_and_channels_are_each_their_own(kind: str) -> None:
    image = 0.3 + 0.1 * torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    by_light = Enhance(EnhanceOptions(kind=kind, color="luminance"))(image)
    inside = ((by_light > 0) & (by_light < 1)).all(1)
    assert inside.any()
    before, after = image[:, 0] - image[:, 1], by_light[:, 0] - by_light[:, 1]
    assert torch.allclose(before[inside], after[inside], atol=1e-6)
    each = Enhance(EnhanceOptions(kind=kind))
    assert torch.equal(each(image)[:, 1:2], each(image[:, 1:2]))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_exported(kind: str) -> None:
    image = torch.rand(1, 1, 33, 64, generator=torch.Generator().manual_seed(0))
    enhance = Enhance(EnhanceOptions(kind=kind)).eval()
    graph = torch.export.export(enhance, (image,)).module()
    assert torch.equal(graph(image), enhance(image))
    assert math.isfinite(float(graph(image).sum()))
