"""ALPNet, for training without labels (SSL-ALPNet): local prototypes keep details that one mean per class averages out.

Ouyang, Biffi, Chen, Kart, Qiu, Rueckert: "Self-supervision with superpixels: training few-shot medical image segmentation
without annotation", ECCV 2020, arXiv 2007.09886. Scores and losses equal those of the released code (MIT) to rounding.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from delineate.methods.alpnet.local import (
    Prototypes,
    Window,
    background_prototypes,
    clipped,
    foreground_prototypes,
    similarity,
)
from delineate.methods.contract import PAPER, MethodInfo
from delineate.methods.episodic import State
from delineate.methods.prototypical import PrototypicalMethod, PrototypicalOptions
from delineate.nn.prototypes import resize_mask

__all__ = ["ALPNet", "ALPNetOptions"]


class ALPNetOptions(PrototypicalOptions):
    """Options of ALPNet."""

    class_weights: tuple[float, float] = Field(
        (0.05, 1.0),
        description="of background and foreground in the query's cross-entropy",
        json_schema_extra=PAPER,
    )
    scale: float = Field(20.0, gt=0, description="factor on the cosines", json_schema_extra=PAPER)
    threshold: float = Field(
        0.95,
        ge=0,
        lt=1,
        description="share of a window that must be of the class, for its mean to be one of the class's prototypes",
        json_schema_extra=PAPER,
    )
    grid: int = Field(
        8, ge=1, description="training: windows along either side of the feature map", json_schema_extra=PAPER
    )
    window: int = Field(
        2, ge=1, description="inference: side of a window in pixels of the feature map", json_schema_extra=PAPER
    )


class ALPNet(PrototypicalMethod):
    """Foreground: local prototypes and the mean of each shot; background: local prototypes; prototype alignment."""

    info = MethodInfo(
        name="alpnet",
        title="SSL-ALPNet",
        paper="Ouyang, Biffi, Chen, Kart, Qiu, Rueckert: Self-supervision with superpixels: training few-shot medical image "
        "segmentation without annotation, ECCV 2020, arXiv 2007.09886",
        year=2020,
        min_size=32,
        license_note="Written anew; checked against the released code (MIT), of which nothing is contained.",
        checkpoint_modules=("features",),
    )
    Options = ALPNetOptions
    options: ALPNetOptions

    def on_grid(self, mask: Tensor, size: torch.Size) -> tuple[Tensor, Tensor]:
        return resize_mask(mask, size), resize_mask(mask, size, label=0)

    def summarize(self, features: Tensor, foreground: Tensor, background: Tensor) -> State:
        window, threshold = self._window(features.shape[-2:]), self.options.threshold
        fore = foreground_prototypes(features, foreground, window, threshold)
        back = background_prototypes(features, background, window, threshold)
        return {
            "foreground": fore.vectors,
            "foreground_kept": fore.kept,
            "background": back.vectors,
            "background_kept": back.kept,
        }

    def scores(self, features: Tensor, state: State) -> Tensor:
        back, fore = (Prototypes(state[name], state[f"{name}_kept"]) for name in ("background", "foreground"))
        return torch.cat([similarity(features, prototypes, self.options.scale) for prototypes in (back, fore)], 1)

    def _window(self, size: torch.Size) -> Window:
        if self.training:
            return max(1, size[0] // self.options.grid), max(1, size[1] // self.options.grid)
        return clipped((self.options.window, self.options.window), size)
