"""The torch twin of the input specification gives what numpy and OpenCV give."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from delineate.common.errors import DataError
from delineate.data.core.input_spec import InputSpec
from delineate.inference.export.preprocess import Preprocess


def both(image: np.ndarray, spec: InputSpec) -> tuple[np.ndarray, np.ndarray]:
    """Results of the specification and of its twin, h×w×C."""
    tensor = torch.from_numpy(np.atleast_3d(image).astype(np.float32)).permute(2, 0, 1)[None]
    twin = Preprocess(spec, image.dtype.name)(tensor)
    return spec.to_unit(spec.working_pixels(image)), twin[0].permute(1, 2, 0).numpy()


@settings(max_examples=60, deadline=None)
@example(9, 38, 1, 8, "gray", "stretch", 1.0, (8, 42), 0)  # where a sample falls on a whole pixel by rounding
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    channels=st.sampled_from([1, 3, 4]),
    bits=st.sampled_from([8, 16]),
    wanted=st.sampled_from(["rgb", "bgr", "gray"]),
    fit=st.sampled_from(["stretch", "letterbox", "patch"]),
    scale=st.sampled_from([1.0, 0.5, 0.37, 1.6]),
    size=st.tuples(st.integers(8, 48), st.integers(8, 48)),
    seed=st.integers(0, 99),
)
def test_twin(height, width, channels, bits, wanted, fit, scale, size, seed):
    kind = np.uint8 if bits == 8 else np.uint16
    image = np.random.default_rng(seed).integers(0, 2**bits, (height, width, channels)).astype(kind)
    numpy_result, torch_result = both(image, InputSpec(channels=wanted, fit=fit, scale=scale, size=size))
    assert numpy_result.shape == torch_result.shape
    levels = 2 if wanted == "gray" and channels > 1 else 1
    assert np.abs(numpy_result - torch_result).max() * (2**bits - 1) <= levels + 0.01


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("rule", ["percentile", "window", "zscore"])
@settings(max_examples=12, deadline=None)
@given(
    height=st.integers(20, 70),
    width=st.integers(20, 70),
    channels=st.sampled_from([1, 3]),
    wanted=st.sampled_from(["rgb", "gray"]),
    fit=st.sampled_from(["stretch", "letterbox", "patch"]),
    scale=st.sampled_from([1.0, 0.5, 1.6]),
    size=st.tuples(st.integers(16, 48), st.integers(16, 48)),
    offset=st.sampled_from([0, 0.2, 0.4]),
    seed=st.integers(0, 99),
)
def test_twin_of_measured_rules(kind, rule, height, width, channels, wanted, fit, scale, size, offset, seed):
    """Smooth pictures that fill two fifths of their type, so that a level of it is 1/100 of their range, or far less."""
    full = 1e4 if kind == "float32" else np.iinfo(kind).max
    smooth = cv2.GaussianBlur(np.random.default_rng(seed).random((height, width, channels)), (0, 0), 3)
    smooth = smooth.reshape(height, width, channels) - smooth.min()
    pixels = (smooth / smooth.max() * 0.4 + offset - (0.3 if kind in ("int16", "float32") else 0)) * full
    image = pixels.astype(kind) if kind == "float32" else np.rint(pixels).astype(kind)
    numbers = {"window_level": full * offset, "window_width": full * 0.3} if rule == "window" else {}
    spec = InputSpec(channels=wanted, size=size, fit=fit, scale=scale, intensity=rule, **numbers)
    numpy_result, torch_result = both(image, spec)
    assert numpy_result.shape == torch_result.shape
    assert np.abs(numpy_result - torch_result).max() <= (0.04 if kind == "uint8" else 0.001)


@pytest.mark.parametrize("rule", ["range", "percentile", "zscore"])
def test_twin_of_named_channels(rule):
    smooth = cv2.GaussianBlur(np.random.default_rng(0).random((40, 50, 5)), (0, 0), 3)
    image = np.rint((smooth - smooth.min()) * np.array([1000, 20000, 60000, 5000, 100])).astype(np.uint16)
    numpy_result, torch_result = both(image, InputSpec(channels=tuple("abcde"), size=(24, 30), intensity=rule))
    assert numpy_result.shape == torch_result.shape == (24, 30, 5)
    assert np.abs(numpy_result - torch_result).max() <= 0.02


@pytest.mark.parametrize("rule", ["percentile", "zscore"])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_flat_images_are_as_flat_in_both(rule, kind):
    numpy_result, torch_result = both(np.full((9, 9), 77, kind), InputSpec(intensity=rule, size=(9, 9)))
    assert np.array_equal(numpy_result, torch_result)
    assert (numpy_result == (0.5 if rule == "zscore" else 0)).all()


@pytest.mark.parametrize("kind", ["int16", "float32"])
def test_a_type_without_white_has_no_range(kind):
    with pytest.raises(DataError, match="range has no meaning"):
        Preprocess(InputSpec(), kind)
    assert np.isfinite(
        Preprocess(InputSpec(intensity="zscore", size=(4, 4)), kind)(torch.ones(1, 1, 5, 5)).numpy()
    ).all()
