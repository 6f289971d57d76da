"""One level of a plain decoder: upsample to twice the resolution, concatenate the skip connection, one 3×3 convolution."""

from __future__ import annotations

from torch import Tensor, nn

from delineate.nn.blocks import ConvBNAct
from delineate.nn.upsample_conv import upsample_concat_conv

__all__ = ["UpsampleBlock"]


class UpsampleBlock(nn.Module):
    """Nearest-neighbor ×2, concatenated with the skip → 3×3 convolution, BatchNorm, ReLU.

    `forward(x, skip)`: B×in×h×w and B×skip×2h×2w (None where `skip_channels` is 0) → B×out×2h×2w.
    """

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = ConvBNAct(in_channels + skip_channels, out_channels)

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        return self.conv.act(self.conv.norm(upsample_concat_conv(self.conv.conv, x, skip)))
