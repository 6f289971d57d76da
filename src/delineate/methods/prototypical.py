"""Base of few-shot methods that compare each query pixel with prototypes of foreground and background.

Features of support and query come from one network. `summarize` makes prototypes of the support's features and masks, and `scores`
is the similarity of each query pixel to foreground and background. Training segments in both directions: the query by the
support, and the support by the query as it was just segmented (prototype alignment, Wang et al., PANet, ICCV 2019, eqs. 4-8). A
subclass defines these two functions, and how masks are brought to the size of the feature map (`on_grid`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from delineate.common.errors import RecipeError
from delineate.methods.contract import PAPER, Context, Panel, Stage
from delineate.methods.encoder_options import EncoderMethodOptions
from delineate.methods.episodic import EpisodicBatch, EpisodicMethod, EpisodicModule, State
from delineate.nn.blocks import resize
from delineate.nn.deep_features import DeepFeatures
from delineate.nn.encoders.options import EncoderOptions
from delineate.nn.encoders.origin import WeightsOrigin
from delineate.nn.fuse import fold_batchnorm
from delineate.nn.losses import bce

__all__ = ["DeployedPrototypical", "PrototypicalMethod", "PrototypicalOptions"]


class PrototypicalOptions(EncoderMethodOptions):
    """Options of the features, and the weights of the two loss terms."""

    encoder: EncoderOptions = Field(
        EncoderOptions(name="resnet101"), description="timm network whose features are compared"
    )
    output_stride: Literal[8, 16] | None = Field(
        8,
        description="pixels of the image per pixel of the feature map, by dilation; null: the encoder's own, for those that "
        "cannot be dilated",
    )
    levels: int | None = Field(
        None, ge=1, description="feature maps of the encoder, of which the last is compared; null: all"
    )
    width: int | None = Field(
        256, ge=1, description="channels that a linear 1×1 convolution leaves of it; null: the encoder's own channels"
    )
    alignment: float = Field(
        1.0,
        ge=0,
        description="weight of segmenting the support by the query's prototypes",
        json_schema_extra=PAPER,
    )
    class_weights: tuple[float, float] = Field(
        (1.0, 1.0), description="of background and foreground in the query's cross-entropy"
    )


class PrototypicalMethod(EpisodicMethod):
    """Deep features → prototypes → cosines. One logit: score of the foreground − score of the background."""

    Options = PrototypicalOptions
    options: PrototypicalOptions

    def __init__(self, options: PrototypicalOptions, *, classes: int, in_channels: int) -> None:
        super().__init__(options, classes=classes, in_channels=in_channels)
        if classes != 1:
            raise RecipeError(
                f"method '{self.info.name}': classes must be 1 (given: {classes}); a few-shot method segments one class at a time"
            )
        self.features = DeepFeatures(
            options.encoder,
            in_channels=in_channels,
            output_stride=options.output_stride,
            levels=options.levels,
            width=options.width,
            normalize=options.normalize,
        )

    def on_grid(self, mask: Tensor, size: torch.Size) -> tuple[Tensor, Tensor]:
        """Long B×K×H×W → how much of each pixel of the feature map is foreground, and background: two of B×K×h×w."""
        raise NotImplementedError

    def summarize(self, features: Tensor, foreground: Tensor, background: Tensor) -> State:
        """B×K×C×h×w and two of B×K×h×w → the prototypes."""
        raise NotImplementedError

    def scores(self, features: Tensor, state: State) -> Tensor:
        """N×C×h×w and the state of N episodes or of 1 → N×2×h×w: similarity to background and foreground, ±20 at most."""
        raise NotImplementedError

    def stages(self) -> tuple[Stage, ...]:
        return (Stage("train", source="episodes"),)

    def load_pretrained(self) -> Mapping[str, WeightsOrigin]:
        origin = self.features.load_pretrained()
        return {} if origin is None else {"features.encoder": origin}

    def condition(self, support_image: Tensor, support_mask: Tensor) -> State:
        features = self.features(support_image.flatten(0, 1))
        return self._state(features.view(*support_mask.shape[:2], *features.shape[1:]), support_mask)

    def forward(self, image: Tensor, state: State) -> Tensor:
        return _logit(self.scores(self.features(image), state), image.shape[-2:])

    def objective(self, batch: EpisodicBatch, ctx: Context) -> dict[str, Tensor]:
        """`query`: weighted cross-entropy of the query; `alignment`: cross-entropy of each shot, segmented by prototypes of
        the query's predicted mask."""
        image, support = batch["image"], batch["support_image"]
        episodes, shots = support.shape[:2]
        # One pass for all, so that batch normalization sees support and query alike.
        features = self.features(torch.cat((support.flatten(0, 1), image)))
        support_features, query_features = features.split((episodes * shots, episodes))
        by_episode = support_features.view(episodes, shots, *support_features.shape[1:])
        scores = self.scores(query_features, self._state(by_episode, batch["support_mask"]))
        query = bce(_logit(scores, image.shape[-2:]), batch["mask"], class_weights=self.options.class_weights)
        terms = {"query": query}
        if self.options.alignment:
            alignment = self._alignment(query_features, scores, support_features, batch["support_mask"])
            terms["alignment"] = self.options.alignment * alignment
        return terms

    def deploy(self) -> EpisodicModule:
        return DeployedPrototypical(self)

    def panels(self, batch: EpisodicBatch) -> dict[str, Panel]:
        """The first shot with its mask, and the query's probability of the foreground."""
        logits = self(batch["image"], self.condition(batch["support_image"], batch["support_mask"]))
        return {
            "support": Panel.of_image(batch["support_image"][:, 0]),
            "support mask": Panel("mask", (batch["support_mask"][:, 0] == 1).long()),
            "probability": Panel("heat", torch.sigmoid(logits.float())),
        }

    def _state(self, features: Tensor, mask: Tensor) -> State:
        return self.summarize(features, *self.on_grid(mask, features.shape[-2:]))

    def _alignment(self, query: Tensor, scores: Tensor, support: Tensor, mask: Tensor) -> Tensor:
        """`query` features B×C×h×w with their `scores`, `support` B·K×C×h×w with its `mask` B×K×H×W → a scalar."""
        query_mask = scores.argmax(1, keepdim=True)
        state = self.summarize(query[:, None], (query_mask == 1).float(), (query_mask == 0).float())
        state = {name: tensor.repeat_interleave(mask.shape[1], 0) for name, tensor in state.items()}
        support_logits = _logit(self.scores(support, state), mask.shape[-2:])
        return bce(support_logits, self.alignment_target(mask, query_mask).flatten(0, 1))

    def alignment_target(self, mask: Tensor, query_mask: Tensor) -> Tensor:
        """Target for the support B×K×H×W when it is segmented by prototypes of the query's predicted mask B×1×h×w; 255 =
        ignore."""
        return mask


class DeployedPrototypical(EpisodicModule):
    """The two functions of a prototypical method for inference, with batch normalization folded."""

    def __init__(self, method: PrototypicalMethod) -> None:
        super().__init__()
        self.method = fold_batchnorm(method).to(memory_format=torch.channels_last)
        self.eval()

    def condition(self, support_image: Tensor, support_mask: Tensor) -> State:
        state: State = self.method.condition(support_image, support_mask)  # type: ignore[operator]
        return state

    def forward(self, image: Tensor, state: State) -> Tensor:
        logits: Tensor = self.method(image, state)
        return logits


def _logit(scores: Tensor, size: torch.Size) -> Tensor:
    """N×2×h×w → N×1×size: softmax over the two scores is the sigmoid of their difference."""
    return resize(scores[:, 1:] - scores[:, :1], size)
