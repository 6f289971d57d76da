"""The selective scan as a tree: a logarithmic number of operations on whole tensors, for accelerators.

Two steps (a, b), (a', b') of h ← a h + b are one step (a' a, a' b + b'). So the steps are joined in pairs, the sequence of half
the length is scanned the same way, which gives every second state, and one more step gives the others (Blelloch, "Prefix
sums and their applications", 1990, section 1.4). Decays are only ever multiplied, and what underflows is 0, as it should be;
forms that divide by a product of decays overflow instead.

Plain tensor operations without a loop over L: exporters, `torch.compile` and autograd take it as it is. The states of all
steps are in memory at once, N times the size of u, a few times over.
"""

# ruff: noqa: N803

from __future__ import annotations

import torch
from torch import Tensor

from delineate.nn.selective_scan.sequential import discretize

__all__ = ["scan"]


def scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    softplus: bool,
) -> tuple[Tensor, Tensor]:
    """As `Backend`. L must be a number, not a symbol, where a graph is traced (`blocked` is for those)."""
    decay, step_input, readout = discretize(u, delta, A, B, C, delta_bias, softplus)
    states = _linear_recurrence(decay, step_input)
    y = (states * readout).sum(-1).flatten(2, 3).permute(1, 2, 0)
    return (y if D is None else y + D[:, None] * u), states[-1].flatten(1, 2)


def _linear_recurrence(a: Tensor, b: Tensor) -> Tensor:
    """h_t = a_t h_{t−1} + b_t along dimension 0 from h = 0: both L × …, L ≥ 1 → L × …."""
    length = len(a)
    if length == 1:
        return b + 0 * a  # so that A has a gradient, of zero, where L = 1
    pairs = length // 2
    first, second = slice(0, 2 * pairs, 2), slice(1, 2 * pairs, 2)
    odd = _linear_recurrence(a[second] * a[first], a[second] * b[first] + b[second])
    even = torch.cat([b[:1], a[2::2] * odd[: (length - 1) // 2] + b[2::2]])
    joined = torch.stack([even[:pairs], odd], 1).flatten(0, 1)
    return joined if length == 2 * pairs else torch.cat([joined, even[pairs:]])
