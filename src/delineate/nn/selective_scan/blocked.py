"""The selective scan for graphs that leave Python: a number of operations that does not depend on L, which may be a symbol.

The steps are cut into blocks of 8. Within the blocks, all at once, one step is taken after another from h = 0, and decays are
multiplied up (8 steps of three operations). What enters each block is a recurrence over blocks, h ← a h + b with a, b of whole
blocks: it is joined by doubling (Hillis & Steele, "Data parallel algorithms", CACM 1986), a few operations on an eighth of the
numbers. Then every state is its own plus its decay times what entered the block. Nothing is divided by a decay.
"""

# ruff: noqa: N803

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from delineate.nn.selective_scan.sequential import discretize

__all__ = ["LONGEST", "scan"]

_BLOCK = 8
_DOUBLINGS = 17
"""Where the number of blocks is a symbol; else as many as it needs."""
LONGEST = _BLOCK << _DOUBLINGS
"""Steps: as many pixels of the map that is scanned as 1024×1024."""


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
    """As `Backend`; at most `LONGEST` steps where L is a symbol."""
    decay, step_input, readout = discretize(u, delta, A, B, C, delta_bias, softplus)
    states = _linear_recurrence(decay, step_input)
    y = (states * readout).sum(-1).flatten(2, 3).permute(1, 2, 0)
    return (y if D is None else y + D[:, None] * u), states[-1].flatten(1, 2)


def _linear_recurrence(a: Tensor, b: Tensor) -> Tensor:
    """h_t = a_t h_{t−1} + b_t along dimension 0 from h = 0: both L × …, L ≥ 1 → L × …."""
    length = a.shape[0]
    blocks = (length + _BLOCK - 1) // _BLOCK
    # Steps that are added at the end change no state before them.
    padded = [_padded(x, 0, blocks * _BLOCK - length) for x in (a, b)]
    a, b = (torch.unflatten(x, 0, (-1, _BLOCK)) for x in padded)
    states, decays = ([x[:, step : step + 1] for step in range(_BLOCK)] for x in (b, a))
    for step in range(1, _BLOCK):
        states[step] = decays[step] * states[step - 1] + states[step]
        decays[step] = decays[step] * decays[step - 1]
    entering = _shifted(_joined(decays[-1], states[-1], blocks), 1)
    found = torch.cat(states, 1) + torch.cat(decays, 1) * entering
    return found.flatten(0, 1)[:length]


def _joined(a: Tensor, b: Tensor, blocks: int) -> Tensor:
    """The same recurrence over blocks, by doubling: after k rounds each state knows the last 2^k blocks."""
    rounds = (blocks - 1).bit_length() if isinstance(blocks, int) else _DOUBLINGS
    for number in range(rounds):
        b = b + a * _shifted(b, 1 << number)
        if number + 1 < rounds:
            a = a * _shifted(a, 1 << number)
    return b


def _shifted(x: Tensor, by: int) -> Tensor:
    """Moved on along dimension 0, zeros before it."""
    return _padded(x, by, 0)[: x.shape[0]]


def _padded(x: Tensor, before: int, behind: int) -> Tensor:
    return F.pad(x, (0, 0) * (x.ndim - 1) + (before, behind))
