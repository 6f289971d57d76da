"""Self-learning: the query's own pixels become prototypes, its two classes are separated, and low features refine the boundary."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.methods.contract import PAPER, READING
from delineate.methods.ipsl.interaction import INIT_STD, confident, unit
from delineate.nn.blocks import ConvBNAct, resize, resize_like
from delineate.nn.prototypes import cosine_scores, mean_prototype

__all__ = ["Completion", "SelfLearningOptions", "local_background", "self_learned"]

_LOCAL_SCALE = 2.0
"""Factor on the cosines of local background prototypes."""
_SECOND_MIX = (0.5, 0.2, 0.3)
"""Second pass: shares of the given, the first and the second prototypes."""
_SECOND_OUTPUT = 0.7
"""Share of the second pass in the output."""


class SelfLearningOptions(BaseModel):
    """How the query learns from itself. The numbers are those of Fan et al., SSP, ECCV 2022."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(
        True, description="prototypes of the query's own, and its classes separated", json_schema_extra=PAPER
    )
    foreground: float = Field(
        0.7,
        ge=0,
        lt=1,
        description="probability from which a pixel stands for the foreground",
        json_schema_extra=READING,
    )
    background: float = Field(0.6, ge=0, lt=1, description="the same for the background", json_schema_extra=READING)
    fallback: int = Field(12, ge=1, description="pixels taken where none is so probable", json_schema_extra=READING)
    support_share: float = Field(
        0.5, ge=0, le=1, description="share of the given prototype in the foreground's", json_schema_extra=READING
    )
    global_share: float = Field(
        0.3,
        ge=0,
        le=1,
        description="share of the mean in the background's prototype; the rest is local to each pixel",
        json_schema_extra=READING,
    )
    scale: float = Field(10.0, gt=0, description="factor on cosines", json_schema_extra=READING)
    passes: Literal[1, 2] = Field(1, description="2: learns from its own result once more", json_schema_extra=READING)


def self_learned(features: Tensor, given: Tensor, probability: Tensor, options: SelfLearningOptions) -> Tensor:
    """Logits B×1×h×w of the query by prototypes of its own.

    `features` B×C×h×w, `given` prototypes B×2×C (background first), `probability` B×h×w of the foreground. Foreground:
    FP = ½ given + ½ own mean. Background, for each pixel: BP = .3 own mean + .7 local mean. A second pass starts from the first
    one's result: prototypes .5 given + .2 first + .3 second, output .7 second + .3 first.
    """
    directions = unit(given, 2)
    first = _own(features, directions[:, 1], probability, options)
    logits = _logits(features, *first, options.scale)
    if options.passes == 1:
        return logits
    start = (directions[:, 1], directions[:, 0, :, None, None])
    second = _own(features, directions[:, 1], torch.sigmoid(logits[:, 0]), options)
    a, b, c = _SECOND_MIX
    foreground, background = (a * x + b * y + c * z for x, y, z in zip(start, first, second, strict=True))
    again = _logits(features, foreground, background, options.scale)
    return _SECOND_OUTPUT * again + (1 - _SECOND_OUTPUT) * logits


def _own(features: Tensor, given: Tensor, probability: Tensor, o: SelfLearningOptions) -> tuple[Tensor, Tensor]:
    """FP B×C and BP B×C×h×w."""
    inside = confident(probability, o.foreground, o.fallback)
    outside = confident(1 - probability, o.background, o.fallback)
    foreground = unit(mean_prototype(features, inside.float()), 1)
    background = unit(mean_prototype(features, outside.float()), 1)[:, :, None, None]
    local = local_background(features, outside)
    return (
        o.support_share * given + (1 - o.support_share) * foreground,
        o.global_share * background + (1 - o.global_share) * local,
    )


def local_background(features: Tensor, outside: Tensor) -> Tensor:
    """For each pixel the background that resembles it: Σ_x softmax_x(2·cos(F(q), F(x)))·F(x) over the pixels x of `outside`, of
    length 1. B×C×h×w and bool B×h×w (at least one pixel each) → B×C×h×w."""
    pixels = features.flatten(2).transpose(1, 2)
    directions = unit(pixels, 2)
    found = F.scaled_dot_product_attention(
        directions[:, None],
        directions[:, None],
        pixels[:, None],
        attn_mask=outside.flatten(1)[:, None, None],
        scale=_LOCAL_SCALE,
    )
    return unit(found[:, 0], 2).transpose(1, 2).view(features.shape)


def _logits(features: Tensor, foreground: Tensor, background: Tensor, scale: float) -> Tensor:
    """Difference of cosines: one foreground prototype B×C, a background prototype for each pixel B×C×h×w."""
    foreground_score = cosine_scores(features, foreground[:, None], scale)
    return foreground_score - scale * (unit(features, 1) * unit(background, 1)).sum(1, keepdim=True)


class Completion(nn.Module):
    """The final logits: features of each class by itself, what guides, and low features for the boundary.

    `separated`: F·Ŷ and F·(1 − Ŷ) through a light branch each; else F through one of both widths. Joined with the guidance,
    Ŷ and, where `low_channels` is not 0, the low features; two 3×3 convolutions, one 1×1. `residual`: the result is
    added to Ŷ's logits, and starts near 0.
    """

    def __init__(
        self,
        channels: int,
        *,
        guidance: int,
        low_channels: int,
        low_width: int,
        width: int,
        separated: bool,
        residual: bool,
    ) -> None:
        super().__init__()
        self.separated, self.residual = separated, residual
        light = max(1, channels // 4)
        self.branches = nn.ModuleList(
            ConvBNAct(channels, out) for out in ((light, light) if separated else (2 * light,))
        )
        if low_channels:
            self.low = nn.Conv2d(low_channels, low_width, 1)
        joined = 2 * light + guidance + 1 + (low_width if low_channels else 0)
        self.body = nn.Sequential(ConvBNAct(joined, width), ConvBNAct(width, width))
        self.head = nn.Conv2d(width, 1, 1)
        if residual:
            nn.init.normal_(self.head.weight, std=INIT_STD)
            nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor, logits: Tensor, guidance: Tensor, low: Tensor) -> Tensor:
        """B×C×h×w, B×1×h×w, B×G×h×w and low features B×C_l×H×W → logits B×1×H×W (without low features B×1×h×w)."""
        inside = torch.sigmoid(logits)
        shares = (inside, 1 - inside) if self.separated else (torch.ones_like(inside),)
        parts = [branch(features * share) for branch, share in zip(self.branches, shares, strict=True)]
        # Under autocast the branches are of half the precision that the maps have.
        joined = torch.cat([part.float() for part in (*parts, guidance, inside)], 1)
        if hasattr(self, "low"):
            fine = self.low(low)
            joined = torch.cat((resize_like(joined, fine), fine.float()), 1)
        result = self.head(self.body(joined)).float()
        return resize(logits, result.shape[-2:]) + result if self.residual else result
