"""The 2-D selective scan (SS2D, vision Mamba): a recurrence reads the pixels of a map in four orders.

Liu et al., VMamba, NeurIPS 2024, arXiv 2401.10166, with the recurrence of Gu & Dao, Mamba, arXiv 2312.00752. Per direction k and
pixel, with x a pixel's D = ratio·C features:

    (δ, B, C) = W_k x,   Δ = softplus(V_k δ + v_k),   h ← exp(Δ·A_k) ⊙ h + Δ·x·B,   y_k = C·h + D_k x

then y = LayerNorm(Σ_k y_k), where every y_k is laid back onto the map. Maps are channels-last inside, which is the order in
which linear layers, depthwise convolutions and the scan are fast.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.nn.cross_scan import DIRECTIONS, cross_merge, cross_scan
from delineate.nn.large_kernel import DepthwiseConv2d
from delineate.nn.selective_scan import selective_scan

__all__ = ["SS2D"]

_STEP_RANGE = (1e-3, 1e-1)
"""Steps Δ at the start of training are log-uniform between these (Gu & Dao, section 3.6 and their code)."""
_SMALLEST_STEP = 1e-4


class SS2D(nn.Module):
    """in_proj → SiLU(depthwise conv) → four scans, merged → LayerNorm → · SiLU(z) → out_proj. B×C×H×W → the same shape.

    Any memory order in, channels-last out. The scan, the merge and LayerNorm are in float32 at least, also in mixed precision.

    Parameters of the scan are raw tensors, so that an initialization of all `nn.Linear` does not change them. Weight decay must
    leave out `dt_bias` (4·D), `D` (4·D) and `A_log` (4·D·N, features slowest; A = −exp(A_log)): they have one dimension, by which
    the engine tells them.

    Args:
        width: C, channels of the map.
        state: N, states for each feature.
        ratio: D / C, inner width.
        rank: Of δ; None: ⌈C / 16⌉.
        conv: Depthwise convolution before the scan; false: SiLU alone.
        gate: Multiply the result by SiLU(z), with z from `in_proj`.
        kernel: Side of the depthwise convolution in pixels, odd.
        backend: As for `selective_scan`.

    Raises:
        ValueError: The kernel is even, or a size is below 1.

    Example:
        >>> from delineate.nn.ss2d import SS2D
        >>> SS2D(16, state=4)(torch.rand(2, 16, 8, 8)).shape
        torch.Size([2, 16, 8, 8])
    """

    def __init__(
        self,
        width: int,
        *,
        state: int = 16,
        ratio: float = 2.0,
        rank: int | None = None,
        conv: bool = True,
        gate: bool = True,
        kernel: int = 3,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        inner = int(ratio * width)
        rank = math.ceil(width / 16) if rank is None else rank
        if min(width, state, inner, rank) < 1:
            raise ValueError(f"width {width}, state {state}, inner width {inner} and rank {rank} must be at least 1")
        self.sizes = [rank, state, state]
        """Of δ, B and C."""
        self.backend = backend
        self.in_proj = nn.Linear(width, inner * (2 if gate else 1), bias=False)
        self.conv = DepthwiseConv2d(inner, kernel, bias=True) if conv else nn.Identity()
        self.x_proj = nn.Parameter(torch.empty(DIRECTIONS, rank + 2 * state, inner))
        self.dt_proj = nn.Parameter(torch.empty(DIRECTIONS, inner, rank))
        self.dt_bias = nn.Parameter(torch.empty(DIRECTIONS * inner))
        self.A_log = nn.Parameter(torch.empty(DIRECTIONS * inner * state))
        self.D = nn.Parameter(torch.ones(DIRECTIONS * inner))
        self.norm = nn.LayerNorm(inner)
        self.out_proj = nn.Linear(inner, width, bias=False)
        self.gate = gate
        self._initialize()

    @torch.no_grad()
    def _initialize(self) -> None:
        """Gu & Dao: projections as linear layers are, A_n = −n, D = 1, steps log-uniform (`dt_bias` is softplus⁻¹ of them)."""
        for weight in (self.x_proj, self.dt_proj):
            nn.init.uniform_(weight, -(weight.shape[2] ** -0.5), weight.shape[2] ** -0.5)
        low, high = (math.log(step) for step in _STEP_RANGE)
        step = torch.empty_like(self.dt_bias).uniform_(low, high).exp_().clamp_(min=_SMALLEST_STEP)
        self.dt_bias.copy_(step + torch.log(-torch.expm1(-step)))
        state = self.sizes[1]
        self.A_log.view(-1, state).copy_(torch.arange(1, state + 1).log())

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        features = self.in_proj(x.permute(0, 2, 3, 1))
        features, z = features.chunk(2, 3) if self.gate else (features, None)
        features = F.silu(self.conv(features.permute(0, 3, 1, 2)))
        merged = cross_merge(self._scan(cross_scan(features)), height, width).permute(0, 2, 3, 1)
        # The scan gives single precision; a network in half precision (an exported one) normalizes in its own.
        y = self.norm(merged.to(self.norm.weight.dtype)).to(features.dtype)
        if z is not None:
            y = y * F.silu(z)
        return self.out_proj(y).permute(0, 3, 1, 2)

    def _scan(self, sequences: Tensor) -> Tensor:
        """B×4×D×L → the same shape, in float32 at least."""
        steps = sequences.permute(0, 3, 1, 2)
        projected = torch.einsum("blkd,krd->blkr", steps, self.x_proj)
        delta, b, c = torch.split(projected, self.sizes, 3)
        delta = torch.einsum("blkr,kdr->blkd", delta, self.dt_proj)
        y = selective_scan(
            sequences.flatten(1, 2),
            delta.flatten(2).transpose(1, 2),
            -torch.exp(self.A_log).view(-1, self.sizes[1]),
            b.permute(0, 2, 3, 1),
            c.permute(0, 2, 3, 1),
            self.D,
            delta_bias=self.dt_bias,
            softplus=True,
            backend=self.backend,
            check=False,
        )
        return y.view(sequences.shape)
