"""SS2D against its formulas written out, direction by direction and step by step."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from delineate.nn.ss2d import SS2D


def made(width: int = 6, **options: Any) -> SS2D:
    """In float64 and with a norm that does something."""
    torch.manual_seed(0)
    module = SS2D(width, **{"state": 3, **options}).double()
    for parameter in (module.norm.weight, module.norm.bias, module.D):
        torch.nn.init.normal_(parameter)
    return module


def order(direction: int, height: int, width: int) -> list[tuple[int, int]]:
    """The pixels (row, column) of a direction, in turn."""
    rows = [(i, j) for i in range(height) for j in range(width)]
    columns = [(i, j) for j in range(width) for i in range(height)]
    return [rows, columns, rows[::-1], columns[::-1]][direction]


def literal(module: SS2D, image: Tensor) -> Tensor:
    """One image C×H×W, pixel by pixel."""
    _, height, width = image.shape
    rank, state, _ = module.sizes
    features = torch.einsum("chw,dc->dhw", image, module.in_proj.weight)
    inner = module.D.shape[0] // 4
    x, z = features[:inner], features[inner:]
    if hasattr(module.conv, "weight"):
        reach = module.conv.weight.shape[-1] // 2
        x = F.conv2d(x, module.conv.weight, module.conv.bias, padding=reach, groups=inner)
    x = x * torch.sigmoid(x)
    summed = torch.zeros_like(x)
    for k in range(4):
        rate = -module.A_log.view(4, inner, state)[k].exp()
        bias, skip = module.dt_bias.view(4, inner)[k], module.D.view(4, inner)[k]
        h = x.new_zeros(inner, state)
        for i, j in order(k, height, width):
            pixel = x[:, i, j]
            projected = module.x_proj[k] @ pixel
            delta, b, c = projected[:rank], projected[rank : rank + state], projected[rank + state :]
            step = F.softplus(module.dt_proj[k] @ delta + bias)
            h = torch.exp(step[:, None] * rate) * h + (step * pixel)[:, None] * b
            summed[:, i, j] += h @ c + skip * pixel
    y = summed.permute(1, 2, 0)
    y = (y - y.mean(2, keepdim=True)) / (y.var(2, unbiased=False, keepdim=True) + module.norm.eps).sqrt()
    y = y * module.norm.weight + module.norm.bias
    if module.gate:
        y = y * F.silu(z).permute(1, 2, 0)
    return (y @ module.out_proj.weight.T).permute(2, 0, 1)


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({}, (3, 5)),
        ({"state": 1, "ratio": 1.0}, (4, 4)),
        ({"state": 16, "rank": 3}, (2, 3)),
        ({"conv": False}, (1, 7)),
        ({"gate": False, "kernel": 5}, (3, 2)),
        ({"conv": False, "gate": False}, (1, 1)),
    ],
)
def test_equals_the_formulas(options, size):
    module = made(**options)
    images = torch.randn(2, 6, *size, dtype=torch.double, requires_grad=True)
    wanted = torch.stack([literal(module, image) for image in images])
    found = module(images)
    torch.testing.assert_close(found, wanted)
    upstream = torch.randn_like(wanted)
    leaves = (images, *module.parameters())
    ours = torch.autograd.grad(found, leaves, upstream)
    for a, b in zip(ours, torch.autograd.grad(wanted, leaves, upstream), strict=True):
        torch.testing.assert_close(a, b)


def test_a_transposed_image_with_swapped_directions_gives_the_transposed_result():
    module, image = made(), torch.randn(1, 6, 4, 5, dtype=torch.double)
    wanted = module(image)
    with torch.no_grad():
        for parameter in (module.x_proj, module.dt_proj, module.dt_bias, module.A_log, module.D):
            by_direction = parameter.view(4, -1)
            by_direction.copy_(by_direction[[1, 0, 3, 2]])
        module.conv.weight.copy_(module.conv.weight.transpose(2, 3).clone())
    torch.testing.assert_close(module(image.transpose(2, 3)), wanted.transpose(2, 3))


def test_memory_order_does_not_matter():
    module, image = made(), torch.randn(2, 6, 5, 4, dtype=torch.double)
    torch.testing.assert_close(module(image.to(memory_format=torch.channels_last)), module(image))
    assert module(image).is_contiguous(memory_format=torch.channels_last)


def test_under_autocast_the_scan_and_the_norm_are_in_float32():
    torch.manual_seed(0)
    module, seen = SS2D(16), []
    module.norm.register_forward_pre_hook(lambda _, given: seen.append(given[0].dtype))
    image = torch.randn(1, 16, 7, 9, requires_grad=True)
    wanted = module(image)
    with torch.autocast("cpu", torch.bfloat16):
        found = module(image)
    assert found.dtype == torch.bfloat16
    assert seen == [torch.float32] * 2
    torch.testing.assert_close(found.float(), wanted, atol=0.05, rtol=0.05)
    found.float().square().sum().backward()
    assert image.grad is not None
    assert all(x.grad is not None and x.grad.isfinite().all() for x in (image, *module.parameters()))


def test_in_half_precision_the_scan_is_in_float32_and_the_rest_in_half():
    x = torch.randn(1, 6, 5, 4)
    module = made().float()
    expected = module(x)
    found = module.half()(x.half())
    assert found.dtype == torch.float16
    torch.testing.assert_close(found.float(), expected, atol=5e-3 * float(expected.abs().max()), rtol=0)


def test_how_it_begins():
    """Steps log-uniform in [0.001, 0.1], A = −1 … −N; and weight decay would spare what has one dimension."""
    torch.manual_seed(0)
    module = SS2D(64, state=5)
    steps = F.softplus(module.dt_bias)
    assert steps.min() >= 0.99e-3
    assert steps.max() <= 0.101
    assert steps.log().mean().item() == pytest.approx(math.log(1e-2), abs=0.3)
    assert module.A_log.exp().view(-1, 5)[7].tolist() == pytest.approx([1, 2, 3, 4, 5])
    assert all(x.ndim == 1 for x in (module.A_log, module.D, module.dt_bias))
    assert module.dt_proj.shape == (4, 128, 4)
    assert module.dt_proj.abs().max() <= 0.5


def test_exports():
    module = SS2D(4, state=2).eval()
    exported = torch.export.export(module, (torch.randn(1, 4, 5, 6),)).module()
    image = torch.randn(1, 4, 5, 6)
    torch.testing.assert_close(exported(image), module(image), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"), [({"kernel": 4}, "4"), ({"rank": 0}, "rank 0"), ({"ratio": 0.1}, "inner width 0")]
)
def test_sizes_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        SS2D(6, **options)
