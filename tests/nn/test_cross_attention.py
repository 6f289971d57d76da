from __future__ import annotations

import pytest
import torch

from delineate.nn.cross_attention import CrossAttention


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("scaled", [True, False])
def test_equals_the_formula(heads: int, scaled: bool) -> None:
    torch.manual_seed(0)
    layer = CrossAttention(8, heads=heads, scaled=scaled)
    x, context = torch.randn(2, 2, 3, 5, 8)
    attended, queries = layer(x, context)
    q, k, v = layer.query(x), layer.key(context), layer.value(context)
    assert torch.equal(queries, q)
    width = 8 // heads
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        products = torch.einsum("bhwc,bijc->bhwij", q[..., part], k[..., part]) * (width**-0.5 if scaled else 1)
        weights = products.flatten(3).softmax(3).view_as(products)
        expected = torch.einsum("bhwij,bijc->bhwc", weights, v[..., part])
        assert torch.allclose(attended[..., part], expected, atol=1e-5)


def test_a_context_without_differences_gives_its_value_everywhere() -> None:
    layer = CrossAttention(8)
    x, context = torch.randn(1, 4, 4, 8), torch.randn(8).expand(1, 6, 2, 8)
    attended, _ = layer(x, context)
    assert torch.allclose(attended, layer.value(context)[:, :1, :1].expand_as(attended), atol=1e-5)


@pytest.mark.parametrize("size", [(8, 8), (7, 5), (1, 1)])
def test_reduced_keys_take_any_size_and_see_the_whole_context(size: tuple[int, int]) -> None:
    layer = CrossAttention(8, heads=2, reduction=4)
    x, context = torch.randn(2, 2, *size, 8)
    context.requires_grad_()
    attended, _ = layer(x, context)
    assert attended.shape == x.shape
    (gradient,) = torch.autograd.grad(attended.square().sum(), context)
    if size != (1, 1):
        assert (gradient.abs().sum(3) > 0).all()


def test_heads_must_divide_the_channels() -> None:
    with pytest.raises(ValueError, match="8 channels cannot be divided among 3 heads"):
        CrossAttention(8, heads=3)
