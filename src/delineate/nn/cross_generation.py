"""Images made from a network's logits: what a segmentation tells of an image must be enough to draw another view of it.

Gu, Zhou, Zhang, Zhou, He, Gong, Fu: "Dual-scale enhanced and cross-generative consistency learning for semi-supervised medical
image segmentation", Pattern Recognition 158 (2025) 110962, arXiv 2312.16039.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from delineate.nn.blocks import crop, size_of
from delineate.nn.plain_encoder import DoubleConv, PlainEncoder

__all__ = ["GENERATOR_WIDTHS", "CrossGeneration", "GeneratorWidths", "ImageGenerator"]

GeneratorWidths = tuple[int, int, int, int, int]
GENERATOR_WIDTHS: GeneratorWidths = (16, 32, 64, 128, 256)
"""Of the paper, finest level first."""
_DROPOUT = (0.05, 0.1, 0.2, 0.3, 0.5)


class ImageGenerator(nn.Module):
    """Down to 1/16 and up again, without skip connections, over which the logits' outline could be copied.

    B×K×H×W → B×out_channels×H×W of any size, not bounded to [0, 1].
    """

    def __init__(self, classes: int, out_channels: int, widths: GeneratorWidths = GENERATOR_WIDTHS) -> None:
        super().__init__()
        self.encoder = PlainEncoder(classes, widths, _DROPOUT)
        self.ups = nn.ModuleList(nn.ConvTranspose2d(wide, width, 2, stride=2) for wide, width in pairwise(widths[::-1]))
        self.convs = nn.ModuleList(DoubleConv(width, width) for width in widths[-2::-1])
        self.head = nn.Conv2d(widths[0], out_channels, 3, padding=1)
        self._step = 2 * self.encoder.step  # so that the coarsest map has more than one pixel

    def forward(self, logits: Tensor) -> Tensor:
        height, width = size_of(logits)
        x = self.encoder(F.pad(logits, (0, -width % self._step, 0, -height % self._step)))[-1]
        for up, conv in zip(self.ups, self.convs, strict=True):
            x = conv(up(x))
        return crop(self.head(x), (height, width))


class CrossGeneration(nn.Module):
    """Two generators: from the logits of an image its changed view, and from those of the view the image.

    `forward(logits, changed_logits)`: both B×K×H×W → the view and the image, B×C×H×W.
    """

    def __init__(self, classes: int, in_channels: int, widths: GeneratorWidths = GENERATOR_WIDTHS) -> None:
        super().__init__()
        self.changed = ImageGenerator(classes, in_channels, widths)
        self.image = ImageGenerator(classes, in_channels, widths)

    def forward(self, logits: Tensor, changed_logits: Tensor) -> tuple[Tensor, Tensor]:
        return self.changed(logits), self.image(changed_logits)

    def loss(self, logits: Tensor, image: Tensor, changed_logits: Tensor, changed: Tensor) -> Tensor:
        """Mean squared error of both; the logits learn too.

        Args:
            logits: B×K×H×W, of `image`.
            image: B×C×H×W.
            changed_logits: B×K×H×W, of `changed`.
            changed: The view of the images, B×C×H×W.

        Returns:
            A float32 scalar.
        """
        made_changed, made = self(logits, changed_logits)
        return F.mse_loss(made_changed.float(), changed.float()) + F.mse_loss(made.float(), image.float())
