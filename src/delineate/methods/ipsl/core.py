"""The network of IPSL: the state that is kept of a support, and how a query is segmented by it, step by step."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.methods.episodic import EpisodicModule, State, expand
from delineate.methods.ipsl.interaction import (
    Interaction,
    confident,
    mean_prototypes,
    nearest_scores,
    peak_prototypes,
)
from delineate.methods.ipsl.levels import Features, Levels, Maps
from delineate.methods.ipsl.options import IPSLOptions
from delineate.methods.ipsl.self_learning import Completion, self_learned
from delineate.nn.blocks import resize
from delineate.nn.losses import IGNORE
from delineate.nn.precision import without_autocast
from delineate.nn.prototypes import cosine_scores, prior_map, resize_mask

__all__ = ["SCALE", "IPSLNetwork", "Segmentation", "Support"]

SCALE = 20.0
"""Factor on cosines (Wang et al., PANet, ICCV 2019)."""


class Support(NamedTuple):
    """`maps` B×K×C×h×w each; `weights` B×2×K×h×w in [0, 1]: how much of a cell is background, foreground (ignored: neither)."""

    maps: Maps
    weights: Tensor


class Segmentation(NamedTuple):
    """The segmentation of N queries, with its intermediate results."""

    steps: dict[str, Tensor]
    """Logits N×1×h×w by name, in the order in which they arise: "coarse" by the support's prototypes; "interactive" by those
    of both images; "refined" by the query's own. Only those there are; the last guides the final mask."""
    final: Tensor
    """Logits N×1×H×W."""
    guidance: Tensor
    """From the peaks, N×2×h×w in [0, 1]: prior map, probability by peak prototypes. N×0×h×w without a high level."""
    maps: Maps
    prototypes: Maps
    """The query's own, N×2×C each, background first."""


class IPSLNetwork(EpisodicModule):
    """State: "mean" and "peak" prototypes B×2×C; for the peaks also "high" B×K×C×h×w and "weights" B×2×K×h×w."""

    def __init__(self, options: IPSLOptions, *, in_channels: int) -> None:
        super().__init__()
        self.options = options
        has_peak, is_fused = options.peak != "none", options.prototypes == "fused"
        self.levels = Levels(
            options.encoder,
            in_channels=in_channels,
            output_stride=options.output_stride,
            normalize=options.normalize,
            width=options.width,
            mean=options.mean,
            peak=has_peak,
            encode_decode=options.encode_decode,
            bottleneck_attention=options.bottleneck_attention,
        )
        self.own = "mean" if options.mean else "peak"
        """The level on which the query learns from itself."""
        self.learns = is_fused and options.self_learning.enabled
        kinds = [kind for kind, there in (("mean", options.mean), ("peak", has_peak)) if there]
        if len(kinds) == 2:
            self.balance = nn.Parameter(torch.zeros(()))
        if is_fused and options.interaction != "none":
            self.interaction = nn.ModuleDict(
                {
                    kind: Interaction(options.width, heads=options.heads, attention=options.interaction == "attention")
                    for kind in kinds
                }
            )
        self.completion = Completion(
            options.width,
            guidance=2 if has_peak else 0,
            low_channels=self.levels.low_channels if options.low_level else 0,
            low_width=options.low_width,
            width=options.decoder_width,
            separated=options.self_learning.enabled,
            residual=options.residual,
        )

    def condition(self, support_image: Tensor, support_mask: Tensor) -> State:
        return self.state(self.support(self.levels(support_image.flatten(0, 1)), support_mask))

    def forward(self, image: Tensor, state: State) -> Tensor:
        return self.segment(self.levels(image), state, image.shape[-2:]).final

    def support(self, features: Features, mask: Tensor) -> Support:
        """Features of B·K images and their masks B×K×H×W."""
        return Support(
            {kind: x.view(*mask.shape[:2], *x.shape[1:]) for kind, x in features.maps.items()},
            self.weights(features.maps, mask),
        )

    def weights(self, maps: Maps, mask: Tensor) -> Tensor:
        """Long B×K×H×W → B×2×K×h×w in [0, 1]: how much of a cell of the maps is background, foreground (ignored: neither)."""
        size = mask.shape[-2:]
        right, below = (large - small for large, small in zip(self.levels.padded(size)[::-1], size[::-1], strict=True))
        mask = F.pad(mask, (0, right, 0, below), value=IGNORE)
        grid = next(iter(maps.values())).shape[-2:]
        return torch.stack([resize_mask(mask, grid, label=label) for label in (0, 1)], 1)

    def state(self, support: Support) -> dict[str, Tensor]:
        """What queries need of it."""
        state = self._pooled(support.maps, support.weights, support.weights)
        if "peak" in state:
            state |= {"high": support.maps["peak"], "weights": support.weights}
        return state

    def segment(
        self, features: Features, state: State, size: tuple[int, ...], reference: Tensor | None = None
    ) -> Segmentation:
        """N queries, whose images are of this height and width, by the state of N episodes or of one. `reference`: the masks
        N×H×W from which the queries' prototypes are taken; None: from the coarse ones."""
        low, maps = features
        known = None if reference is None else self.weights(maps, reference[:, None])[:, :, 0]
        with without_autocast(low.device.type):
            steps, guidance, prototypes = self._match(maps, expand(state, low.shape[0]), known)
        last = list(steps.values())[-1]
        final = self.completion(maps[self.own], last, guidance, low)
        return Segmentation(steps, self.enlarged(final, size), guidance, maps, prototypes)

    def query_prototypes(self, maps: Maps, probability: Tensor, known: Tensor | None = None) -> Maps:
        """Prototypes of the query's confident pixels, weighted by the probability N×h×w of the foreground.

        `known`: how much of a cell is background, foreground, N×2×h×w. Classes that a query has are then pooled by this.
        """
        options = self.options.self_learning
        background = confident(1 - probability, options.background, options.fallback)
        foreground = confident(probability, options.foreground, options.fallback)
        both, is_sure = torch.stack((1 - probability, probability), 1), torch.stack((background, foreground), 1).float()
        if known is None:
            return self._pooled(maps, both * is_sure, is_sure)
        has = known.flatten(2).any(2)[:, :, None, None]
        return self._pooled(maps, torch.where(has, known, both * is_sure), torch.where(has, known, is_sure))

    def segment_support(self, support: Support, prototypes: Maps) -> Tensor:
        """The support by prototypes of the query, B×2×C each: logits (B·K)×1×h×w."""
        shots = support.weights.shape[2]
        maps = {kind: x.flatten(0, 1) for kind, x in support.maps.items()}
        return _logit(self._scores(maps, {kind: p.repeat_interleave(shots, 0) for kind, p in prototypes.items()}))

    def enlarged(self, logits: Tensor, size: tuple[int, ...]) -> Tensor:
        """Maps N×C×h×w, bilinear at the size of the images that they are of, N×C×H×W; what is padding is cut off."""
        height, width = size
        return resize(logits, self.levels.padded(size))[..., :height, :width]

    def _match(self, maps: Maps, state: State, known: Tensor | None) -> tuple[dict[str, Tensor], Tensor, Maps]:
        dense = nearest_scores(maps["peak"], state["high"], state["weights"], SCALE) if self._dense else None
        steps = {"coarse": _logit(self._scores(maps, state, dense))}
        own = self.query_prototypes(maps, torch.sigmoid(steps["coarse"][:, 0]), known)
        given: Maps = {kind: state[kind] for kind in maps}
        if hasattr(self, "interaction"):
            given = {kind: self.interaction[kind](state[kind], own[kind]) for kind in maps}
            steps["interactive"] = _logit(self._scores(maps, given, dense))
        if self.learns:
            probability = torch.sigmoid(list(steps.values())[-1][:, 0])
            steps["refined"] = self_learned(maps[self.own], given[self.own], probability, self.options.self_learning)
        return steps, self._guidance(maps, state, dense), own

    @property
    def _dense(self) -> bool:
        return self.options.peak == "dense"

    def _scores(self, maps: Maps, prototypes: State, dense: Tensor | None = None) -> Tensor:
        """20·(λ·cos to the mean prototype + (1 − λ)·cos to the peak prototype) of both classes: N×2×h×w. `dense`: scores of
        the support's nearest pixels, which count beside the peak prototype."""
        each = {kind: cosine_scores(x, prototypes[kind], SCALE) for kind, x in maps.items()}
        if dense is not None:
            each["peak"] = torch.maximum(each["peak"], dense)
        if len(each) == 1:
            return next(iter(each.values()))
        share = torch.sigmoid(self.balance)
        return share * each["mean"] + (1 - share) * each["peak"]

    def _guidance(self, maps: Maps, state: State, dense: Tensor | None) -> Tensor:
        if "peak" not in maps:
            reference = maps["mean"]
            return reference.new_zeros(reference.shape[0], 0, *reference.shape[2:])
        prior = prior_map(maps["peak"], state["high"], state["weights"][:, 1])
        scores = self._scores({"peak": maps["peak"]}, state, dense)
        return torch.cat((prior, torch.sigmoid(_logit(scores))), 1)

    def _pooled(self, maps: Maps, weights: Tensor, masks: Tensor) -> Maps:
        """Prototypes of both classes by kind: means by `weights`, peaks of `masks`."""
        options = self.options
        found: Maps = {}
        if "mean" in maps:
            found["mean"] = mean_prototypes(maps["mean"], weights)
        if "peak" in maps:
            found["peak"] = peak_prototypes(maps["peak"], masks, options.peak, options.peak_share)
        return found


def _logit(scores: Tensor) -> Tensor:
    """Foreground's minus background's score: the logit of a softmax of both. N×2×h×w → N×1×h×w."""
    return scores[:, 1:] - scores[:, :1]
