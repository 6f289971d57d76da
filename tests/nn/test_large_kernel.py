"""The large-kernel convolution is `F.conv2d`, whatever way it is computed; both kernels merge into one."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.nn import large_kernel
from delineate.nn.large_kernel import DepthwiseConv2d, LargeKernelFunction, ReparameterizedConv, depthwise_conv2d


def plain(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2, groups=len(weight))


def with_gradients(function, *inputs: Tensor) -> list[Tensor]:
    inputs = tuple(x.detach().requires_grad_() for x in inputs)
    y = function(*inputs)
    y.backward(torch.linspace(-1, 2, y.numel()).view(y.shape))
    return [y.detach(), *(x.grad for x in inputs)]


@settings(max_examples=15, deadline=None)
@given(
    batch=st.integers(1, 3),
    channels=st.sampled_from([1, 5, 8, 16, 24]),
    height=st.integers(1, 40),
    width=st.sampled_from([1, 7, 16, 47, 48, 49, 100]),
    kernel=st.sampled_from([15, 21]),
    last=st.booleans(),
)
def test_result_and_gradients_equal_the_plain_convolution(
    batch: int, channels: int, height: int, width: int, kernel: int, last: bool
) -> None:
    x = torch.randn(batch, channels, height, width)
    inputs = (x, torch.randn(channels, 1, kernel, kernel) / kernel, torch.randn(channels))
    wanted = with_gradients(plain, *inputs)
    x = x.contiguous(memory_format=torch.channels_last) if last else x
    for a, b in zip(with_gradients(depthwise_conv2d, x, *inputs[1:]), wanted, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5 * float(1 + b.abs().max()), rtol=1e-5)


def test_gradients_in_float64() -> None:
    x = torch.randn(2, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(LargeKernelFunction.apply, (x, weight))
    assert torch.autograd.gradcheck(LargeKernelFunction.apply, (x.detach(), weight))


def test_large_kernels_take_the_fast_way_and_others_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    fast = large_kernel._convolve
    monkeypatch.setattr(large_kernel, "_convolve", lambda x, w: taken.append(w.shape[-1]) or fast(x, w))
    for dtype, kernel in ((torch.float32, 21), (torch.float32, 3), (torch.float64, 21)):
        depthwise_conv2d(torch.rand(1, 2, 8, 8, dtype=dtype), torch.rand(2, 1, kernel, kernel, dtype=dtype))
    assert taken == [21]


def test_autocast_gives_its_dtype_and_float32_gradients() -> None:
    conv = DepthwiseConv2d(4, 21, bias=True)
    x = torch.randn(1, 4, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        y = conv(x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), conv(x), atol=0.02, rtol=0.02)
    y.float().square().mean().backward()
    assert conv.weight.grad is not None
    assert conv.weight.grad.dtype == torch.float32


def test_a_graph_holds_the_plain_convolution() -> None:
    conv = DepthwiseConv2d(4, 21, bias=True)
    x = torch.randn(1, 4, 16, 16)
    graph = torch.export.export(conv, (x,))
    assert torch.ops.aten.conv2d.default in {node.target for node in graph.graph.nodes}
    torch.testing.assert_close(graph.module()(x), conv(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("kernel", "small"), [(21, 3), (7, 5), (3, 1)])
def test_merged_kernel_equals_both(kernel: int, small: int) -> None:
    torch.manual_seed(0)
    module = ReparameterizedConv(6, kernel, small)
    for _ in range(3):
        module(torch.randn(2, 6, 20, 13) + 1)
    for norm in (module.large_norm, module.small_norm):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    before = copy.deepcopy(module.eval().state_dict())
    merged = module.merged()
    x = torch.randn(2, 6, 20, 13)
    with torch.no_grad():
        torch.testing.assert_close(merged(x), module(x), atol=1e-5, rtol=1e-5)
    assert sum(p.numel() for p in merged.parameters()) == 6 * kernel * kernel + 6
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_impossible_kernels_are_refused() -> None:
    with pytest.raises(ValueError, match="a kernel of 20 pixels has no middle"):
        DepthwiseConv2d(4, 20)
    with pytest.raises(ValueError, match=r"the small kernel \(21\) must be smaller"):
        ReparameterizedConv(4, 21, 21)
