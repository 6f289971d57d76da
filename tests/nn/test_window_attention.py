"""The 25-offset form against unfold → softmax → product → fold."""

from __future__ import annotations

from contextlib import ExitStack
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from delineate.nn import window_attention as room
from delineate.nn.window_attention import WindowAggregation, attention_rows, pixel_linear, planar_linear
from oracles.condseg_literal import window_attention


def literal(module: WindowAggregation, value: Tensor, guide: Tensor) -> tuple[Tensor, nn.Linear]:
    """The literal form's result with the module's weights, and the linear layer that holds them."""
    plain = nn.Linear(1, 1)
    back = attention_rows(module.heads).argsort()
    plain.weight, plain.bias = (nn.Parameter(x.detach()[back]) for x in (module.logits.weight, module.logits.bias))
    return window_attention(value, guide, plain, module.heads), plain


@settings(max_examples=25, deadline=None)
@given(
    batch=st.integers(1, 3),
    heads=st.sampled_from((1, 2, 4)),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    planar=st.booleans(),
    pixels_at_once=st.sampled_from((1, 100, 1 << 14)),
    heads_at_once=st.booleans(),
    seed=st.integers(0, 99),
)
def test_equals_the_literal_form(batch, heads, height, width, planar, pixels_at_once, heads_at_once, seed):
    """Outputs and gradients, however the work is divided."""
    torch.manual_seed(seed)
    module = WindowAggregation(8, 6, heads)
    value, guide = torch.randn(batch, 8, height, width), torch.randn(batch, 6, height, width)
    if planar:
        value = value.transpose(0, 1).contiguous().transpose(0, 1)
        guide = guide.to(memory_format=torch.channels_last)
    inputs = (value.requires_grad_(), guide.requires_grad_())
    theirs, plain = literal(module, value, guide)
    upstream = torch.randn_like(theirs)
    wanted = torch.autograd.grad(theirs, (*inputs, plain.weight, plain.bias), upstream)
    with ExitStack() as stack:
        stack.enter_context(patch.dict(room._PIXELS_AT_ONCE, {"cpu": pixels_at_once}))
        if heads_at_once:
            stack.enter_context(patch.object(room, "_head_groups", lambda planes: [slice(0, len(planes))]))
        ours = module(value, guide)
        mine = torch.autograd.grad(ours, (*inputs, module.logits.weight, module.logits.bias), upstream)
        with torch.no_grad():
            torch.testing.assert_close(module(value, guide), ours)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    rows = attention_rows(heads)
    for a, b in zip(mine, (*wanted[:2], *(x[rows] for x in wanted[2:])), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_gradcheck():
    torch.manual_seed(0)
    module = WindowAggregation(4, 3, 2).double()
    value = torch.randn(2, 4, 3, 4, dtype=torch.double, requires_grad=True)
    guide = torch.randn(2, 3, 3, 4, dtype=torch.double, requires_grad=True)
    parameters = module.logits.weight, module.logits.bias
    assert torch.autograd.gradcheck(
        lambda v, g, w, b: room.window_aggregate(v, g, w, b, 2), (value, guide, *parameters), fast_mode=True
    )


def test_bfloat16_autocast_stays_close():
    torch.manual_seed(0)
    module = WindowAggregation(16, 16, 4)
    value, guide = torch.randn(1, 16, 8, 8, requires_grad=True), torch.randn(1, 16, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        ours = module(value, guide)
    assert ours.dtype == torch.bfloat16
    torch.testing.assert_close(ours.float(), module(value, guide), atol=0.05, rtol=0.05)
    ours.float().sum().backward()
    assert value.grad is not None
    assert value.grad.dtype == torch.float32


def test_only_the_inputs_are_kept_for_the_backward_pass():
    module = WindowAggregation(8, 8, 2)
    value, guide = torch.randn(1, 8, 6, 6, requires_grad=True), torch.randn(1, 8, 6, 6)
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.data_ptr()) or x, lambda x: x):
        module(value, guide)
    inputs = {x.data_ptr() for x in (value, guide, module.logits.weight, module.logits.bias)}
    assert set(kept) <= inputs


def test_a_window_reaches_two_pixels_and_no_further():
    torch.manual_seed(0)
    module = WindowAggregation(4, 4, 1)
    value, guide = torch.randn(1, 4, 9, 9), torch.randn(1, 4, 9, 9)
    changed = value.clone()
    changed[..., 4, 4] += 1
    with torch.no_grad():
        moved = (module(value, guide) - module(changed, guide)).abs().amax(1)[0] > 0
    assert moved[2:7, 2:7].all()
    assert moved.sum() == 25


def test_linear_layers_per_pixel_keep_their_memory_order():
    layer, x = nn.Linear(3, 5), torch.randn(2, 3, 4, 6)
    wanted = layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    planar, pixel = planar_linear(x, layer), pixel_linear(x, layer)
    torch.testing.assert_close(planar, wanted)
    torch.testing.assert_close(pixel, wanted)
    assert planar.transpose(0, 1).is_contiguous()
    assert pixel.is_contiguous(memory_format=torch.channels_last)


def test_heads_must_divide_the_channels():
    with pytest.raises(ValueError, match="10 channels"):
        WindowAggregation(10, 8, 4)
