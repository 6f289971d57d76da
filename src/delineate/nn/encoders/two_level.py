"""A timm encoder that gives two maps of every level: an early one (low) and the level's last (high)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from timm.models._features import FeatureListNet
from timm.models.convnext import ConvNeXtStage
from timm.models.resnetv2 import ResNetStage
from timm.models.swin_transformer import SwinTransformerStage
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.common.errors import RecipeError
from delineate.nn.blocks import crop, pad_to_multiple
from delineate.nn.encoders.encoder import Encoder, pyramid
from delineate.nn.encoders.origin import WeightsOrigin

__all__ = ["Level", "LowFeature", "TwoLevelEncoder"]

LowFeature = Literal["first_block", "downsampling", "previous"]
"""Where the low map of a level is taken."""
_SPLITTABLE_STAGES = (ConvNeXtStage, ResNetStage, SwinTransformerStage)
"""Stages (exactly these types) that run `downsample`, where they have one, and then `blocks` in order."""


class Level(NamedTuple):
    """Maps of one level, B×C×h×w: equal sizes; equal channels too, unless `low` is taken from the previous level."""

    low: Tensor
    high: Tensor


class TwoLevelEncoder(nn.Module):
    """The last `levels` feature maps of a timm network, each with a second one from earlier in the same stage.

    `low`: after the stage's `first_block`; after its `downsampling` (for a first stage without one: its input); or the `previous`
    level's map, averaged to this one's size (the image, where there is none). The blocks of a stage can be run one by one where
    its structure is known: ConvNeXt, Swin, and networks whose stages are plain sequences of blocks (ResNet and similar). For all
    others `first_block` means `previous`; the attribute `splits_stages` tells.

    `forward`: B×in_channels×H×W → one `Level` per level, highest resolution first, sized as `Encoder` does.
    Raises `RecipeError` for an unknown name, too few levels, or `downsampling` where the network has no such layer to stop at.
    """

    def __init__(self, name: str, *, in_channels: int = 3, levels: int = 4, low: LowFeature = "first_block") -> None:
        super().__init__()
        self.encoder = Encoder(name, in_channels=in_channels, levels=max(levels, len(pyramid(name))))
        self.levels = levels
        self.channels: tuple[int, ...] = self.encoder.channels[-levels:]
        self.reductions: tuple[int, ...] = self.encoder.reductions[-levels:]
        stages = _stages(self.encoder.network)[-levels:]
        self.splits_stages = low != "previous" and len(stages) == levels and all(_blocks(stage) for stage in stages)
        self.low: LowFeature = low if self.splits_stages else "previous"
        if low == "downsampling" and not (self.splits_stages and all(hasattr(stage, "downsample") for stage in stages)):
            raise RecipeError(
                f"encoder '{name}' has no separate down-sampling layers; set low=first_block, or choose another encoder "
                "(for example convnext_tiny)"
            )
        previous = (in_channels, *self.encoder.channels)[-levels - 1 : -1]
        self.low_channels: tuple[int, ...] = previous if self.low == "previous" else self.channels

    def forward(self, image: Tensor) -> list[Level]:
        if self.low == "previous":
            return self._with_previous(image, self.encoder(image))
        height, width = image.shape[-2:]
        sizes = [((height + r - 1) // r, (width + r - 1) // r) for r in self.reductions]
        maps = list(self._all_levels(pad_to_multiple(image, self.encoder.step)))[-self.levels :]
        return [Level(crop(low, size), crop(high, size)) for (low, high), size in zip(maps, sizes, strict=True)]

    def load_pretrained(self, source: bool | str) -> WeightsOrigin | None:
        """As `Encoder.load_pretrained`."""
        return self.encoder.load_pretrained(source)

    def set_layer_scale(self, scale: float) -> None:
        """Set every layer scale (the factor per channel on a residual branch, which timm starts at 1e-6 in ConvNeXt)."""
        for name, parameter in self.encoder.network.named_parameters():
            if name.rpartition(".")[2] == "gamma":
                nn.init.constant_(parameter, scale)

    def _with_previous(self, image: Tensor, maps: list[Tensor]) -> list[Level]:
        previous = [image, *maps][-self.levels - 1 : -1]
        return [
            Level(F.adaptive_avg_pool2d(low, (high.shape[2], high.shape[3])), high)
            for low, high in zip(previous, maps[-self.levels :], strict=True)
        ]

    def _all_levels(self, x: Tensor) -> Iterator[Level]:
        """As timm's `FeatureListNet`, with a second map from within every stage."""
        network: Any = self.encoder.network
        is_channels_last = str(network.output_fmt).endswith("NHWC")
        for name, module in network.items():
            if name not in network.return_layers:
                x = module(x)
                continue
            low, x = self._run_stage(module, x)
            yield Level(*(y.permute(0, 3, 1, 2) if is_channels_last else y for y in (low, x)))

    def _run_stage(self, stage: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        """The stage's low map and its last."""
        blocks = _blocks(stage)
        if not blocks:
            x = stage(x)
            return x, x
        downsample = getattr(stage, "downsample", None)
        low = x = x if downsample is None else downsample(x)
        for index, block in enumerate(blocks):
            x = block(x)
            if index == 0 and self.low == "first_block":
                low = x
        return low, x


def _stages(network: nn.Module) -> list[nn.Module]:
    """The modules whose outputs are the feature maps, where timm runs the network's children one after another."""
    if type(network) is not FeatureListNet:
        return []
    returned: Any = network.return_layers
    return [module for name, module in network.items() if name in returned]


def _blocks(stage: nn.Module) -> list[nn.Module]:
    """A stage's blocks, if it is certain that it is nothing but (a `downsample` layer and) these in order; else empty."""
    blocks: Any = stage.blocks if type(stage) in _SPLITTABLE_STAGES else stage
    if type(blocks) is not nn.Sequential or len(blocks) == 0 or not any(True for _ in blocks[0].children()):
        return []
    return list(blocks)
