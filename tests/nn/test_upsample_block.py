from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from delineate.nn.fuse import fold_batchnorm
from delineate.nn.upsample_block import UpsampleBlock


@pytest.mark.parametrize("skips", [0, 3])
def test_is_nearest_doubling_a_join_and_a_convolution(skips: int) -> None:
    torch.manual_seed(0)
    step = UpsampleBlock(5, skips, 4).train()
    x = torch.randn(2, 5, 3, 4)
    skip = torch.randn(2, skips, 6, 8) if skips else None
    doubled = F.interpolate(x, scale_factor=2.0, mode="nearest")
    found = step(x, skip)
    torch.testing.assert_close(found, step.conv(doubled if skip is None else torch.cat((doubled, skip), 1)))
    lean = fold_batchnorm(step)
    torch.testing.assert_close(lean(x, skip), step.eval()(x, skip), atol=1e-5, rtol=1e-5)
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in lean.modules())
