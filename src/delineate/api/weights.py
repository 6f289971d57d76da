"""Encoder weights of the local store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from delineate.common.errors import DelineateError
from delineate.common.names import did_you_mean, listed
from delineate.requests.signature import takes
from delineate.requests.weights import AddWeightsOptions

if TYPE_CHECKING:
    from delineate.nn.encoders.store import StoredRecord

__all__ = ["add_weights", "list_weights", "remove_weights"]


@takes(AddWeightsOptions)
def add_weights(file: Path | str, **options: Unpack[AddWeightsOptions]) -> StoredRecord:
    """Put the weights of an encoder into the local store. `method.encoder.pretrained=NAME` then starts from them.

    The file is read weights-only: nothing in it is executed. Names of timm, torchvision, efficientnet_pytorch and DINOv2 are known.

    Args:
        file: A `.safetensors` file, or a torch file (`.pth`, `.pt`) of plain tensors.

    Returns:
        What is now known of the weights. No folder is in it.

    Raises:
        DelineateError: The file cannot be read, or does not fit the encoder (the first tensor that does not is named); the name is
            taken. The store is then as it was.

    Example:
        ```python
        delineate.add_weights("resnet50-11ad3fa6.pth", encoder="resnet50", license="bsd-3-clause", name="tv-resnet50")
        delineate.train("polyps/", method="unet", out="run", settings=["method.encoder.pretrained=tv-resnet50"])
        ```
    """
    from delineate.nn.encoders.adding import add_weights as add

    return add(
        Path(file).expanduser(),
        encoder=options["encoder"],
        license=options["license"],
        name=options["name"],
        mean=_numbers("--mean", options["mean"]),
        std=_numbers("--std", options["std"]),
    )


def remove_weights(name: str) -> StoredRecord:
    """Remove the encoder weights of a name from the local store. Models that started from them stay as they are.

    Args:
        name: As `list_weights` has it.

    Returns:
        What was known of them.

    Raises:
        DelineateError: There are none of that name, or the folder cannot be removed.

    Example:
        ```python
        delineate.remove_weights("tv-resnet50")
        ```
    """
    from delineate.nn.encoders.store import remove_stored

    (record,) = list_weights(name)
    remove_stored(name)
    return record


def list_weights(name: str | None = None) -> list[StoredRecord]:
    """The encoder weights of the local store.

    Args:
        name: Of these alone; None: all.

    Returns:
        A record for each, sorted by name.

    Raises:
        DelineateError: There are none of that name, or a record is damaged.

    Example:
        >>> delineate.list_weights()
        []
    """
    from delineate.nn.encoders.store import stored, stored_names

    names = stored_names()
    if name is not None and name not in names:
        raise DelineateError(f"no weights '{name}' in the store: {did_you_mean(name, names)}")
    return [stored(one) for one in (names if name is None else [name])]


def _numbers(option: str, given: str | Sequence[float] | None) -> list[float] | None:
    """Raises `DelineateError` for what are no numbers."""
    if given is None:
        return None
    try:
        return [float(one) for one in (listed(given) if isinstance(given, str) else given)]
    except ValueError:
        raise DelineateError(f"{option} {given}: expected numbers, separated by commas: 0.485,0.456,0.406") from None
