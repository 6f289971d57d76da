"""Any timm network as an encoder (backbone): its first feature maps, and nothing of it that they do not need.

Building one never downloads anything. Pretrained weights are fetched by `load_pretrained` alone, and a failure there is an error,
never a silent random start.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import timm
from torch import Tensor, nn

from delineate.common.errors import RecipeError
from delineate.common.names import did_you_mean
from delineate.nn.blocks import crop, pad_to_multiple
from delineate.nn.encoders.origin import WeightsOrigin
from delineate.nn.encoders.sources import weights_source
from delineate.nn.encoders.weights import fit
from delineate.nn.meta_device import on_meta_device

__all__ = ["Encoder", "check_name", "feature_tensors", "pyramid"]


class Encoder(nn.Module):
    """The first feature maps of a timm network, with random weights; later stages are dropped.

    `forward`: B×in_channels×H×W → list of B×channels[i]×⌈H/reductions[i]⌉×⌈W/reductions[i]⌉, highest resolution first.
    Images of other sizes than multiples of the coarsest reduction are padded (edge values) and the maps cropped, since many
    architectures take no others. A vision transformer has maps of one resolution only: `patch` is then the side of its patches.

    Args:
        name: Any timm network that gives feature maps, such as "resnet50" or "convnext_tiny".
        in_channels: Channels of the images.
        levels: How many feature maps.
        output_stride: 8 or 16 keeps at least this resolution (1/8 or 1/16), by dilation instead of the later strides; the weights
            stay the same. None: the network's own strides.

    Raises:
        RecipeError: timm has no network of that name, it has too few levels, or it cannot be dilated.

    Example:
        >>> from delineate.nn.encoders.encoder import Encoder
        >>> encoder = Encoder("resnet18", levels=3)
        >>> encoder.channels, encoder.reductions
        ((64, 64, 128), (2, 4, 8))
        >>> [tuple(x.shape) for x in encoder(torch.rand(1, 3, 64, 64))]
        [(1, 64, 32, 32), (1, 64, 16, 16), (1, 128, 8, 8)]
    """

    def __init__(
        self, name: str = "resnet50", *, in_channels: int = 3, levels: int = 4, output_stride: int | None = None
    ) -> None:
        super().__init__()
        check_name(name)
        self.name, self.in_channels, self.levels, self.output_stride = name, in_channels, levels, output_stride
        self.network = _features(name, in_channels, levels, output_stride, pretrained=False)
        _enable_residual_branches(self.network)
        info: Any = self.network.feature_info
        self.channels: tuple[int, ...] = tuple(info.channels())
        self.reductions: tuple[int, ...] = tuple(info.reduction())
        self.step: int = max(level["reduction"] for level in info.info)
        self.patch: int | None = self.step if len(pyramid(name)) > 1 and len(set(pyramid(name))) == 1 else None
        """Side in pixels of the patches that a network with maps of one resolution cuts images into; None for others."""
        self._channels_last = str(getattr(self.network, "output_fmt", "NCHW")).endswith("NHWC")

    def forward(self, image: Tensor) -> list[Tensor]:
        height, width = image.shape[-2:]
        try:
            maps = self.network(pad_to_multiple(image, self.step))
        except AssertionError as error:  # of networks whose windows must fit
            raise RecipeError(
                f"encoder '{self.name}' cannot take images of {height}×{width} ({error}); use another --size"
            ) from error
        if self._channels_last:
            maps = [x.permute(0, 3, 1, 2) for x in maps]
        # Rounded up without a negated division, which ONNX would round the other way.
        sizes = [((height + r - 1) // r, (width + r - 1) // r) for r in self.reductions]
        return [crop(x, size) for x, size in zip(maps, sizes, strict=True)]

    def check_size(self, size: tuple[int, int]) -> None:
        """Refuse a working size of the network whose sides are not multiples of the patches.

        Such images could be padded, but then their last patches are mostly padding.

        Args:
            size: Height and width in pixels.

        Raises:
            RecipeError: Naming the nearest sizes that are.
        """
        if self.patch is None or not any(side % self.patch for side in size):
            return
        below = [max(1, side // self.patch) * self.patch for side in size]
        above = [-(-side // self.patch) * self.patch for side in size]
        raise RecipeError(
            f"input.size: encoder '{self.name}' cuts images into patches of {self.patch}×{self.patch} pixels, and "
            f"{size[0]}×{size[1]} is no multiple of that; use {below[0]}×{below[1]} or {above[0]}×{above[1]}"
        )

    def load_pretrained(self, source: bool | str) -> WeightsOrigin | None:
        """Load pretrained weights.

        Args:
            source: False: nothing is loaded. True: timm's weights, downloaded once. "package:NAME": those of an installed package.
                A name: weights of the local store. A path: a local .safetensors or torch file with timm's names.

        Returns:
            Where they come from; None: nothing was loaded.

        Raises:
            DelineateError: The weights cannot be fetched or read, or do not fit; the message names missing and misshapen tensors.
        """
        place = weights_source(self.name, source, self._from_timm)
        if place is None:
            return None
        found, origin = place.read()
        weights = fit(
            found, self.network.state_dict(), in_channels=self.in_channels, encoder=self.name, where=str(source)
        )
        self.network.load_state_dict(weights)
        return origin

    def _from_timm(self) -> nn.Module:
        return _features(self.name, self.in_channels, self.levels, self.output_stride, pretrained=True)


@cache
def pyramid(name: str) -> tuple[int, ...]:
    """Reductions of all feature maps that the encoder `name` can give: (2, 4, 8, 16, 32) for a ResNet.

    No memory is taken for weights. Raises `RecipeError` as `Encoder` does.
    """
    check_name(name)
    with on_meta_device():
        info: Any = _features(name, 3, 1, None, pretrained=False).feature_info
    return tuple(level["reduction"] for level in info.info)


def feature_tensors(name: str) -> dict[str, Tensor]:
    """The tensors of the encoder `name` with all of its feature maps, by name, without values.

    Raises `RecipeError` as `Encoder` does.
    """
    levels = len(pyramid(name))
    with on_meta_device():
        return dict(_features(name, 3, levels, None, pretrained=False).state_dict())


def check_name(name: str) -> None:
    """Raise `RecipeError` unless timm itself has an architecture of that name: addresses and folders, which timm also takes, are
    refused."""
    if ":" in name or not timm.is_model(name):
        hint = did_you_mean(name, timm.list_models())
        hint = hint if hint.startswith("did") else "see timm.list_models() for the names"
        raise RecipeError(f"unknown encoder '{name}': {hint}")


def _features(name: str, in_channels: int, levels: int, output_stride: int | None, *, pretrained: bool) -> nn.Module:
    arguments: dict[str, Any] = dict(_any_size(name))
    if output_stride is not None:
        arguments["output_stride"] = output_stride
    try:
        return timm.create_model(
            name,
            pretrained=pretrained,
            features_only=True,
            in_chans=in_channels,
            out_indices=tuple(range(levels)),
            **arguments,
        )
    except (IndexError, AssertionError, KeyError) as error:
        raise RecipeError(
            f"encoder '{name}' gives fewer than the {levels} feature maps that this method needs; choose another one"
        ) from error
    except (AttributeError, RuntimeError, TypeError) as error:
        if pretrained:
            raise
        if output_stride is not None:
            raise RecipeError(
                f"encoder '{name}' cannot be dilated to an output stride of {output_stride}; choose a ResNet, or no output stride"
            ) from error
        raise RecipeError(
            f"encoder '{name}' cannot be used: timm gives no feature maps of it at any size ({error})"
        ) from error


@cache
def _any_size(name: str) -> tuple[tuple[str, bool], ...]:
    """timm's argument by which a network of a fixed size takes others: vision transformers have one word for it, Swin another, and
    some have none."""
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.fixed_input_size:
        return ()
    for argument in (("dynamic_img_size", True), ("strict_img_size", False)):
        try:
            with on_meta_device():
                made: dict[str, Any] = dict((argument,))
                timm.create_model(name, **made)
        except TypeError as error:
            if argument[0] in str(error):
                continue
        except Exception:  # other faults show when the network is made in earnest
            pass
        return (argument,)
    return ()


def _enable_residual_branches(network: nn.Module) -> None:
    """Undo timm's `zero_init_last`: many networks start with residual branches of weight 0 (their last normalization).

    That suits hundreds of epochs. Over a few epochs from scratch it costs accuracy: a ResNet-18 U-Net on Kvasir-SEG at 128² had
    test Dice .63 instead of .72 after 6 of 8 epochs.
    """
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.affine:
            nn.init.ones_(module.weight)
