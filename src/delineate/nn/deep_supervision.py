"""Deep supervision: the loss is also taken of predictions at lower resolutions, against the mask at each resolution.

Lee et al.: "Deeply-supervised nets", AISTATS 2015; with the weights of Isensee et al., Nature Methods 2021: halved with
each halving of the resolution, and their sum is 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

__all__ = ["deep_supervision_loss", "level_weights", "subsampled"]


def level_weights(levels: int) -> tuple[float, ...]:
    """1, ½, ¼ … divided by their sum, finest first."""
    raw = [0.5**level for level in range(levels)]
    return tuple(weight / sum(raw) for weight in raw)


def deep_supervision_loss(
    logits: Sequence[Tensor], mask: Tensor, loss: Callable[[Tensor, Tensor], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """Weighted sums, term by term, of `loss(logits, mask)` over the levels.

    `logits`: B×K×H/2^l×W/2^l, finest first. `mask`: long B×H×W at the finest level's size, 255 = ignore (of regions
    B×K×H×W); coarser levels see every 2^l-th pixel of it.
    """
    total: dict[str, Tensor] = {}
    for level, (weight, level_logits) in enumerate(zip(level_weights(len(logits)), logits, strict=True)):
        for name, term in loss(level_logits, subsampled(mask, 2**level)).items():
            total[name] = total[name] + weight * term if name in total else weight * term
    return total


def subsampled(mask: Tensor, step: int) -> Tensor:
    """Every `step`-th row and column of …×H×W, from the middle of each step×step square."""
    return mask[..., step // 2 :: step, step // 2 :: step]
