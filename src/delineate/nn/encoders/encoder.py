"""Any timm network as an encoder (backbone): its first feature maps, and nothing of it that they do not need.

Building one never downloads anything. Pretrained weights are fetched by `load_pretrained` alone, and a failure there is an error,
never a silent random start.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import timm
import torch
from huggingface_hub import try_to_load_from_cache
from huggingface_hub.constants import ENDPOINT
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models import adapt_input_conv
from torch import Tensor, nn

from delineate.common.errors import DelineateError, RecipeError
from delineate.common.names import did_you_mean
from delineate.nn.blocks import pad_to_multiple
from delineate.nn.meta_device import on_meta_device

__all__ = ["Encoder", "EncoderOptions", "check_name", "pyramid", "read_weights"]


class EncoderOptions(BaseModel):
    """Which encoder a method is built on, and where its first weights come from.

    Example:
        >>> from delineate.nn.encoders.encoder import EncoderOptions
        >>> EncoderOptions(name="resnet18").pretrained
        False
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field("resnet50", description="any timm network that gives feature maps")
    pretrained: bool | str = Field(
        False,
        description="true: timm's weights, downloaded once; a path: a local .safetensors or weights-only torch file",
    )


class Encoder(nn.Module):
    """The first feature maps of a timm network, with random weights; later stages are dropped.

    `forward`: B×in_channels×H×W → list of B×channels[i]×⌈H/reductions[i]⌉×⌈W/reductions[i]⌉, highest resolution first.
    Images of other sizes than multiples of the coarsest reduction are padded (edge values) and the maps cropped, since many
    architectures take no others.

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
        self._channels_last = str(getattr(self.network, "output_fmt", "NCHW")).endswith("NHWC")

    def forward(self, image: Tensor) -> list[Tensor]:
        height, width = image.shape[-2:]
        maps = self.network(pad_to_multiple(image, self.step))
        if self._channels_last:
            maps = [x.permute(0, 3, 1, 2) for x in maps]
        return [x[..., : -(-height // r), : -(-width // r)] for x, r in zip(maps, self.reductions, strict=True)]

    def load_pretrained(self, source: bool | str) -> None:
        """Load pretrained weights.

        Args:
            source: False: nothing is loaded. True: timm's weights, downloaded once. A path: a local .safetensors or torch file with
                timm's names.

        Raises:
            DelineateError: The weights cannot be fetched or read, or do not fit; the message names missing and misshapen tensors.
        """
        if source is False:
            return
        weights = self._from_timm() if source is True else self._from_file(Path(source))
        self.network.load_state_dict(weights)

    def _from_timm(self) -> dict[str, Tensor]:
        try:
            _check_reachable(self.name)
            network = _features(self.name, self.in_channels, self.levels, self.output_stride, pretrained=True)
            return dict(network.state_dict())
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise DelineateError(
                f"cannot fetch the pretrained weights of '{self.name}' ({reason}); go online once, give a local file "
                "(--set method.encoder.pretrained=FILE), or --set method.encoder.pretrained=false to start from random weights"
            ) from error

    def _from_file(self, path: Path) -> dict[str, Tensor]:
        found = read_weights(path)
        weights: dict[str, Tensor] = {}
        missing: list[str] = []
        misshapen: list[str] = []
        for key, own in self.network.state_dict().items():
            value = _pick(found, key, own, self.in_channels)
            if value is None:
                missing.append(key)
                continue
            weights[key] = value
            if value.shape != own.shape:
                misshapen.append(f"{key} is {_shape(value)}, not {_shape(own)}")
        if missing:
            raise DelineateError(f"{path} does not fit the encoder '{self.name}': missing {_some(missing)}")
        if misshapen:
            raise DelineateError(f"{path} does not fit the encoder '{self.name}': {_some(misshapen)}")
        return weights


@cache
def pyramid(name: str) -> tuple[int, ...]:
    """Reductions of all feature maps that the encoder `name` can give: (2, 4, 8, 16, 32) for a ResNet.

    No memory is taken for weights. Raises `RecipeError` as `Encoder` does.
    """
    check_name(name)
    with on_meta_device():
        info: Any = _features(name, 3, 1, None, pretrained=False).feature_info
    return tuple(level["reduction"] for level in info.info)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by name from a `.safetensors` file or a torch file, which is read weights-only: nothing in it is executed.

    `state_dict` and `model` wrappers and a `module.` prefix are taken off. Raises `DelineateError` with the file's name when it
    cannot be read.
    """
    try:
        is_safetensors = path.suffix == ".safetensors"
        content: Any = load_file(path) if is_safetensors else torch.load(path, "cpu", weights_only=True)
    except FileNotFoundError as error:
        raise DelineateError(f"weights file {path} does not exist; check the path") from error
    except (OSError, SafetensorError) as error:
        raise DelineateError(f"cannot read weights from {path}: {error}") from error
    except Exception as error:
        raise DelineateError(
            f"cannot read weights from {path}: not a torch file of plain tensors ({type(error).__name__}); "
            "save its state dict alone, or as .safetensors"
        ) from error
    for wrapper in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise DelineateError(f"{path} does not hold a state dict (names and tensors)")
    return {str(key).removeprefix("module."): value for key, value in content.items()}


def check_name(name: str) -> None:
    """Raise `RecipeError` unless timm itself has an architecture of that name: addresses and folders, which timm also takes, are
    refused."""
    if ":" in name or not timm.is_model(name):
        hint = did_you_mean(name, timm.list_models())
        hint = hint if hint.startswith("did") else "see timm.list_models() for the names"
        raise RecipeError(f"unknown encoder '{name}': {hint}")


def _check_reachable(name: str) -> None:
    """Raise `OSError` at once where the hub is needed but cannot be reached; left to itself, timm tries for a minute."""
    config = timm.get_pretrained_cfg(name)
    repository = config.hf_hub_id if config is not None else None
    if repository is None or getproxies():
        return
    files = ("model.safetensors", "pytorch_model.bin")
    if any(isinstance(try_to_load_from_cache(repository, file), str) for file in files):
        return
    address = urlsplit(ENDPOINT)
    with socket.create_connection((address.hostname or "", address.port or 443), timeout=10):
        pass


def _features(name: str, in_channels: int, levels: int, output_stride: int | None, *, pretrained: bool) -> nn.Module:
    config = timm.get_pretrained_cfg(name)
    arguments: dict[str, Any] = {}
    if config is not None and config.fixed_input_size:
        arguments["strict_img_size"] = False
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


def _enable_residual_branches(network: nn.Module) -> None:
    """Undo timm's `zero_init_last`: many networks start with residual branches of weight 0 (their last normalization).

    That suits hundreds of epochs. Over a few epochs from scratch it costs accuracy: a ResNet-18 U-Net on Kvasir-SEG at 128² had
    test Dice .63 instead of .72 after 6 of 8 epochs.
    """
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.affine:
            nn.init.ones_(module.weight)


def _pick(found: dict[str, Tensor], key: str, like: Tensor, in_channels: int) -> Tensor | None:
    """The tensor of `found` for the encoder's `key`, which is like the tensor `like`; None where there is none.

    A step counter that old files lack is taken from the network. A first convolution is adapted to the channels.
    """
    value = next((found[name] for name in _names_in_files(key) if name in found), None)
    if value is None:
        return like if key.endswith("num_batches_tracked") else None
    is_first_conv = value.ndim == 4 == like.ndim and value.shape[1] == 3 and like.shape[1] == in_channels != 3
    return adapt_input_conv(in_channels, value) if is_first_conv else value


def _names_in_files(key: str) -> Iterator[str]:
    """What files may call the encoder's `key`."""
    yield key
    yield f"backbone.{key}"  # torchvision's segmentation networks, whose ResNets have timm's names
    # timm's feature extractor joins the first two parts of some names by an underscore.
    head, _, rest = key.partition(".")
    stem, _, index = head.rpartition("_")
    if stem and index.isdigit():
        yield f"{stem}.{index}.{rest}"


def _shape(x: Tensor) -> str:
    return "×".join(str(n) for n in x.shape)


def _some(names: list[str], limit: int = 4) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
