"""The boundary loss on shapes whose value follows by hand, and what it must not look at."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from delineate.nn.boundary_loss import boundary_loss, edges

EXTRACTORS = ["central", "sobel", "laplacian", "morphological"]
FLAT = 1e-3
"""Magnitude √ε of a flat place, with which a magnitude is compared where the other map is flat."""
ONE = math.sqrt(1 + 1e-6) - FLAT
ROOT = math.sqrt(2 + 1e-6) - FLAT


def half_plane() -> Tensor:
    """8×8: columns 0–3 are 0, 4–7 are 1."""
    image = torch.zeros(1, 1, 8, 8)
    image[..., 4:] = 1
    return image


def square() -> Tensor:
    """8×8: a square of 4×4 ones in the middle."""
    image = torch.zeros(1, 1, 8, 8)
    image[..., 2:6, 2:6] = 1
    return image


def everywhere(maps: Tensor) -> Tensor:
    return torch.ones_like(maps[:, 0], dtype=torch.bool)


def empty_against(reference: Tensor, gradient: str, scales: tuple[int, ...]) -> float:
    nothing = torch.zeros_like(reference)
    return float(boundary_loss(nothing, reference, everywhere(reference), gradient=gradient, scales=scales))


# A straight edge of height 1. Scale 1: 2 of 8 columns (3 and 4) have strength 1, so the mean is 1/4. Pooled 2×2 the edge lies
# between columns 1 and 2 of 4: 2 of 4, mean 1/2. Pooled 4×4 both columns touch it: mean 1. All four extractors agree (but for √ε).
@pytest.mark.parametrize("gradient", EXTRACTORS)
@pytest.mark.parametrize(("scale", "columns"), [(1, 1 / 4), (2, 1 / 2), (4, 1)])
def test_straight_edge(gradient: str, scale: int, columns: float) -> None:
    height = ONE if gradient in ("central", "sobel") else 1
    for image in (half_plane(), half_plane().transpose(2, 3)):
        assert empty_against(image, gradient, (scale,)) == pytest.approx(columns * height, abs=1e-6)
    assert empty_against(half_plane(), gradient, (1, 2, 4)) == pytest.approx(1.75 * height, abs=1e-5)


# Square, central differences. Horizontal ones are ±1 in rows 2–5 of columns 1, 2, 5, 6 (16 pixels), vertical ones in as many;
# both in the square's 4 corners. Sum 24·1 + 4·√2 of 64. Pooled 2×2 a square of 2×2 in 4×4: 8 + 8 pixels, 4 of them (the square)
# both: 8·1 + 4·√2 of 16. Pooled 4×4 every pixel is 1/4: nothing.
# Laplacian. Scale 1: 16 outer neighbors have 1, 4 corners −2, 8 other rim pixels −1: 16 + 8 + 8 of 64. Scale 2: 8 outer
# neighbors 1, 4 pixels −2: 16 of 16. Morphological. Scale 1: dilated 6×6, eroded 2×2: 36 − 4 of 64. Scale 2: dilated 4×4, eroded
# to nothing: 16 of 16.
@pytest.mark.parametrize(
    ("gradient", "fine", "coarse"),
    [
        ("central", (24 * ONE + 4 * ROOT) / 64, (8 * ONE + 4 * ROOT) / 16),
        ("laplacian", 32 / 64, 16 / 16),
        ("morphological", 32 / 64, 16 / 16),
    ],
)
def test_square(gradient: str, fine: float, coarse: float) -> None:
    assert empty_against(square(), gradient, (1,)) == pytest.approx(fine, abs=1e-6)
    assert empty_against(square(), gradient, (2,)) == pytest.approx(coarse, abs=1e-6)
    assert empty_against(square(), gradient, (4,)) == pytest.approx(0, abs=1e-6)
    assert empty_against(square(), gradient, (1, 2, 4)) == pytest.approx(fine + coarse, abs=1e-5)


# Sobel at the square's outer corner (1, 1): of the differences 0, 1 in rows 0–2, smoothed (0, 0, 1)·(1, 2, 1)/4 = 1/4 both ways.
# In the middle of its left side (3, 2): rows 2–4 all have 1, so 1.
def test_sobel_smooths_corners_and_keeps_sides() -> None:
    found = edges(square(), "sobel")[0, 0]
    assert float(found[1, 1]) == pytest.approx(math.sqrt(2 / 16), abs=1e-4)
    assert float(found[3, 2]) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("gradient", EXTRACTORS)
def test_images_borders_make_no_edges(gradient: str) -> None:
    assert float(edges(torch.full((1, 1, 5, 7), 0.8), gradient).abs().max()) <= FLAT + 1e-6


@pytest.mark.parametrize("gradient", EXTRACTORS)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_zero_for_equal_maps_symmetric_and_the_same_for_a_class_and_its_complement(gradient: str, seed: int) -> None:
    a, b = torch.rand(2, 2, 1, 12, 10, generator=torch.Generator().manual_seed(seed))
    valid = everywhere(a)

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return boundary_loss(x, y, valid, gradient=gradient)

    assert float(loss(a, a)) == 0
    assert torch.allclose(loss(a, b), loss(b, a))
    assert torch.allclose(loss(torch.cat((1 - a, a), 1), torch.cat((1 - b, b), 1)), loss(a, b), atol=1e-5)


@pytest.mark.parametrize("gradient", EXTRACTORS)
def test_ignored_pixels_are_never_read_and_get_no_gradient(gradient: str) -> None:
    random = torch.Generator().manual_seed(0)
    x, y = torch.rand(2, 2, 3, 16, 16, generator=random)
    valid = torch.rand(2, 16, 16, generator=random) > 0.02
    x.requires_grad_()
    value = boundary_loss(x, y, valid, gradient=gradient)
    (gradients,) = torch.autograd.grad(value, x)
    assert (gradients.movedim(1, 3)[~valid] == 0).all()
    assert (gradients != 0).any()
    other = [torch.where(valid[:, None], maps, 7.0) for maps in (x, y)]
    assert torch.equal(boundary_loss(*other, valid, gradient=gradient), value)


# The right half (columns 4–7) ignored: of the edge's columns 3 and 4 none is left, since each one's window reaches beyond.
def test_an_edge_at_an_ignored_region_counts_not() -> None:
    image, valid = half_plane(), torch.ones(1, 8, 8, dtype=torch.bool)
    valid[..., 4:] = False
    assert float(boundary_loss(torch.zeros_like(image), image, valid)) == 0


def test_an_image_without_labels_counts_as_zero() -> None:
    image = torch.cat((half_plane(), half_plane()))
    valid = everywhere(image)
    valid[1] = False
    value = boundary_loss(torch.zeros_like(image), image, valid, gradient="morphological")
    assert float(value) == pytest.approx(1.75 / 2)


def test_sizes_that_a_pool_does_not_divide_or_exceeds() -> None:
    x, y = torch.rand(2, 1, 2, 7, 3, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(boundary_loss(x, y, everywhere(x)), boundary_loss(x, y, everywhere(x), scales=(1, 2)))
