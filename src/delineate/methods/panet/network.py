"""PANet: every pixel gets the class of the nearest mean prototype.

Wang, Liew, Zou, Zhou, Feng: "PANet: Few-shot image semantic segmentation with prototype alignment", ICCV 2019,
arXiv 1908.06391. Written from the formulas; readings are named in `card.md`.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from delineate.methods.contract import PAPER, MethodInfo
from delineate.methods.episodic import State
from delineate.methods.prototypical import PrototypicalMethod, PrototypicalOptions
from delineate.nn.losses import IGNORE
from delineate.nn.prototypes import cosine_scores, mean_prototype, upsampling_weights

__all__ = ["PANet", "PANetOptions"]


class PANetOptions(PrototypicalOptions):
    """Options of PANet."""

    scale: float = Field(20.0, gt=0, description="factor on the cosines", json_schema_extra=PAPER)


class PANet(PrototypicalMethod):
    """Masked average pooling at the masks' resolution, scale · cosine, prototype alignment."""

    info = MethodInfo(
        name="panet",
        title="PANet",
        paper="Wang, Liew, Zou, Zhou, Feng: PANet: Few-shot image semantic segmentation with prototype alignment, ICCV 2019, "
        "arXiv 1908.06391",
        year=2019,
        min_size=32,
        license_note="Written from the paper's formulas; the authors' code names no license and was not used.",
        checkpoint_modules=("features",),
    )
    Options = PANetOptions
    options: PANetOptions

    def on_grid(self, mask: Tensor, size: torch.Size) -> tuple[Tensor, Tensor]:
        """Pooling by these weights is pooling of the features up-sampled to the mask's size (PANet eqs. 1 and 2)."""
        return upsampling_weights((mask == 1).float(), size), upsampling_weights((mask == 0).float(), size)

    def summarize(self, features: Tensor, foreground: Tensor, background: Tensor) -> State:
        """The mean over the shots of each shot's prototype, B×2×C, background first. A shot without the class adds 0, which
        leaves the direction of the mean to the others."""
        pixels = features.flatten(0, 1)
        both = [mean_prototype(pixels, weights.flatten(0, 1)) for weights in (background, foreground)]
        return {"prototypes": torch.stack(both, 1).view(*features.shape[:2], 2, -1).mean(1)}

    def scores(self, features: Tensor, state: State) -> Tensor:
        return cosine_scores(features, state["prototypes"], self.options.scale)

    def alignment_target(self, mask: Tensor, query_mask: Tensor) -> Tensor:
        """Episodes without any predicted foreground are left out: there is no prototype to segment the support by."""
        return torch.where(query_mask.flatten(1).any(1)[:, None, None, None], mask, IGNORE)
