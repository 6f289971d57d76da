"""The reconstruction branch: encoder, adaptive feature modulation (AFM), decoder, and noise or masks on its input."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.methods.mfel.options import ModulationOptions, ReconstructionOptions
from delineate.methods.mfel.segmentation import stem_width
from delineate.nn.blocks import ConvBNAct
from delineate.nn.upsample_block import UpsampleBlock

__all__ = ["Adapters", "Modulation", "ReconstructionDecoder", "ReconstructionEncoder", "corrupt"]


class ReconstructionEncoder(nn.Module):
    """A light encoder of plain convolutions: B×C×H×W → maps at 1/4, 1/8, 1/16, 1/32, as wide as the segmentation's.

    Its map at 1/2 is not used further: over such a fine skip connection the image could be copied, and nothing would be learned.
    """

    def __init__(self, in_channels: int, widths: Sequence[int], depth: int) -> None:
        super().__init__()
        first = stem_width(widths)
        self.stem = ConvBNAct(in_channels, first, stride=2)
        self.levels = nn.ModuleList(
            nn.Sequential(ConvBNAct(before, width, stride=2), *(ConvBNAct(width, width) for _ in range(depth)))
            for before, width in pairwise((first, *widths))
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        x = self.stem(image)
        maps: list[Tensor] = []
        for level in self.levels:
            x = level(x)
            maps.append(x)
        return maps


class Adapters(nn.ModuleList):
    """Instead of a second encoder: one 1×1 convolution (BatchNorm, ReLU) of each map of the shared one."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__(ConvBNAct(width, width, 1) for width in widths)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        return [adapter(x) for adapter, x in zip(self, maps, strict=True)]


class Modulation(nn.Module):
    """AFM at one scale: foreground and background features, each by a 3×3 convolution of its own, aggregated adaptively.

    `forward(x, foreground)`: B×C×h×w and a map B×1×h×w in [0, 1] (None: the module's own, σ of a 1×1 convolution of x)
    → B×C×h×w. With F_f = M·x, F_b = (1 − M)·x and G = φ(F): `weights` gives x + a_f·G_f + a_b·G_b, where
    (a_f, a_b) is a softmax over both of an MLP of the mean of G_f + G_b (selective kernels: Li et al., CVPR 2019, equations 4
    and 5); `film` gives γ·x + β, both by a 1×1 convolution of [G_f, G_b] (Perez et al., AAAI 2018).
    """

    def __init__(self, channels: int, options: ModulationOptions) -> None:
        super().__init__()
        self.own = nn.Conv2d(channels, 1, 1) if options.source == "own" else None
        self.foreground, self.background = ConvBNAct(channels, channels), ConvBNAct(channels, channels)
        self.film = _zero_conv(channels) if options.kind == "film" else None
        if self.film is None:
            hidden = max(channels // 16, 32)
            self.choice = nn.Sequential(
                nn.Conv2d(channels, hidden, 1), nn.ReLU(inplace=True), nn.Conv2d(hidden, 2 * channels, 1)
            )

    def forward(self, x: Tensor, foreground: Tensor | None = None) -> Tensor:
        inside = self.map(x) if foreground is None else foreground
        front, back = self.foreground(inside * x), self.background((1 - inside) * x)
        if self.film is not None:
            factor, summand = self.film(torch.cat((front, back), 1)).chunk(2, 1)
            return (1 + factor) * x + summand
        weight_front, weight_back = self.weights(front, back)
        return x + weight_front * front + weight_back * back

    def map(self, x: Tensor) -> Tensor:
        """The module's own foreground map, B×1×h×w."""
        assert self.own is not None
        return torch.sigmoid(self.own(x))

    def weights(self, front: Tensor, back: Tensor) -> tuple[Tensor, Tensor]:
        """(a_f, a_b), each B×C×1×1; they sum to 1."""
        logits = self.choice((front + back).mean((2, 3), keepdim=True))
        a, b = torch.stack(logits.chunk(2, 1)).softmax(0)
        return a, b


class ReconstructionDecoder(nn.Module):
    """Maps at 1/4 … 1/32, finest first → the image B×C×H×W, not bounded. There is no skip finer than 1/4."""

    def __init__(self, widths: Sequence[int], channels: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(UpsampleBlock(below, width, width) for width, below in pairwise(widths))
        first = stem_width(widths)
        self.last = UpsampleBlock(widths[0], 0, first)
        self.head = nn.Conv2d(first, 4 * channels, 3, padding=1, padding_mode="replicate")
        _init_icnr(self.head)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        *finer, x = maps
        for level, skip in reversed(list(zip(self.levels, finer, strict=True))):
            x = level(x, skip)
        return F.pixel_shuffle(self.head(self.last(x)), 2)


def _zero_conv(channels: int) -> nn.Conv2d:
    """2·C → 2·C, all zeros: at first the features pass unchanged."""
    conv = nn.Conv2d(2 * channels, 2 * channels, 1)
    for parameter in conv.parameters():
        nn.init.zeros_(parameter)
    return conv


@torch.no_grad()
def _init_icnr(head: nn.Conv2d) -> None:
    """The four pixels that pixel shuffle makes of one start equal: no checkerboard (ICNR: Aitken et al., arXiv 1707.02937)."""
    assert head.bias is not None
    for parameter in (head.weight, head.bias):
        parameter.copy_(parameter[::4].repeat_interleave(4, 0))


def corrupt(image: Tensor, options: ReconstructionOptions, generator: torch.Generator) -> Tensor:
    """The image B×C×H×W as the reconstruction's encoder sees it: some squares (in all channels) filled with the image's mean, then
    noise. Returns `image` itself where the options ask for neither."""
    if options.masked:
        batch, _, height, width = image.shape
        rows, columns = -(-height // options.patch), -(-width // options.patch)
        random = torch.rand(batch, 1, rows, columns, device=image.device, generator=generator)
        squares = (random < options.masked).repeat_interleave(options.patch, 2).repeat_interleave(options.patch, 3)
        image = torch.where(squares[..., :height, :width], image.mean((2, 3), keepdim=True), image)
    if options.noise:
        noise = torch.randn(image.shape, device=image.device, generator=generator, dtype=image.dtype)
        image = image + options.noise * noise
    return image
