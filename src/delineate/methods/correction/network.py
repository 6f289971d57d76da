"""Self-supervised correction: what a first pass finds is erased and painted in again, which needs no mask.

Zhang, Liu, Yu, Li: "Self-supervised correction learning for semi-supervised biomedical image segmentation", MICCAI 2021, arXiv
2301.04866. One encoder sees the image, and the image without what was found in it; gates join both sets of maps for the final
segmentation. On images without masks the error of the inpainting is what the network learns by.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.common.errors import RecipeError
from delineate.methods.contract import Batch, Context, MethodInfo, Panel
from delineate.methods.correction.layers import Decoder, GatedFusion, SumFusion
from delineate.methods.correction.options import CorrectionOptions
from delineate.methods.dense import DenseMethod, FeatureMaps
from delineate.nn.blocks import ConvBNAct, crop, pad_to_multiple, size_of
from delineate.nn.deep_supervision import subsampled
from delineate.nn.encoders.encoder import Encoder, pyramid
from delineate.nn.encoders.origin import WeightsOrigin
from delineate.nn.fuse import fold_batchnorm
from delineate.nn.losses import IGNORE
from delineate.nn.normalize import make_normalize
from delineate.nn.segmentation_loss import labeled_segmentation_loss

__all__ = ["Correction", "SecondPass", "inpainting_error"]


class SecondPass(NamedTuple):
    """The image without what the first pass found. The size is that of the padded image."""

    found: Tensor
    """Bool B×1×H×W: foreground is more probable than not."""
    image: Tensor
    """B×C×H×W, 0 there."""
    maps: list[Tensor]
    """The encoder's maps of it, finest first."""


class Correction(DenseMethod):
    """Two passes of one encoder, in training and in prediction. Any image size: padded inside, cropped again."""

    info = MethodInfo(
        name="correction",
        title="Self-supervised correction",
        paper="Zhang, Liu, Yu, Li: Self-supervised correction learning for semi-supervised biomedical image segmentation, MICCAI "
        "2021, arXiv 2301.04866",
        year=2021,
        min_size=32,
        export_form="multiple",
        license_note="The authors' code has no license; nothing of it was used.",
        checkpoint_modules=("encoder", "decoder"),
        uses_unlabeled=True,
        learns_regions=True,
    )
    Options = CorrectionOptions
    options: CorrectionOptions

    def __init__(self, options: CorrectionOptions, *, classes: int, in_channels: int) -> None:
        super().__init__(options, classes=classes, in_channels=in_channels)
        reductions = _checked_reductions(options.encoder.name)
        self.normalize = make_normalize(in_channels, options.normalize)
        self.encoder = Encoder(options.encoder.name, in_channels=in_channels, levels=len(reductions))
        widths = [min(channels, options.width or channels) for channels in self.encoder.channels]
        self.taps = nn.ModuleList(
            nn.Identity() if width == channels else ConvBNAct(channels, width, 1)
            for channels, width in zip(self.encoder.channels, widths, strict=True)
        )
        channels = dict(zip(reductions, widths, strict=True))
        self.fusion: nn.ModuleList | None = None
        if options.fuses:
            gated = options.fusion == "gated"
            self.fusion = nn.ModuleList(GatedFusion(width) if gated else SumFusion() for width in widths)
        self.decoder = Decoder(channels, classes, transposed=False, sides=options.sides)
        self.inpainting: Decoder | None = None
        if options.inpaints:
            self.inpainting = Decoder(channels, in_channels, transposed=True, sides=options.sides)
        self._step = max(self.encoder.step, reductions[-1])

    @classmethod
    def uses_unlabeled(cls, options: Any) -> bool:
        return bool(options.inpaints)

    def load_pretrained(self) -> Mapping[str, WeightsOrigin]:
        origin = self.encoder.load_pretrained(self.options.encoder.pretrained)
        return {} if origin is None else {"encoder": origin}

    def encode(self, image: Tensor) -> FeatureMaps:
        """Both passes, up to the maps that the final segmentation reads."""
        padded = pad_to_multiple(image, self._step)
        if self.fusion is None:
            return FeatureMaps(self._maps(padded), size_of(image))
        return FeatureMaps(self._fused(*self._passes(padded)), size_of(image))

    def decode(self, maps: FeatureMaps) -> Tensor:
        return crop(self._decoded(self.decoder, maps.levels)[0], maps.size)

    def output_layers(self) -> tuple[nn.Conv2d, ...]:
        return (self.decoder.head, *self.decoder.side_heads)

    def objective(self, batch: Batch, ctx: Context) -> dict[str, Tensor]:
        image, labeled, options = batch["image"], batch["labeled"], self.options
        padded = pad_to_multiple(image, self._step)
        if options.second_pass:
            maps, second = self._passes(padded)
            read = self._fused(maps, second)
        else:
            read, second = self._maps(padded), None
        target = _padded(self.output.target(batch["mask"]), padded, IGNORE)
        scales = [
            labeled_segmentation_loss(logits, subsampled(target, 2**level), labeled, options.loss)
            for level, logits in enumerate(self._decoded(self.decoder, read))
        ]
        share = ctx.weight_of_part(labeled)
        terms = {name: share * torch.stack([each[name] for each in scales]).sum() for name in scales[0]}
        if second is not None and self.inpainting is not None:
            inside = _padded(crop(second.found, size_of(image)), padded, False)
            error = inpainting_error(self._painted(second, read), padded, inside)
            terms["inpainting"] = options.inpainting.weight * self._mean(error, labeled, ctx)
        return terms

    def deploy(self) -> nn.Module:
        """Without the inpainting's decoder and the heads of lower resolutions, BatchNorm folded. The second pass stays, since the
        segmentation reads it; with `fusion: none` it is of training alone, and nothing is left of it."""
        lean = fold_batchnorm(self)
        assert isinstance(lean, Correction)
        lean.inpainting = None
        lean.decoder.side_heads = nn.ModuleList()
        return lean

    def panels(self, batch: Batch) -> dict[str, Panel]:
        """`probability`: of any foreground class. `coarse`: the same of the first pass. `erased`: the image without what
        that found. `inpainted`: the image, with the inpainting there."""
        image, found = batch["image"], {}
        size, padded = size_of(image), pad_to_multiple(image, self._step)
        if self.options.second_pass:
            maps, second = self._passes(padded)
            read = self._fused(maps, second)
            found["coarse"] = Panel("heat", crop(self.output.foreground(self._first(maps)), size))
            found["erased"] = Panel.of_image(crop(second.image, size))
            if self.inpainting is not None:
                painted = self._painted(second, read)[0].to(padded.dtype).clamp(0, 1)
                found["inpainted"] = Panel.of_image(crop(torch.where(second.found, painted, padded), size))
        else:
            read = self._maps(padded)
        logits = self._decoded(self.decoder, read)[0]
        return {"probability": Panel("heat", crop(self.output.foreground(logits), size)), **found}

    def _maps(self, image: Tensor) -> list[Tensor]:
        """Of an image with sides that are multiples of the step."""
        return [tap(x) for tap, x in zip(self.taps, self.encoder(self.normalize(image)), strict=True)]

    def _first(self, maps: list[Tensor]) -> Tensor:
        """Logits of the first pass."""
        return self._decoded(self.decoder, maps)[0]

    def _passes(self, image: Tensor) -> tuple[list[Tensor], SecondPass]:
        """Maps of the image, and the second pass.

        In training the first pass is done as in prediction, by running statistics, and costs a pass of its own. Then image and
        erased image pass the encoder together. Were each normalized by its own statistics, the running ones would fit neither.
        """
        if not self.training:
            maps = self._maps(image)
            found, erased = self._erased(image, self._first(maps))
            return maps, SecondPass(found, erased, self._maps(erased))
        self.eval()
        try:
            with torch.no_grad():
                found, erased = self._erased(image, self._first(self._maps(image)))
        finally:
            self.train()
        both = [level.chunk(2) for level in self._maps(torch.cat((image, erased)))]
        return [own for own, _ in both], SecondPass(found, erased, [other for _, other in both])

    def _erased(self, image: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
        """What the first pass found, and the image without it. No gradient passes: the region has sharp borders."""
        found = self.output.foreground(first.detach()) > 0.5
        return found, image.masked_fill(found, 0)

    def _fused(self, maps: list[Tensor], second: SecondPass) -> list[Tensor]:
        if self.fusion is None:
            return maps
        return [fuse(x, erased) for fuse, x, erased in zip(self.fusion, maps, second.maps, strict=True)]

    def _painted(self, second: SecondPass, read: list[Tensor]) -> list[Tensor]:
        assert self.inpainting is not None
        return self._decoded(self.inpainting, read if self.options.inpainting.features == "fused" else second.maps)

    def _decoded(self, decoder: nn.Module, maps: list[Tensor]) -> list[Tensor]:
        return decoder(dict(zip(self.encoder.reductions, maps, strict=True)))

    def _mean(self, error: Tensor, labeled: Tensor, ctx: Context) -> Tensor:
        """Of an error of each image, over those that are learned from; 0, with a gradient, where there are none."""
        if self.options.inpainting.images == "all":
            return error.mean()
        chosen = (~labeled).float()
        return ctx.weight_of_part(labeled, with_masks=False) * (error * chosen).sum() / chosen.sum().clamp_min(1)


def inpainting_error(made: list[Tensor], image: Tensor, found: Tensor) -> Tensor:
    """Mean absolute error of what is painted into the found regions, summed over resolutions.

    Args:
        made: B×C×H×W, then the same at ½, ¼ … of the size.
        image: B×C×H×W in [0, 1]. At lower resolutions it is averaged.
        found: Bool B×1×H×W. At lower resolutions a pixel counts if more than half of it was found.

    Returns:
        Float32 B; at a resolution where nothing was found, an image's error is 0.
    """
    image, share = image.float(), found.float()
    total = torch.zeros(len(image), device=image.device)
    for level, one in enumerate(made):
        step = 2**level
        inside = F.avg_pool2d(share, step) > 0.5
        error = (one.float() - F.avg_pool2d(image, step)).abs().mean(1, keepdim=True) * inside
        total = total + error.sum((1, 2, 3)) / inside.sum((1, 2, 3)).clamp_min(1)
    return total


def _padded(maps: Tensor, image: Tensor, value: int) -> Tensor:
    """Maps B×…×h×w, brought to the size of the padded image by `value`."""
    height, width = size_of(image)
    return F.pad(maps, (0, width - maps.shape[-1], 0, height - maps.shape[-2]), value=value)


def _checked_reductions(encoder: str) -> tuple[int, ...]:
    """How much smaller than the image each map of the encoder is. Raises `RecipeError` where they are not halved step by step."""
    reductions = pyramid(encoder)
    if len(reductions) < 2 or any(b != 2 * a for a, b in pairwise(reductions)):
        found = ", ".join(f"1/{reduction}" for reduction in reductions)
        raise RecipeError(
            f"method 'correction': encoder '{encoder}' gives feature maps at {found}, and they must be halved from one "
            "to the next; choose a network such as resnet34 or convnext_tiny"
        )
    return reductions
