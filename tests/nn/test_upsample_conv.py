from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from delineate.nn.upsample_conv import upsample_concat_conv


@pytest.mark.parametrize("skips", [0, 4])
@pytest.mark.parametrize("bias", [False, True])
def test_equals_the_literal_form_with_gradients(skips: int, bias: bool) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(5 + skips, 3, 3, padding=1, bias=bias).double()
    x = torch.randn(2, 5, 4, 6, dtype=torch.double, requires_grad=True)
    skip = torch.randn(2, skips, 8, 12, dtype=torch.double, requires_grad=True) if skips else None

    doubled = F.interpolate(x, scale_factor=2.0, mode="nearest")
    literal = conv(doubled if skip is None else torch.cat((doubled, skip), 1))
    found = upsample_concat_conv(conv, x, skip)
    assert torch.allclose(found, literal, atol=1e-12)

    inputs = [x, *conv.parameters(), *([] if skip is None else [skip])]
    weight = torch.randn_like(literal)
    expected = torch.autograd.grad((literal * weight).sum(), inputs)
    for a, b in zip(torch.autograd.grad((found * weight).sum(), inputs), expected, strict=True):
        assert torch.allclose(a, b, atol=1e-12)
