"""The selective scan as its definition says: the reference that all others are tested against.

    Δ_t = softplus(δ_t + bias),   h_t = exp(Δ_t A) h_{t−1} + Δ_t u_t B_t,   y_t = C_t · h_t + D u_t,   h_0 = 0

(Gu & Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023, Algorithm 2 and equations 2a–2b, with
the input discretized as Δ B as in the authors' code). One step after another, gradients by autograd: short, and slow.
"""

# ruff: noqa: N803, N806

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["discretize", "scan"]


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
    """As `Backend`."""
    decay, step_input, readout = discretize(u, delta, A, B, C, delta_bias, softplus)
    state = torch.zeros_like(step_input[0])
    outputs = []
    # unbind, not an index per step: the gradient of each index would be as large as the whole.
    for a, b, c in zip(decay.unbind(), step_input.unbind(), readout.unbind(), strict=True):
        state = a * state + b
        outputs.append((state * c).sum(-1))
    y = torch.stack(outputs, -1).flatten(1, 2)
    return (y if D is None else y + D[:, None] * u), state.flatten(1, 2)


def discretize(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, delta_bias: Tensor | None, softplus: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """exp(Δ A) and Δ u B, each L × Batch × K × D × N, and C as L × Batch × K × 1 × N."""
    groups = B.shape[1]
    delta = delta if delta_bias is None else delta + delta_bias[:, None]
    delta = F.softplus(delta) if softplus else delta
    u, delta = (torch.unflatten(x, 1, (groups, -1)).permute(3, 0, 1, 2)[..., None] for x in (u, delta))
    B, C = (x.permute(3, 0, 1, 2)[..., None, :] for x in (B, C))
    return torch.exp(delta * torch.unflatten(A, 0, (groups, -1))), delta * u * B, C
