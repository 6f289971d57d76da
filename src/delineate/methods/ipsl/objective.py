"""The loss of IPSL: the final mask, the intermediate masks, the support by the query's prototypes, contrast."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from delineate.methods.episodic import EpisodicBatch
from delineate.methods.ipsl.core import IPSLNetwork, Support
from delineate.methods.ipsl.interaction import contrast, unit
from delineate.methods.ipsl.options import IPSLLossOptions
from delineate.nn.losses import cross_entropy, dice

__all__ = ["Auxiliary", "terms"]

_STEP_TERMS = ("coarse", "interactive", "refined")


class Auxiliary(nn.Module):
    """A head for training alone, which keeps high features semantic: 1×1 convolution of 20·f̂ ⊙ (p̂_fg − p̂_bg).

    B×C×h×w and peak prototypes B×2×C → logits B×1×h×w. It starts as the difference of both cosines and learns how much each
    channel counts. A head on features alone could not know which region an episode calls foreground.
    """

    def __init__(self, channels: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.weigh = nn.Conv2d(channels, 1, 1)
        nn.init.ones_(self.weigh.weight)
        nn.init.zeros_(self.weigh.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor, peaks: Tensor) -> Tensor:
        background, foreground = unit(peaks, 2).unbind(1)
        logits: Tensor = self.weigh(self.scale * unit(features, 1) * (foreground - background)[:, :, None, None])
        return logits


def terms(
    core: IPSLNetwork, auxiliary: Auxiliary | None, batch: EpisodicBatch, options: IPSLLossOptions
) -> dict[str, Tensor]:
    """The terms by name, each times its weight: means over episodes; of the support over all its shots."""
    query, shots = batch["mask"], batch["support_mask"].flatten(0, 1)

    def masked(logits: Tensor, mask: Tensor) -> Tensor:
        return cross_entropy(core.enlarged(logits, mask.shape[-2:]), mask, class_weights=options.class_weights)

    # One pass for all images, so that batch normalization sees support and query alike.
    features = core.levels(torch.cat((batch["support_image"].flatten(0, 1), batch["image"])))
    support_features, query_features = features.split(len(shots))
    support = core.support(support_features, batch["support_mask"])
    state = core.state(support)
    # In validation the network is as it will be used: it does not know the query's mask.
    given = query if core.training and core.options.query_prototypes == "reference" else None
    result = core.segment(query_features, state, query.shape[-2:], given)
    found = {
        "cross_entropy": options.cross_entropy * cross_entropy(result.final, query, class_weights=options.class_weights)
    }
    if options.dice:
        found["dice"] = options.dice * dice(result.final, query)
    for name, weight in zip(_STEP_TERMS, (options.coarse, options.interactive, options.refined), strict=True):
        if weight and name in result.steps:
            found[name] = weight * masked(result.steps[name], query)
    if options.alignment:
        found["alignment"] = options.alignment * masked(core.segment_support(support, result.prototypes), shots)
    if options.contrast:
        by_kind = [contrast(state[kind], own, options.temperature) for kind, own in result.prototypes.items()]
        found["contrast"] = options.contrast * (torch.stack(by_kind).sum(0) * _has_both(support)).mean()
    if auxiliary is not None:
        high, peaks = support.maps["peak"].flatten(0, 1), state["peak"]
        of_shots = auxiliary(high, peaks.repeat_interleave(support.weights.shape[2], 0))
        found["auxiliary"] = options.auxiliary / 2 * masked(auxiliary(result.maps["peak"], peaks), query)
        found["auxiliary_support"] = options.auxiliary / 2 * masked(of_shots, shots)
    return found


def _has_both(support: Support) -> Tensor:
    """1 for episodes whose support shows foreground and background, else 0: without one there is nothing to tell apart."""
    return (support.weights.flatten(2).sum(2) > 0).all(1).float()
