"""The torch twin of the input specification gives what numpy and OpenCV give."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from delineate.data.core.input_spec import InputSpec
from delineate.inference.export.preprocess import Preprocess


def both(image: np.ndarray, spec: InputSpec) -> tuple[np.ndarray, np.ndarray]:
    """Results of the specification and of its twin, h×w×C."""
    tensor = torch.from_numpy(np.atleast_3d(image).astype(np.float32)).permute(2, 0, 1)[None]
    twin = Preprocess(spec, bits=8 * image.dtype.itemsize)(tensor)
    return spec.to_unit(spec.working_pixels(image)), twin[0].permute(1, 2, 0).numpy()


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    channels=st.sampled_from([1, 3, 4]),
    bits=st.sampled_from([8, 16]),
    wanted=st.sampled_from(["rgb", "bgr", "grey"]),
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
    levels = 2 if wanted == "grey" and channels > 1 else 1
    assert np.abs(numpy_result - torch_result).max() * (2**bits - 1) <= levels + 0.01


@pytest.mark.parametrize("size", [(40, 48), (20, 90)])
@pytest.mark.parametrize("fit", ["stretch", "letterbox", "patch"])
@pytest.mark.parametrize("bits", [8, 16])
def test_percentile_twin(bits, fit, size):
    kind = np.uint8 if bits == 8 else np.uint16
    grey = cv2.GaussianBlur(np.random.default_rng(1).random((61, 83)), (0, 0), 3)
    image = (grey / grey.max() * 0.4 * (2**bits - 1)).astype(kind)
    numpy_result, torch_result = both(image, InputSpec(channels="grey", size=size, fit=fit, intensity="percentile"))
    assert numpy_result.max() == 1
    assert np.abs(numpy_result - torch_result).max() <= 0.04


def test_flat_image_has_no_percentiles():
    numpy_result, torch_result = both(np.full((9, 9), 77, np.uint8), InputSpec(intensity="percentile", size=(8, 8)))
    assert np.array_equal(numpy_result, torch_result)
