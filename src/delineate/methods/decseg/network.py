"""DEC-Seg: an image at two scales, two decoders, and their fusion, which also learn from images without masks.

Gu, Zhou, Zhang, Zhou, He, Gong, Fu: "Dual-scale enhanced and cross-generative consistency learning for semi-supervised medical
image segmentation", Pattern Recognition 158 (2025) 110962, arXiv 2312.16039. The same encoder sees the image and its half-size
copy. In training the outputs agree with each other, with those of a perturbed image, and hold enough to draw the image that they
were not made of.
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
from delineate.methods.decseg.layers import FusionDecoder, LevelAggregation, ScaleDecoder
from delineate.methods.decseg.options import DECSegOptions
from delineate.methods.dense import DenseMethod, FeatureMaps
from delineate.nn.blocks import ConvBNAct, crop, pad_to_multiple, resize, size_of
from delineate.nn.cross_generation import CrossGeneration
from delineate.nn.encoders.encoder import Encoder, pyramid
from delineate.nn.encoders.origin import WeightsOrigin
from delineate.nn.fuse import fold_batchnorm
from delineate.nn.half_size import half_size
from delineate.nn.losses import IGNORE
from delineate.nn.normalize import make_normalize
from delineate.nn.ramps import sigmoid_ramp
from delineate.nn.segmentation_loss import labeled_segmentation_loss
from delineate.nn.views.strong import StrongView

__all__ = ["DECSeg", "ScaleOutputs"]


class ScaleOutputs(NamedTuple):
    """Logits of the three outputs."""

    full: Tensor
    """B×K×H×W, by the first decoder."""
    half: Tensor
    """B×K×h×w at the size of the half-size copy, by the second decoder."""
    fused: Tensor
    """B×K×H×W: what the model says."""


class DECSeg(DenseMethod):
    """Any image size: padded inside, cropped again. Of a side up to 64 pixels there is no smaller copy: at half of that the
    coarsest map would be a single pixel, and the second decoder sees the image itself."""

    info = MethodInfo(
        name="decseg",
        export_form="multiple",
        export_least=128,  # from where on half of a side is at least twice the encoder's step (`half_size`)
        title="DEC-Seg",
        paper="Gu, Zhou, Zhang et al.: Dual-scale enhanced and cross-generative consistency learning for semi-supervised medical "
        "image segmentation, Pattern Recognition 158 (2025) 110962, arXiv 2312.16039",
        year=2025,
        min_size=32,
        license_note="Written from the paper and from facts about the authors' code, which has no license; none of it is used.",
        checkpoint_modules=("encoder", "decoders.0", "decoders.1", "fusion"),
        uses_unlabeled=True,
        learns_regions=True,
    )
    Options = DECSegOptions
    options: DECSegOptions
    generation: CrossGeneration | None
    """Only training needs it."""

    def __init__(self, options: DECSegOptions, *, classes: int, in_channels: int) -> None:
        super().__init__(options, classes=classes, in_channels=in_channels)
        name = options.encoder.name
        sides = pyramid(name)
        if len(sides) < 2 or any(coarse != 2 * fine for fine, coarse in pairwise(sides)):
            scales = ", ".join(f"1/{side}" for side in dict.fromkeys(sides))
            raise RecipeError(
                f"method 'decseg': encoder '{name}' has maps at {scales} of the image's size, and each must have half the "
                "resolution of the one before; use a ResNet, an EfficientNet or a ConvNeXt"
            )
        self.normalize = make_normalize(in_channels, options.normalize)
        self.encoder = Encoder(name, in_channels=in_channels, levels=len(sides))
        channels = [min(count, options.taps or count) for count in self.encoder.channels]
        self.taps = nn.ModuleList(
            ConvBNAct(count, width, 1) if width < count else nn.Identity()
            for count, width in zip(self.encoder.channels, channels, strict=True)
        )
        self.aggregations = nn.ModuleList(
            LevelAggregation(fine, coarse, options.width) for fine, coarse in pairwise(channels)
        )
        self.decoders = nn.ModuleList(ScaleDecoder(channels, options.width, classes) for _ in range(2))
        self.fusion = FusionDecoder(channels, classes)
        self.generation = (
            CrossGeneration(classes, in_channels, options.generator_widths) if options.generation_weight else None
        )
        self._step = max(self.encoder.step, self.encoder.reductions[-1])

    @classmethod
    def uses_unlabeled(cls, options: Any) -> bool:
        return bool(options.perturbation_weight or options.scale_weight or options.generation_weight)

    def load_pretrained(self) -> Mapping[str, WeightsOrigin]:
        origin = self.encoder.load_pretrained(self.options.encoder.pretrained)
        return {} if origin is None else {"encoder": origin}

    def encode(self, image: Tensor) -> FeatureMaps:
        """By turns a map of the image and of its half-size copy."""
        return self._maps(*self._scales(image), size_of(image))

    def decode(self, maps: FeatureMaps) -> Tensor:
        return self._enlarged(self.fusion(*self._decoded(maps)), maps.size)

    def output_layers(self) -> tuple[nn.Conv2d, ...]:
        return (self.fusion.head, *(decoder.head for decoder in self.decoders))  # type: ignore[arg-type]

    def objective(self, batch: Batch, ctx: Context) -> dict[str, Tensor]:
        """Losses of the three outputs on images with masks, and up to three consistencies."""
        image, wanted = batch["image"], self.options
        found = self._outputs(*self._scales(image), size_of(image))
        terms = self._supervised(found, batch, ctx.weight_of_part(batch["labeled"]))
        ramp = sigmoid_ramp(ctx.progress, wanted.ramp)
        weights = {name: ramp * getattr(wanted, f"{name}_weight") for name in ("perturbation", "scale", "generation")}
        return terms | {name: weights[name] * term for name, term in self._consistencies(found, batch, ctx).items()}

    def deploy(self) -> nn.Module:
        """Both scales and their fusion, BatchNorm folded, without the decoders' own outputs and what makes images."""
        lean = fold_batchnorm(self)
        assert isinstance(lean, DECSeg)
        lean.generation = None
        for decoder in lean.decoders:
            decoder.head = None  # type: ignore[assignment]
        return lean

    def panels(self, batch: Batch) -> dict[str, Panel]:
        """`probability`: of any foreground class. `scale_difference`: between both scales' own. `perturbed`: the image in another
        brightness and hue. `perturbed_generated`: made from the logits of the image; `image_generated`: from those of the
        perturbed one."""
        image = batch["image"]
        found = self._outputs(*self._scales(image), size_of(image))
        one, other = self.output.foreground(found.full), self.output.foreground(found.half)
        panels = {
            "probability": Panel("heat", self.output.foreground(found.fused)),
            "scale_difference": Panel("heat", (one - self._enlarged(other, size_of(image))).abs()),
        }
        if self.generation is not None:
            wanted = self.options
            always_the_same = torch.Generator(image.device).manual_seed(0)
            view = StrongView.draw_light(image, always_the_same, brightness=wanted.brightness, hue=wanted.hue)
            perturbed = view.image(image)
            made = self.generation(found.fused, self(perturbed))
            panels["perturbed"] = Panel.of_image(perturbed)
            for name, made_image in zip(("perturbed_generated", "image_generated"), made, strict=True):
                panels[name] = Panel.of_image(made_image.float().clamp(0, 1))
        return panels

    def _scales(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The image padded to what the encoder takes, and its half-size copy."""
        padded = pad_to_multiple(image, self._step)
        return padded, resize(padded, half_size(size_of(padded), multiple=self._step, least=2 * self._step))

    def _maps(self, padded: Tensor, half: Tensor, size: tuple[int, int]) -> FeatureMaps:
        both = zip(self._levels(padded), self._levels(half), strict=True)
        return FeatureMaps([level for pair in both for level in pair], size)

    def _levels(self, image: Tensor) -> list[Tensor]:
        """The maps of two levels each, finest first, and the encoder's coarsest."""
        maps = [tap(level) for tap, level in zip(self.taps, self.encoder(self.normalize(image)), strict=True)]
        joined = [join(fine, coarse) for join, (fine, coarse) in zip(self.aggregations, pairwise(maps), strict=True)]
        return [*joined, maps[-1]]

    def _decoded(self, maps: FeatureMaps) -> list[list[Tensor]]:
        """The maps of each scale's decoder."""
        return [decoder(maps.levels[scale::2]) for scale, decoder in enumerate(self.decoders)]

    def _outputs(self, padded: Tensor, half: Tensor, size: tuple[int, int]) -> ScaleOutputs:
        first, second = both = self._decoded(self._maps(padded, half, size))
        full, small = (head(maps[-1]) for head, maps in zip(self.output_layers()[1:], both, strict=True))
        fused = self.fusion(first, second)
        return ScaleOutputs(self._enlarged(full, size), resize(small, size_of(half)), self._enlarged(fused, size))

    def _enlarged(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Of another resolution → at the size of the image."""
        height, width = ((side + self._step - 1) // self._step * self._step for side in size)
        return crop(resize(maps, (height, width)), size)

    def _supervised(self, found: ScaleOutputs, batch: Batch, part: float) -> dict[str, Tensor]:
        mask = batch["mask"]
        padded = F.pad(mask, (0, -mask.shape[-1] % self._step, 0, -mask.shape[-2] % self._step), value=IGNORE)
        small = F.interpolate(padded[:, None].float(), size_of(found.half), mode="nearest-exact")[:, 0].long()
        each = [
            labeled_segmentation_loss(logits, self.output.target(one), batch["labeled"], self.options.loss)
            for logits, one in zip(found, (mask, small, mask), strict=True)
        ]
        return {name: part * torch.stack([terms[name] for terms in each]).sum() for name in each[0]}

    def _consistencies(self, found: ScaleOutputs, batch: Batch, ctx: Context) -> dict[str, Tensor]:
        """By name, before the weights."""
        wanted, image, labeled = self.options, batch["image"], batch["labeled"]
        terms: dict[str, Tensor] = {}
        if wanted.scale_weight:
            apart = self._scales_apart(found)
            terms["scale"] = ctx.weight_of_part(labeled) * _mean_where(labeled, apart)
            terms["scale"] += ctx.weight_of_part(labeled, with_masks=False) * _mean_where(~labeled, apart)
        if not (wanted.perturbation_weight or wanted.generation_weight):
            return terms
        chosen = torch.ones_like(labeled) if wanted.on == "all" else ~labeled
        if not bool(chosen.any()):
            return terms | self._nothing_perturbed(image)
        part = 1.0 if wanted.on == "all" else ctx.weight_of_part(labeled, with_masks=False)
        ours = ScaleOutputs(*(logits[chosen] for logits in found))
        for name, term in self._perturbed(ours, image[chosen], ctx).items():
            terms[name] = terms.get(name, 0) + part * term
        return terms

    def _nothing_perturbed(self, image: Tensor) -> dict[str, Tensor]:
        """Terms of 0, those of the generators with a gradient, so that every process has one to exchange."""
        terms = {"perturbation": image.new_zeros(())} if self.options.perturbation_weight else {}
        if self.generation is not None:
            terms["generation"] = 0 * torch.stack([weight.sum() for weight in self.generation.parameters()]).sum()
        return terms

    def _perturbed(self, found: ScaleOutputs, image: Tensor, ctx: Context) -> dict[str, Tensor]:
        """The terms of a perturbed image; its half-size copy is perturbed otherwise. `found`: the outputs of the image itself."""
        changed = self._changed(image, ctx)
        padded, half = pad_to_multiple(changed, self._step), self._changed(self._scales(image)[1], ctx)
        other, wanted = self._outputs(padded, half, size_of(image)), self.options
        terms: dict[str, Tensor] = {}
        if wanted.perturbation_weight:
            said = [map(self.output.probabilities, logits) for logits in (found, other)]
            terms["perturbation"] = torch.stack([F.mse_loss(a, b) for a, b in zip(*said, strict=True)]).sum()
        if wanted.scale_weight:
            terms["scale"] = self._scales_apart(other).mean()
        if self.generation is not None:
            terms["generation"] = self.generation.loss(found.fused, image, other.fused, changed)
        return terms

    def _changed(self, image: Tensor, ctx: Context) -> Tensor:
        """In another brightness and hue; in eval mode the image itself."""
        if not self.training:
            return image
        wanted = self.options
        view = StrongView.draw_light(image, ctx.generator, brightness=wanted.brightness, hue=wanted.hue)
        return view.image(image)

    def _scales_apart(self, found: ScaleOutputs) -> Tensor:
        """Mean squared difference of the probabilities of both decoders, of each image."""
        full, half = self.output.probabilities(found.full), self.output.probabilities(found.half)
        return (full - self._enlarged(half, size_of(full))).square().mean((1, 2, 3))


def _mean_where(chosen: Tensor, values: Tensor) -> Tensor:
    """Both of length B; 0 where none is chosen."""
    return (values * chosen).sum() / chosen.sum().clamp_min(1)
