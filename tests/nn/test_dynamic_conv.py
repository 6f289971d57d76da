"""Dynamic convolution equals its formula, whichever way it is computed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.nn.dynamic_conv import DynamicConv2d, set_temperature


@pytest.fixture
def module() -> DynamicConv2d:
    torch.manual_seed(0)
    module = DynamicConv2d(5, 6, kernels=3)
    nn.init.normal_(module.bias)
    nn.init.normal_(module.fc2.weight)
    return module


def formula(module: DynamicConv2d, x: Tensor) -> Tensor:
    """Σ_k π_k (W_k * x + b_k)."""
    kernels = module.weight.view(3, 6, 3, 3, 5).permute(0, 1, 4, 2, 3)
    every = [F.conv2d(x, w, b, padding=1) for w, b in zip(kernels, module.bias.view(3, 6), strict=True)]
    return torch.einsum("bk,kbchw->bchw", module.attention(x), torch.stack(every))


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_equal_to_the_sum_of_convolutions_with_gradients(module: DynamicConv2d, memory: torch.memory_format) -> None:
    x = torch.randn(4, 5, 9, 7).contiguous(memory_format=memory)
    results = []
    for function in (module, lambda x: formula(module, x)):
        module.zero_grad()
        y = function(x)
        y.square().sum().backward()
        results.append([y, *(p.grad.clone() for p in module.parameters())])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_each_image_has_its_own_kernel(module: DynamicConv2d) -> None:
    x = torch.randn(3, 5, 8, 8) * torch.tensor([0.1, 1.0, 10.0])[:, None, None, None]
    assert module.attention(x).std(0).max() > 0.01
    torch.testing.assert_close(module(x)[1:2], module(x[1:2]))


def test_a_high_temperature_evens_the_kernels_out(module: DynamicConv2d) -> None:
    x = 10 * torch.randn(2, 5, 8, 8)
    sharp = module.attention(x)
    set_temperature(nn.Sequential(module), 1e4)
    even = module.attention(x)
    assert "temperature" in module.state_dict()
    assert (even - 1 / 3).abs().max() < 1e-2 < (sharp - 1 / 3).abs().max()


def test_exported_graph_takes_batches_of_any_size(module: DynamicConv2d) -> None:
    batch = torch.export.Dim("batch", min=1, max=64)
    graph = torch.export.export(module.eval(), (torch.randn(2, 5, 8, 8),), dynamic_shapes=({0: batch},)).module()
    for count in (1, 5):
        x = torch.randn(count, 5, 8, 8)
        torch.testing.assert_close(graph(x), module(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kernels", [1, 3])
def test_norm_and_temperature_fold_into_the_kernels(kernels: int) -> None:
    torch.manual_seed(0)
    conv, norm = DynamicConv2d(5, 6, kernels=kernels), nn.BatchNorm2d(6)
    conv.temperature.fill_(7.0)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    for _ in range(3):
        norm(conv(torch.randn(4, 5, 8, 8)))
    x = torch.randn(2, 5, 8, 8)
    folded = conv.folded(norm.eval())
    with torch.no_grad():
        torch.testing.assert_close(folded(x), norm(conv(x)), atol=1e-5, rtol=1e-5)
    assert (float(folded.temperature), float(conv.temperature)) == (1.0, 7.0)
