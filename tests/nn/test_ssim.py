from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from delineate.nn.ssim import ssim


def test_equals_scikit_image() -> None:
    torch.manual_seed(0)
    x = torch.rand(2, 3, 24, 31)
    y = (x + 0.2 * torch.randn_like(x)).clamp(0, 1)
    wanted = [
        structural_similarity(
            a.double().numpy(),
            b.double().numpy(),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
            channel_axis=0,
        )
        for a, b in zip(x, y, strict=True)
    ]
    np.testing.assert_allclose(ssim(x, y).numpy(), wanted, atol=1e-5)


@pytest.mark.parametrize("size", [(32, 32), (11, 64), (6, 5), (1, 1)])
def test_equal_images_have_similarity_one(size: tuple[int, int]) -> None:
    x = torch.rand(3, 2, *size)
    torch.testing.assert_close(ssim(x, x), torch.ones(3))
    torch.testing.assert_close(ssim(x * 0, x * 0), torch.ones(3))


def test_symmetric_below_one_and_differentiable() -> None:
    torch.manual_seed(1)
    x, y = torch.rand(2, 1, 16, 16, requires_grad=True), torch.rand(2, 1, 16, 16)
    found = ssim(x, y)
    torch.testing.assert_close(found, ssim(y, x))
    assert (found < 0.9).all()
    (gradient,) = torch.autograd.grad(found.sum(), x)
    assert torch.isfinite(gradient).all()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ssim(x, y), found)
