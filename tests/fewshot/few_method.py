"""A few-shot method that learns: mean prototypes over one small convolution. For tests of what trains methods by their contract."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from delineate.methods.contract import Batch, Context, MethodInfo, MethodOptions, Panel, Stage
from delineate.methods.episodic import EpisodicBatch, EpisodicMethod, State, expand


class Few(EpisodicMethod):
    info = MethodInfo(name="few", title="Few", paper="none", year=2024, min_size=1)
    Options = MethodOptions

    def __init__(self, options: MethodOptions, *, classes: int, in_channels: int) -> None:
        super().__init__(options, classes=classes, in_channels=in_channels)
        self.features = nn.Sequential(nn.Conv2d(in_channels, 8, 3, padding=1), nn.BatchNorm2d(8))
        self.slope = nn.Parameter(torch.tensor(1.0))

    def load_pretrained(self) -> None:
        pass

    def stages(self) -> tuple[Stage, ...]:
        return (Stage("train", source="episodes"),)

    def condition(self, support_image: Tensor, support_mask: Tensor) -> State:
        features = self.features(support_image.flatten(0, 1)).unflatten(0, support_mask.shape[:2])

        def mean(wanted: Tensor) -> Tensor:
            weight = wanted[:, :, None].to(features)
            return (features * weight).sum((1, 3, 4)) / weight.sum((1, 3, 4)).clamp(min=1)

        return {"foreground": mean(support_mask == 1), "background": mean(support_mask == 0)}

    def forward(self, image: Tensor, state: State) -> Tensor:
        kept, features = expand(state, len(image)), self.features(image)
        near = {name: (features - value[:, :, None, None]).square().mean(1, True) for name, value in kept.items()}
        return self.slope * (near["background"] - near["foreground"])

    def objective(self, batch: EpisodicBatch, ctx: Context) -> dict[str, Tensor]:
        logits = self(batch["image"], self.condition(batch["support_image"], batch["support_mask"]))
        seen = (batch["mask"] != 255).to(logits)
        loss = nn.functional.binary_cross_entropy_with_logits(
            logits[:, 0], (batch["mask"] == 1).to(logits), weight=seen
        )
        if self.training:  # so that a resumed run must draw the same numbers
            loss = loss * (0.9 + 0.2 * torch.rand((), generator=ctx.generator, device=loss.device))
        return {"bce": loss}

    def deploy(self) -> nn.Module:
        return copy.deepcopy(self).eval()

    def panels(self, batch: Batch) -> dict[str, Panel]:
        state = self.condition(batch["support_image"], batch["support_mask"])  # type: ignore[typeddict-item]
        return {"foreground": Panel("heat", self(batch["image"], state).sigmoid())}
