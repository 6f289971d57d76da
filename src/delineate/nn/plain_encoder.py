"""The plain encoder of medical semi-supervised learning: two convolutions on each level, with max pooling between."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["DoubleConv", "PlainEncoder"]


class DoubleConv(nn.Sequential):
    """Twice 3×3 convolution → BatchNorm → leaky ReLU, with dropout between: B×in×H×W → B×out×H×W."""

    def __init__(self, in_channels: int, out_channels: int, dropout: float = 0.0) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.LeakyReLU(),
            nn.Dropout(dropout),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.LeakyReLU(),
        )


class PlainEncoder(nn.Module):
    """B×C×H×W → one map per level, at 1, ½, ¼ … of the image's size; H and W are multiples of `step`."""

    def __init__(self, in_channels: int, widths: tuple[int, ...], dropout: tuple[float, ...]) -> None:
        super().__init__()
        self.channels = widths
        self.reductions = tuple(2**level for level in range(len(widths)))
        self.step = self.reductions[-1]
        self.pool = nn.MaxPool2d(2)
        ins = (in_channels, *widths[:-1])
        self.levels = nn.ModuleList(map(DoubleConv, ins, widths, dropout))

    def forward(self, image: Tensor) -> list[Tensor]:
        maps: list[Tensor] = []
        for level in self.levels:
            image = level(self.pool(image) if maps else image)
            maps.append(image)
        return maps
