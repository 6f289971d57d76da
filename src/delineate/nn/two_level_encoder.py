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
from delineate.nn.blocks import pad_to_multiple
from delineate.nn.encoder import Encoder, pyramid

LowFeature = Literal["first_block", "downsampling", "previous"]
ENTERED = (ConvNeXtStage, ResNetStage, SwinTransformerStage)
"""Stages (exactly these types) that run `downsample`, where they have one, and then `blocks` in order."""


class Level(NamedTuple):
    """Maps of one level, B×C×h×w: equal sizes; equal channels too, unless `low` is taken from the previous level."""

    low: Tensor
    high: Tensor


class TwoLevelEncoder(nn.Module):
    """The last `levels` feature maps of a timm network, each with a second one from earlier in the same stage.

    `low`: after the stage's `first_block`; after its `downsampling` (for a first stage without one: its input); or the `previous`
    level's map, averaged to this one's size (the image, where there is none). A stage can be entered where it is known how
    it is built: ConvNeXt, Swin, and networks whose stages are plain sequences of blocks (ResNet and its kin). For all
    others `first_block` means `previous`, as `entered` tells.

    `forward`: B×in_channels×H×W → one `Level` per level, highest resolution first, sized as `Encoder` does.
    Raises `RecipeError` for an unknown name, too few levels, or `downsampling` where the network shows none.
    """

    def __init__(self, name: str, *, in_channels: int = 3, levels: int = 4, low: LowFeature = "first_block") -> None:
        super().__init__()
        self.encoder = Encoder(name, in_channels=in_channels, levels=max(levels, len(pyramid(name))))
        self.levels = levels
        self.channels: tuple[int, ...] = self.encoder.channels[-levels:]
        self.reductions: tuple[int, ...] = self.encoder.reductions[-levels:]
        stages = _stages(self.encoder.network)[-levels:]
        self.entered = low != "previous" and len(stages) == levels and all(_parts(stage) for stage in stages)
        self.low: LowFeature = low if self.entered else "previous"
        if low == "downsampling" and not (self.entered and all(hasattr(stage, "downsample") for stage in stages)):
            raise RecipeError(
                f"encoder '{name}' does not show its down-sampling layers; take low=first_block, or another encoder "
                "(for example convnext_tiny)"
            )
        before = (in_channels, *self.encoder.channels)[-levels - 1 : -1]
        self.low_channels: tuple[int, ...] = before if self.low == "previous" else self.channels

    def forward(self, image: Tensor) -> list[Level]:
        if self.low == "previous":
            return self._with_previous(image, self.encoder(image))
        height, width = image.shape[-2:]
        sizes = [(-(-height // r), -(-width // r)) for r in self.reductions]
        maps = list(self._walk(pad_to_multiple(image, self.encoder.step)))[-self.levels :]
        return [Level(low[..., :h, :w], high[..., :h, :w]) for (low, high), (h, w) in zip(maps, sizes, strict=True)]

    def load_pretrained(self, source: bool | str) -> None:
        """As `Encoder.load_pretrained`."""
        self.encoder.load_pretrained(source)

    def set_layer_scale(self, scale: float) -> None:
        """Set every layer scale (the factor per channel on a residual branch, which timm starts at 1e-6 in ConvNeXt)."""
        for name, parameter in self.encoder.network.named_parameters():
            if name.rpartition(".")[2] == "gamma":
                nn.init.constant_(parameter, scale)

    def _with_previous(self, image: Tensor, maps: list[Tensor]) -> list[Level]:
        before = [image, *maps][-self.levels - 1 : -1]
        after = maps[-self.levels :]
        return [
            Level(F.adaptive_avg_pool2d(low, (high.shape[2], high.shape[3])), high)
            for low, high in zip(before, after, strict=True)
        ]

    def _walk(self, x: Tensor) -> Iterator[Level]:
        """What timm's `FeatureListNet` does, stopping once within every stage."""
        network: Any = self.encoder.network
        last_is_channels = str(network.output_fmt).endswith("NHWC")
        for name, module in network.items():
            if name not in network.return_layers:
                x = module(x)
                continue
            low, x = self._stage(module, x)
            yield Level(*(y.permute(0, 3, 1, 2) if last_is_channels else y for y in (low, x)))

    def _stage(self, stage: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        parts = _parts(stage)
        if not parts:
            x = stage(x)
            return x, x
        start = getattr(stage, "downsample", None)
        low = x = x if start is None else start(x)
        for index, block in enumerate(parts):
            x = block(x)
            if index == 0 and self.low == "first_block":
                low = x
        return low, x


def _stages(network: nn.Module) -> list[nn.Module]:
    """The modules whose outputs are the feature maps, where timm runs the network's children one after another."""
    if type(network) is not FeatureListNet:
        return []
    taken: Any = network.return_layers
    return [module for name, module in network.items() if name in taken]


def _parts(stage: nn.Module) -> list[nn.Module]:
    """A stage's blocks, if it is certain that it is nothing but (a `downsample` layer and) these in order; else empty."""
    blocks: Any = stage.blocks if type(stage) in ENTERED else stage
    if type(blocks) is not nn.Sequential or len(blocks) == 0 or not any(True for _ in blocks[0].children()):
        return []
    return list(blocks)
