"""Gradients of dilated convolutions in bfloat16, channels last: PyTorch's own CPU kernel gives NaN for some numbers of channels."""

import pytest
import torch
from torch import nn

from delineate.nn.blocks import ConvBNAct
from delineate.nn.dilated_conv import DilatedConv2d


def _gradients(layer: nn.Module, x: torch.Tensor, enabled: bool) -> list[torch.Tensor]:
    layer.zero_grad()
    x = x.to(memory_format=torch.channels_last).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
        out = layer(x)
    out.float().square().sum().backward()
    return [x.grad, *(p.grad.clone() for p in layer.parameters())]  # type: ignore[union-attr, list-item]


@pytest.mark.parametrize(
    ("channels", "out", "dilation"), [(24, 12, 6), (40, 16, 2), (20, 8, 3), (12, 12, 6), (32, 8, 2)]
)
def test_gradients_in_bfloat16_are_those_of_float32_but_for_rounding(channels: int, out: int, dilation: int) -> None:
    torch.manual_seed(0)
    layer = DilatedConv2d(channels, out, 3, padding=dilation, dilation=dilation).to(memory_format=torch.channels_last)
    x = torch.randn(4, channels, 32, 32)
    for half, full in zip(_gradients(layer, x.clone(), True), _gradients(layer, x.clone(), False), strict=True):
        assert float((half - full).norm() / full.norm()) < 0.02


def test_in_float32_it_is_the_plain_convolution_bit_for_bit() -> None:
    torch.manual_seed(0)
    ours = DilatedConv2d(24, 12, 3, padding=6, dilation=6)
    plain = nn.Conv2d(24, 12, 3, padding=6, dilation=6)
    plain.load_state_dict(ours.state_dict())
    x = torch.randn(2, 24, 32, 32)
    assert torch.equal(ours(x), plain(x))


def test_blocks_with_a_dilation_use_it() -> None:
    assert isinstance(ConvBNAct(24, 8, dilation=2).conv, DilatedConv2d)
    assert type(ConvBNAct(24, 8).conv) is nn.Conv2d
