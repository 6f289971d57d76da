from __future__ import annotations

import pytest
import torch
from torch import nn

from delineate.nn.blocks import ChannelAttention, ConvBNAct, SpatialAttention, UpSample, pad_to_multiple, resize_like
from delineate.nn.counting import count_cost, count_parameters
from delineate.nn.normalize import make_normalize


@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 1), (3, 6), (5, 2)])
def test_convolution_keeps_the_size(kernel: int, dilation: int) -> None:
    block = ConvBNAct(3, 4, kernel, dilation=dilation)
    assert block(torch.rand(2, 3, 9, 7)).shape == (2, 4, 9, 7)
    assert list(dict(block.named_children())) == ["conv", "norm", "act"]
    assert list(dict(ConvBNAct(3, 4, act=False).named_children())) == ["conv", "norm"]


def test_attention_gates_shrink_towards_zero() -> None:
    x = torch.rand(2, 32, 5, 6)
    for gate in (ChannelAttention(32), SpatialAttention()):
        y = gate(x)
        assert y.shape == x.shape
        assert ((y >= 0) & (y <= x)).all()
    ratio = ChannelAttention(32)(x) / x
    assert torch.allclose(ratio, ratio[:, :, :1, :1].expand_as(ratio), atol=1e-5)
    ratio = SpatialAttention()(x) / x
    assert torch.allclose(ratio, ratio[:, :1].expand_as(ratio), atol=1e-5)


def test_sizes_of_resizing_and_padding() -> None:
    x = torch.rand(1, 2, 5, 7)
    assert UpSample(4, align_corners=True)(x).shape == (1, 2, 20, 28)
    assert resize_like(x, torch.empty(1, 9, 11, 3)).shape == (1, 2, 11, 3)
    assert resize_like(x, x) is x
    padded = pad_to_multiple(x, 4)
    assert padded.shape == (1, 2, 8, 8)
    assert torch.equal(padded[..., :5, :7], x)
    assert torch.equal(padded[..., 7, 7], x[..., 4, 6])
    assert pad_to_multiple(padded, 4) is padded


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_normalization(channels: int) -> None:
    layer = make_normalize(channels)
    image = torch.full((1, channels, 2, 2), 0.449)
    assert layer(image).abs().max() < 0.3
    assert not layer.state_dict()
    assert make_normalize(channels, "none")(image) is image


def test_cost_of_one_convolution() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8))
    cost = count_cost(module, in_channels=3, size=(10, 20))
    assert cost.parameters == count_parameters(module) == 3 * 8 * 9 + 8 + 16
    assert cost.flops == 2 * 3 * 8 * 9 * 200
    assert module[1].running_mean.device.type == "cpu"
    assert module.training
