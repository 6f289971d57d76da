"""Four sequences of a map: their order, and that scanning and merging are each other's adjoint."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from delineate.nn.cross_scan import cross_merge, cross_scan

sides = st.integers(1, 7)


def gradient_through_plain_operations(x: Tensor, upstream: Tensor) -> Tensor:
    """The gradient in x of four sequences that are built from flatten, transpose and flip alone."""
    rows, columns = x.flatten(2), x.transpose(2, 3).flatten(2)
    plain = torch.stack((rows, columns, rows.flip(2), columns.flip(2)), 1)
    return torch.autograd.grad(plain, x, upstream)[0]


def test_the_order_of_the_four():
    image = torch.arange(6.0).view(1, 1, 2, 3)
    assert cross_scan(image)[0, :, 0].tolist() == [
        [0, 1, 2, 3, 4, 5],
        [0, 3, 1, 4, 2, 5],
        [5, 4, 3, 2, 1, 0],
        [5, 2, 4, 1, 3, 0],
    ]


@settings(max_examples=25, deadline=None)
@given(batch=st.integers(1, 3), height=sides, width=sides, last=st.booleans(), seed=st.integers(0, 99))
def test_each_is_the_adjoint_of_the_other(batch, height, width, last, seed):
    """In values, <scan x, y> = <x, merge y>, and in what autograd makes of them; for any memory order."""
    torch.manual_seed(seed)
    x = torch.randn(batch, 5, height, width, dtype=torch.double)
    y = torch.randn(batch, 4, 5, height * width, dtype=torch.double)
    if last:
        x, y = x.to(memory_format=torch.channels_last), y.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    x.requires_grad_()
    scanned = cross_scan(x)
    torch.testing.assert_close((scanned * y).sum(), (x * cross_merge(y, height, width)).sum())
    torch.testing.assert_close(cross_merge(scanned, height, width), 4 * x)
    (gradient,) = torch.autograd.grad(scanned, x, y)
    torch.testing.assert_close(gradient, gradient_through_plain_operations(x, y))


def test_a_transposed_image_swaps_rows_with_columns():
    image = torch.randn(2, 3, 4, 5)
    assert cross_scan(image.transpose(2, 3)).equal(cross_scan(image)[:, [1, 0, 3, 2]])


def test_gradients_of_both_orders():
    x = torch.randn(1, 2, 3, 2, dtype=torch.double, requires_grad=True)
    y = torch.randn(1, 4, 2, 6, dtype=torch.double, requires_grad=True)
    for function, argument in ((cross_scan, x), (lambda y: cross_merge(y, 3, 2), y)):
        assert torch.autograd.gradcheck(function, (argument,))
        assert torch.autograd.gradgradcheck(lambda z, function=function: function(z) ** 2, (argument,))


def test_sequences_are_time_major():
    x = torch.randn(2, 3, 4, 5)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        scanned = cross_scan(x.to(memory_format=memory_format))
        assert scanned.permute(0, 3, 1, 2).is_contiguous()
        assert cross_merge(scanned, 4, 5).is_contiguous(memory_format=torch.channels_last)


class RoundTrip(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return cross_merge(torch.sin(cross_scan(x)), *x.shape[2:])


def test_compiles_and_exports():
    torch.manual_seed(0)
    x = torch.randn(1, 3, 4, 5, requires_grad=True)
    wanted = RoundTrip()(x)
    compiled = torch.compile(RoundTrip(), backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), wanted)
    (gradient,) = torch.autograd.grad(compiled(x).square().sum(), x)
    torch.testing.assert_close(gradient, torch.autograd.grad(wanted.square().sum(), x)[0])
    sizes = {"x": {2: torch.export.Dim("height", min=2), 3: torch.export.Dim("width", min=2)}}
    exported = torch.export.export(RoundTrip(), (x.detach(),), dynamic_shapes=sizes).module()
    other = torch.randn(1, 3, 7, 6)
    torch.testing.assert_close(exported(other), RoundTrip()(other))


@pytest.mark.parametrize("shape", [(1, 3, 2, 6), (1, 4, 2, 5)])
def test_wrong_sequences_are_named(shape):
    with pytest.raises(ValueError, match="are not four of 2×3 pixels"):
        cross_merge(torch.zeros(shape), 2, 3)
