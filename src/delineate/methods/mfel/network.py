"""MFEL: multi-interactive feature embedding learning.

Huang, Luo: "Multi-interactive feature embedding learning for medical image segmentation", Frontiers in Medicine 12 (2025) 1661984.
Written from the abstract, which names the modules and describes none; `card.md` tells the readings. "MFEL" is this project's
short name.

Two branches see the image. The reconstruction's features are refined by adaptive modulation (`reconstruction`), the
segmentation's are mixed by multi-branch vision mamba (`segmentation`, `mamba`); at every scale both are exchanged
(`fusion`), and each goes to a decoder of its own. Training adds the losses of both branches up (`objective`).
"""

from __future__ import annotations

import copy
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from delineate.common.errors import DataError
from delineate.methods.contract import Batch, Context, MethodInfo, MethodOptions, Panel
from delineate.methods.dense import DenseMethod, FeatureMaps
from delineate.methods.mfel.fusion import Fusion
from delineate.methods.mfel.objective import (
    DynamicWeights,
    reconstruction_terms,
    reconstruction_weight,
)
from delineate.methods.mfel.options import LEVELS, MFELOptions
from delineate.methods.mfel.reconstruction import (
    Adapters,
    Modulation,
    ReconstructionDecoder,
    ReconstructionEncoder,
    corrupt,
)
from delineate.methods.mfel.segmentation import SegmentationDecoder, SegmentationEncoder
from delineate.nn.blocks import crop, pad_to_multiple, resize, resize_like, size_of
from delineate.nn.fuse import fold_batchnorm
from delineate.nn.normalize import make_normalize
from delineate.nn.segmentation_loss import labeled_segmentation_loss

__all__ = ["MFEL", "Features"]

_STEP = 2 ** (LEVELS + 1)


class Features(NamedTuple):
    """Inputs of both decoders; maps of the four scales, finest first."""

    stem: Tensor
    """B×C/2×H/2×W/2, of the segmentation branch."""
    fused: list[Tensor]
    """Z, for the segmentation's decoder."""
    returned: list[Tensor]
    """R', for the reconstruction's decoder; empty where there is no such branch."""
    coarse: Tensor | None
    """Logits B×K×H/32×W/32, where modulation asks for them."""
    foreground: Tensor | None
    """Map B×1×H/4×W/4 that the finest modulation used."""


class MFEL(DenseMethod):
    """`forward(image)`: B×C×H×W → logits B×K×H×W at any size ≥ 32. Sizes that are no multiples of 32 are padded inside by
    repeating the edge, and cropped again. Raises `DataError` for a smaller image."""

    info = MethodInfo(
        name="mfel",
        title="MFEL",
        paper="Huang, Luo: Multi-interactive feature embedding learning for medical image segmentation, Frontiers in Medicine 12 "
        "(2025) 1661984, doi 10.3389/fmed.2025.1661984",
        year=2025,
        min_size=_STEP,
        license_note="Written from the paper's abstract; no code by the authors is known.",
        checkpoint_modules=(
            "encoder.stem",
            *(f"encoder.levels.{level}" for level in range(LEVELS)),
            "decoder",
        ),
        uses_unlabeled=True,
        learns_regions=True,
    )
    Options = MFELOptions
    options: MFELOptions
    kept: str = "both branches"
    """What `deploy()` left of the network."""

    def __init__(self, options: MFELOptions, *, classes: int, in_channels: int) -> None:
        super().__init__(options, classes=classes, in_channels=in_channels)
        widths = options.widths
        self.normalize = make_normalize(in_channels, options.normalize)
        self.encoder = SegmentationEncoder(in_channels, options)
        self.decoder = SegmentationDecoder(classes, options)
        self.reconstruction_encoder: ReconstructionEncoder | Adapters | None = None
        self.modulation, self.fusion = nn.ModuleList(), nn.ModuleList()
        if options.two_branches:
            separate = options.encoder == "separate"
            depth = options.reconstruction.depth
            self.reconstruction_encoder = (
                ReconstructionEncoder(in_channels, widths, depth) if separate else Adapters(widths)
            )
            self.fusion.extend(Fusion(width, options.bfm) for width in widths)
            if options.afm.kind != "none":
                self.modulation.extend(Modulation(width, options.afm) for width in widths)
        self.coarse_head = nn.Conv2d(widths[-1], classes, 1) if options.coarse else None
        self.reconstruction_decoder = ReconstructionDecoder(widths, in_channels) if options.reconstructs else None
        dynamic = options.loss.dynamic and options.reconstructs
        self.balance = DynamicWeights(options.loss.temperature) if dynamic else None

    @classmethod
    def uses_unlabeled(cls, options: MethodOptions) -> bool:
        return cast("MFELOptions", options).reconstructs

    def encode(self, image: Tensor) -> FeatureMaps:
        """The stem's map, then Z; without what only the reconstruction uses."""
        ready = self._prepare(image)
        return _read_by_decoder(self.features(ready, ready), image)

    def decode(self, maps: FeatureMaps) -> Tensor:
        stem, *fused = maps.levels
        return _enlarged(self.decoder(stem, fused), maps.size)

    def features(self, image: Tensor, shown: Tensor) -> Features:
        """Both encoders, modulation and fusion. `image`, `shown`: what the segmentation's and the reconstruction's encoder see,
        normalized, B×C×H×W with sizes that are multiples of 32."""
        stem, maps = self.encoder(image)
        if self.reconstruction_encoder is None:
            return Features(stem, maps, [], None, None)
        second = self.reconstruction_encoder(maps if isinstance(self.reconstruction_encoder, Adapters) else shown)
        coarse = None if self.coarse_head is None else self.coarse_head(maps[-1])
        foreground = None
        if self.modulation:
            chosen = self._foregrounds(second, coarse)
            second = [part(x, inside) for part, x, inside in zip(self.modulation, second, chosen, strict=True)]
            foreground = chosen[0]
        pairs = [fuse(s, r) for fuse, s, r in zip(self.fusion, maps, second, strict=True)]
        return Features(stem, [z for z, _ in pairs], [r for _, r in pairs], coarse, foreground)

    def reconstructed(self, features: Features, image: Tensor) -> Tensor:
        """The reconstruction B×C×H×W at the size of `image`; not bounded to [0, 1]."""
        assert self.reconstruction_decoder is not None
        made: Tensor = self.reconstruction_decoder(features.returned)
        return made[..., : image.shape[-2], : image.shape[-1]]

    def output_layers(self) -> tuple[nn.Conv2d, ...]:
        return (self.decoder.head,) if self.coarse_head is None else (self.decoder.head, self.coarse_head)

    def objective(self, batch: Batch, ctx: Context) -> dict[str, Tensor]:
        """Segmentation terms of the labeled samples, and the reconstruction's of all."""
        image, labeled, loss = batch["image"], batch["labeled"], self.options.loss
        mask = self.output.target(batch["mask"])
        features = self._seen(image, ctx)
        found = labeled_segmentation_loss(self._logits(features, image), mask, labeled, loss.segmentation)
        if features.coarse is not None and loss.coarse:
            enlarged = _enlarged(features.coarse, size_of(image))
            coarse = labeled_segmentation_loss(enlarged, mask, labeled, loss.segmentation)
            found["coarse"] = loss.coarse * torch.stack(list(coarse.values())).sum()
        if self.reconstruction_decoder is None:
            return found
        rebuilt = reconstruction_terms(self.reconstructed(features, image), image, loss)
        weights = self._weights(found, rebuilt, labeled)
        factor = reconstruction_weight((ctx.step + 1) / max(1, ctx.total_steps), loss)
        share = ctx.weight_of_part(labeled)
        return {key: share * weights[0] * term for key, term in found.items()} | {
            key: factor * weights[1] * term for key, term in rebuilt.items()
        }

    def after_step(self, ctx: Context) -> None:
        """Keep the losses from which the next weights are computed."""
        if self.balance is not None:
            self.balance.step()

    def deploy(self) -> nn.Module:
        """What the logits need: BatchNorm folded, channels-last, without the reconstruction's decoder. Its encoder, modulation and
        fusion stay where the segmentation reads them, and go too where it does not; the attribute `kept` says which."""
        lean = copy.deepcopy(self).eval()
        lean.reconstruction_decoder = lean.balance = None
        if self.options.bfm.kind == "none":
            lean.reconstruction_encoder = lean.coarse_head = None
            lean.modulation, lean.fusion = nn.ModuleList(), nn.ModuleList()
        lean.kept = _KEPT_ALONE if lean.reconstruction_encoder is None else _KEPT_BOTH
        return fold_batchnorm(lean).to(memory_format=torch.channels_last)

    def panels(self, batch: Batch) -> dict[str, Panel]:
        """`probability`: of any foreground class. `foreground`: the map by which the finest modulation tells foreground from
        background. `reconstruction`: the image from the second branch; `error`: five times its absolute error, mean over
        channels (one fifth of the range and more is shown at full strength)."""
        image = batch["image"]
        ready = self._prepare(image)
        features = self.features(ready, ready)
        probability = self.output.foreground(self._logits(features, image))
        found = {"probability": Panel("heat", probability)}
        if features.foreground is not None:
            found["foreground"] = Panel("heat", _enlarged(features.foreground.float(), size_of(image)).clamp(0, 1))
        if self.reconstruction_decoder is not None:
            made = self.reconstructed(features, image).float().clamp(0, 1)
            error = 5 * (made - image.float()).abs().mean(1, keepdim=True)
            found["input"] = Panel.of_image(image)
            found["reconstruction"] = Panel.of_image(made)
            found["error"] = Panel("heat", error.clamp(0, 1))
        return found

    def _seen(self, image: Tensor, ctx: Context) -> Features:
        """Features in training: the reconstruction's encoder may be shown less than the segmentation's."""
        ready = self._prepare(image)
        shown = ready
        if self.training and self.reconstruction_decoder is not None:
            corrupted = corrupt(image, self.options.reconstruction, ctx.generator)
            shown = ready if corrupted is image else self._prepare(corrupted)
        return self.features(ready, shown)

    def _foregrounds(self, maps: list[Tensor], coarse: Tensor | None) -> list[Tensor]:
        """The foreground map of every scale: each modulation's own, or the coarse segmentation at that size."""
        if coarse is None:
            parts = cast("list[Modulation]", list(self.modulation))
            return [part.map(x) for part, x in zip(parts, maps, strict=True)]
        foreground = self.output.foreground(coarse.detach() if self.options.afm.detach else coarse)
        return [resize_like(foreground, x) for x in maps]

    def _logits(self, features: Features, image: Tensor) -> Tensor:
        return self.decode(_read_by_decoder(features, image))

    def _weights(
        self, found: dict[str, Tensor], rebuilt: dict[str, Tensor], labeled: Tensor
    ) -> Tensor | tuple[float, float]:
        """Weights of segmentation and reconstruction. In training their losses are recorded."""
        if self.balance is None:
            return (1.0, 1.0)
        weights: Tensor = self.balance()
        if self.training:
            if bool(labeled.any()):
                self.balance.record(0, torch.stack(list(found.values())).sum())
            self.balance.record(1, torch.stack(list(rebuilt.values())).sum())
        return weights

    def _prepare(self, image: Tensor) -> Tensor:
        """Normalized, and padded to a multiple of the coarsest scale's step."""
        height, width = image.shape[-2:]
        if min(height, width) < _STEP:
            raise DataError(
                f"method 'mfel': an image of {height}×{width} pixels is too small for {LEVELS} scales: the smallest size is "
                f"{_STEP}×{_STEP}; choose a larger input.size"
            )
        return self.normalize(pad_to_multiple(image, _STEP))


def _read_by_decoder(features: Features, image: Tensor) -> FeatureMaps:
    return FeatureMaps([features.stem, *features.fused], size_of(image))


def _enlarged(x: Tensor, size: tuple[int, int]) -> Tensor:
    """A map of the padded image brought to that one's size, then cropped to the image's."""
    height, width = size
    return crop(resize(x, (height + -height % _STEP, width + -width % _STEP)), size)


_KEPT_BOTH = "the segmentation branch, and the reconstruction's encoder, modulation and fusion, which it reads"
_KEPT_ALONE = "the segmentation branch, which reads nothing of the reconstruction's"
