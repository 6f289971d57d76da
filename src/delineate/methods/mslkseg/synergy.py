"""The encoder's block, Multi-semantic Information Synergy (MIS)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from delineate.nn.dynamic_conv import DynamicConv2d
from delineate.nn.scsa import ChannelSelfAttention, SharedSpatialAttention

__all__ = ["SynergyBlock"]


class SynergyBlock(nn.Module):
    """Dynamic convolution (with BatchNorm and ReLU) → MIE → MIDM, one after the other: B×in×H×W → B×out×H×W.

    MIE, Multi-semantic Information Extraction, is the spatial attention; MIDM, Multi-semantic Information Difference
    Mitigation, the one among channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernels: int,
        reduction: float,
        spatial_kernels: Sequence[int],
        heads: int,
        window: int,
    ) -> None:
        super().__init__()
        self.conv = DynamicConv2d(in_channels, out_channels, 3, kernels=kernels, reduction=reduction)
        self.norm: nn.Module = nn.BatchNorm2d(out_channels)
        self.act = nn.ReLU(inplace=True)
        self.extraction = SharedSpatialAttention(out_channels, spatial_kernels)
        self.mitigation = ChannelSelfAttention(out_channels, heads=heads, window=window)

    def forward(self, x: Tensor) -> Tensor:
        return self.mitigation(self.extraction(self.act(self.norm(self.conv(x)))))

    def spatial_gates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What MIE multiplies its input by, along height B×out×H×1 and width B×out×1×W; for pictures."""
        return self.extraction.gates(self.act(self.norm(self.conv(x))))

    def merge(self) -> None:
        """Take the BatchNorm and the temperature into the kernels; for inference, in place."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv, self.norm = self.conv.folded(self.norm), nn.Identity()
