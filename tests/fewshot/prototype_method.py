"""The smallest few-shot method that there can be: a pixel is foreground where its color is nearer to the support's foreground."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from delineate.methods.contract import Batch, Context, MethodInfo, MethodOptions, Panel
from delineate.methods.episodic import EpisodicBatch, EpisodicMethod, State, expand


class Prototype(EpisodicMethod):
    info = MethodInfo(name="prototype", title="Prototype", paper="none", year=2024, min_size=1)
    Options = MethodOptions

    def __init__(self, options: MethodOptions, *, classes: int, in_channels: int) -> None:
        super().__init__(options, classes=classes, in_channels=in_channels)
        self.slope = nn.Parameter(torch.tensor(40.0))

    def load_pretrained(self) -> None:
        pass

    def condition(self, support_image: Tensor, support_mask: Tensor) -> State:
        def mean(wanted: Tensor) -> Tensor:
            weight = wanted[:, :, None].to(support_image)
            return (support_image * weight).sum((1, 3, 4)) / weight.sum((1, 3, 4)).clamp(min=1)

        return {"foreground": mean(support_mask == 1), "background": mean(support_mask == 0)}

    def forward(self, image: Tensor, state: State) -> Tensor:
        kept = expand(state, len(image))
        near = {name: (image - value[:, :, None, None]).square().mean(1, keepdim=True) for name, value in kept.items()}
        return self.slope * (near["background"] - near["foreground"])

    def objective(self, batch: EpisodicBatch, ctx: Context) -> dict[str, Tensor]:
        logits = self(batch["image"], self.condition(batch["support_image"], batch["support_mask"]))
        return {"bce": nn.functional.binary_cross_entropy_with_logits(logits[:, 0], (batch["mask"] == 1).float())}

    def deploy(self) -> nn.Module:
        return copy.deepcopy(self).eval()

    def panels(self, batch: Batch) -> dict[str, Panel]:
        state = self.condition(batch["support_image"], batch["support_mask"])
        return {"prior": Panel("heat", self(batch["image"], state).sigmoid())}
