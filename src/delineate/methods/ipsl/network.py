"""IPSL: interactive prototype learning and self-learning for few-shot medical image segmentation.

Song, Xu, Wang, Du, Chen, Zhang, Li, Artificial Intelligence in Medicine 167:103183 (2025). Written from the abstract; neither full
text nor code was available. Readings are named in `card.md`.

In the order in which data meets them: three levels of features (`levels`), deep encoding-decoding of the highest (`encoding`), mean
and peak prototypes and their interaction (`interaction`), prototypes of the query's own and completion of the
boundary (`self_learning`). `core` puts them together, `objective` trains them.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from delineate.common.errors import RecipeError
from delineate.methods.contract import Context, MethodInfo, Panel, Stage
from delineate.methods.episodic import EpisodicBatch, EpisodicMethod, EpisodicModule, State
from delineate.methods.ipsl.core import SCALE, IPSLNetwork
from delineate.methods.ipsl.objective import Auxiliary, terms
from delineate.methods.ipsl.options import IPSLOptions
from delineate.nn.encoders.origin import WeightsOrigin
from delineate.nn.fuse import fold_batchnorm

__all__ = ["IPSL"]


class IPSL(EpisodicMethod):
    """The network is `core`; a further head is for training alone. Any size ≥ 32 (padded inside, cropped again)."""

    info = MethodInfo(
        name="ipsl",
        title="IPSL",
        paper="Song, Xu, Wang, Du, Chen, Zhang, Li: Interactive prototype learning and self-learning for few-shot medical image "
        "segmentation, Artificial Intelligence in Medicine 167:103183 (2025)",
        year=2025,
        min_size=32,
        license_note="Written from the paper's abstract; neither full text nor code was available.",
        checkpoint_modules=("core.levels.encoder",),
    )
    Options = IPSLOptions
    options: IPSLOptions

    def __init__(self, options: IPSLOptions, *, classes: int, in_channels: int) -> None:
        if classes != 1:
            raise RecipeError(
                f"method 'ipsl': classes must be 1 (given: {classes}); a few-shot method segments one class at a time"
            )
        super().__init__(options, classes=classes, in_channels=in_channels)
        self.core = IPSLNetwork(options, in_channels=in_channels)
        needed = options.loss.auxiliary and options.peak != "none"
        self.auxiliary = Auxiliary(options.width, SCALE) if needed else None

    def load_pretrained(self) -> Mapping[str, WeightsOrigin]:
        origin = self.core.levels.encoder.load_pretrained(self.options.encoder.pretrained)
        return {} if origin is None else {"core.levels.encoder": origin}

    def stages(self) -> tuple[Stage, ...]:
        return (Stage("train", source="episodes"),)

    def condition(self, support_image: Tensor, support_mask: Tensor) -> State:
        return self.core.condition(support_image, support_mask)

    def forward(self, image: Tensor, state: State) -> Tensor:
        return self.core(image, state)

    def objective(self, batch: EpisodicBatch, ctx: Context) -> dict[str, Tensor]:
        return terms(self.core, self.auxiliary, batch, self.options.loss)

    def deploy(self) -> EpisodicModule:
        """The core alone, BatchNorm folded, channels-last."""
        lean = fold_batchnorm(self.core).to(memory_format=torch.channels_last)
        assert isinstance(lean, EpisodicModule)
        return lean

    def panels(self, batch: EpisodicBatch) -> dict[str, Panel]:
        """The first shot with its mask; where the query resembles the support's foreground (prior map); each mask on the way, in
        the order in which it arises; the final mask."""
        image, shot = batch["image"], batch["support_image"][:, 0]
        size = image.shape[-2:]
        state = self.condition(batch["support_image"], batch["support_mask"])
        result = self.core.segment(self.core.levels(image), state, size)
        found = {
            "support": Panel.of_image(shot),
            "support mask": Panel("mask", (batch["support_mask"][:, 0] == 1).long()),
        }
        if result.guidance.shape[1]:
            found["prior"] = Panel("heat", self.core.enlarged(result.guidance[:, :1], size).clamp(0, 1))
        masks = {name: self.core.enlarged(step, size) for name, step in result.steps.items()}
        masks["final"] = result.final
        return found | {name: Panel("mask", (logits[:, 0] > 0).long()) for name, logits in masks.items()}
