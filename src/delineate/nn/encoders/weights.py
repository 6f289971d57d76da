"""Weights of an encoder: read from a file, known by their origin, fitted to a network by name and shape."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models import adapt_input_conv
from torch import Tensor

from delineate.common.errors import DelineateError
from delineate.nn.encoders.origin import WeightsOrigin
from delineate.nn.normalize import ChannelStatistics

__all__ = ["WeightsSource", "fit", "of_state_dict", "read_weights", "sha256_of"]


class WeightsSource(Protocol):
    """One place that pretrained weights can come from. Asking for its statistics reads no weights."""

    def statistics(self) -> ChannelStatistics | None:
        """The input statistics that the weights were trained with; None: not known."""

    def assumption(self) -> str | None:
        """What had to be assumed about them, for the user; None: nothing."""

    def check(self) -> None:
        """Raise `DelineateError` where the weights surely cannot be had, or are another encoder's. Cheap."""

    def read(self) -> tuple[dict[str, Tensor], WeightsOrigin]:
        """Tensors by timm's names, and their origin. Raises `DelineateError`, also as `check` does."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by name from a `.safetensors` file or a torch file, which is read weights-only: nothing in it is executed.

    `state_dict`, `model` and `teacher` wrappers and a `module.` prefix are taken off. Raises `DelineateError` with the file's name
    when it cannot be read.
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
    return of_state_dict(content, path)


def of_state_dict(content: Any, where: object) -> dict[str, Tensor]:
    """What a torch file holds, without wrappers. Raises `DelineateError` naming `where` for anything but names and tensors."""
    for wrapper in ("state_dict", "model", "teacher"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise DelineateError(f"{where} does not hold a state dict (names and tensors)")
    return {str(key).removeprefix("module."): value for key, value in content.items()}


def sha256_of(path: Path) -> str:
    """Hexadecimal; about a second for a gigabyte."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fit(
    found: Mapping[str, Tensor], own: Mapping[str, Tensor], *, in_channels: int, encoder: str, where: str
) -> dict[str, Tensor]:
    """The tensors of `found` under the names of `own`, which are like these in shape; others are left out.

    Raises `DelineateError` naming `where`, and the missing or misshapen tensors.
    """
    weights: dict[str, Tensor] = {}
    missing: list[str] = []
    misshapen: list[str] = []
    for key, like in own.items():
        value = _pick(found, key, like, in_channels)
        if value is None:
            missing.append(key)
            continue
        weights[key] = value
        if value.shape != like.shape:
            misshapen.append(f"{key} is {_shape(value)}, not {_shape(like)}")
    if missing:
        raise DelineateError(f"{where} does not fit the encoder '{encoder}': missing {_some(missing)}")
    if misshapen:
        raise DelineateError(f"{where} does not fit the encoder '{encoder}': {_some(misshapen)}")
    return weights


def _pick(found: Mapping[str, Tensor], key: str, like: Tensor, in_channels: int) -> Tensor | None:
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
    if key.startswith("model."):  # timm puts vision transformers into a module of that name to get their feature maps
        yield key.removeprefix("model.")
    # timm's feature extractor joins the first two parts of some names by an underscore.
    head, _, rest = key.partition(".")
    stem, _, index = head.rpartition("_")
    if stem:
        yield f"{stem}.{index}.{rest}"


def _shape(x: Tensor) -> str:
    return "×".join(str(n) for n in x.shape)


def _some(names: list[str], limit: int = 4) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
