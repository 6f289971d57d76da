"""Images resampled to one spacing before they are placed or cut."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from delineate.common.errors import DataError
from delineate.data.core.geometry import pixel_spacing
from delineate.data.core.input_spec import InputSpec
from delineate.inference.image_input import remark

millimeters = st.floats(0.3, 3)
pixels = st.integers(1, 60)


def disc(height: int, width: int, spacing: tuple[float, float], radius: float) -> np.ndarray:
    """Of `radius` mm about the middle of an image."""
    down, across = ((np.arange(n) - (n - 1) / 2) * step for n, step in zip((height, width), spacing, strict=True))
    return (np.hypot(down[:, None], across) <= radius).astype(np.uint8)


@given(pixels, pixels, st.tuples(millimeters, millimeters), st.tuples(millimeters, millimeters))
def test_a_frame_holds_images_at_one_scale_unless_they_are_too_large(
    height: int, width: int, own: tuple[float, float], wanted: tuple[float, float]
) -> None:
    spec = InputSpec(channels="gray", size=(64, 48), fit="letterbox", spacing=wanted)
    top, left, inner_h, inner_w = spec.placement(height, width, own) or (0, 0, 0, 0)
    assert 0 <= top <= 64 - inner_h
    assert 0 <= left <= 48 - inner_w
    too_large = spec.exceeds(height, width, own)
    scaled = height * own[0] / wanted[0], width * own[1] / wanted[1]
    if too_large is None:
        assert abs(inner_h - max(1, scaled[0])) <= 1
        assert abs(inner_w - max(1, scaled[1])) <= 1
        assert remark(np.zeros((height, width), np.uint8), spec, own) is None
    else:
        assert inner_h == 64 or inner_w == 48
        assert too_large[0] > 64 or too_large[1] > 48
        assert "is shrunk into the 64×48 that it sees" in str(remark(np.zeros((height, width), np.uint8), spec, own))
    assert spec.working_pixels(np.zeros((height, width), np.uint8), own).shape == (64, 48, 1)
    assert spec.working_mask(np.zeros((height, width), np.uint8), own).shape == (64, 48)
    assert (spec.working_mask(np.zeros((height, width), np.uint8), own) == 0).sum() == inner_h * inner_w
    assert spec.zoom(height, width, own) == (inner_h / height, inner_w / width)
    patched = InputSpec(channels="gray", size=(8, 8), fit="patch", spacing=wanted)
    assert patched.working_size(height, width, own) == tuple(max(1, round(each)) for each in scaled)


@pytest.mark.parametrize("fit", ["letterbox", "patch"])
def test_anatomy_has_one_size_whatever_the_pixels(fit: str) -> None:
    """By hand: a disc of 9 mm radius is one of 18 pixels' radius at half a millimeter, from files of any spacing."""
    spec = InputSpec(channels="gray", size=(64, 64), fit=fit, spacing=(0.5, 0.5))  # type: ignore[arg-type]
    areas = []
    for own in ((0.5, 0.5), (0.25, 0.5), (1.0, 0.4), (0.8, 0.8)):
        height, width = (round(30 / step) for step in own)
        mask = spec.working_mask(disc(height, width, own, 9.0), own)
        assert mask.shape == (64, 64) if fit == "letterbox" else (60, 60)
        areas.append(int((mask == 1).sum()))
        image = spec.working_pixels(disc(height, width, own, 9.0) * 200, own)[..., 0]
        assert cv2.minEnclosingCircle(np.argwhere(image > 100).astype(np.float32))[1] == pytest.approx(18, abs=1.2)
    assert areas == pytest.approx([np.pi * 18**2] * 4, rel=0.05)


def test_without_a_spacing_nothing_changes() -> None:
    image = np.random.default_rng(0).integers(0, 255, (30, 20), dtype=np.uint8)
    for fit in ("stretch", "letterbox", "patch"):
        spec = InputSpec(channels="gray", size=(16, 16), fit=fit, scale=0.5 if fit == "patch" else 1.0)  # type: ignore[arg-type]
        assert np.array_equal(spec.working_pixels(image), spec.working_pixels(image, (3.0, 0.1)))
        assert "spacing" not in spec.decisive
        assert spec.exceeds(30, 20, None) is None


def test_an_image_must_tell_its_spacing_where_it_matters() -> None:
    spec = InputSpec(channels="gray", size=(16, 16), fit="letterbox", spacing=(1, 1))
    with pytest.raises(
        DataError, match=r"pixels of 1×1 mm, and this image does not tell how large its own are"
    ) as caught:
        spec.working_pixels(np.zeros((9, 9), np.uint8))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"fit": "stretch"}, "spacing needs fit=letterbox or fit=patch"),
        ({"fit": "patch", "scale": 2.0}, "spacing and scale are both factors"),
        ({"fit": "patch", "spacing": (0, 1)}, "greater than 0"),
        ({"fit": "patch", "spacing": (1, float("nan"))}, "greater than 0|finite"),
    ],
)
def test_rules_that_contradict_it_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        InputSpec.model_validate({"spacing": (1.0, 1.0)} | settings)


@given(st.tuples(millimeters, millimeters, millimeters), st.integers(0, 2))
def test_pixels_of_slices_lie_along_the_other_axes(spacing: tuple[float, float, float], axis: int) -> None:
    assert pixel_spacing(spacing, axis) == tuple(np.delete(spacing, axis))
