"""From what a model file says to a network that its weights fit, whatever the file says."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from delineate.artefact.header import stored_shapes
from delineate.common.errors import ArtefactError, DelineateError
from delineate.data.core.regions import Region
from delineate.methods import registry
from delineate.methods.contract import Method
from delineate.nn.meta_device import on_meta_device

__all__ = ["rebuild"]

_Shapes = dict[str, tuple[int, ...]]
"""Of parameters and buffers, by name."""


def rebuild(
    file: Path,
    method: str,
    *,
    classes: int,
    in_channels: int,
    options: dict[str, Any],
    regions: tuple[Region, ...] = (),
) -> Method:
    """The method with random weights, whose parameters are those of the file by name and shape. Nothing is fetched.

    They are compared before any memory is taken for them: a made-up header may ask for sizes that no machine has. Raises
    `ArtefactError`.
    """
    build = partial(registry.build, method, classes=classes, in_channels=in_channels, options=options, regions=regions)
    try:
        with torch.random.fork_rng(devices=[]):
            planned = _planned(build)
            if planned is not None:
                _check_fit(planned, stored_shapes(file), method, file)
            built = build()
    except ArtefactError:
        raise
    except DelineateError as error:
        hint = "" if method in registry.names() else "; install the package that adds this method"
        raise ArtefactError(f"{file} cannot be rebuilt: {error}{hint}") from error
    except Exception as error:  # whatever a network says to options that nobody tried
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ArtefactError(f"{file} cannot be rebuilt: method '{method}' fails ({reason})") from error
    _check_fit(_shapes_of(built), stored_shapes(file), method, file)
    return built


def _planned(build: Callable[[], Method]) -> _Shapes | None:
    """The parameters that a method will have; None for one that cannot be built without memory."""
    try:
        with on_meta_device():
            return _shapes_of(build())
    except DelineateError:
        raise
    except Exception:
        return None


def _shapes_of(method: Method) -> _Shapes:
    return {name: tuple(value.shape) for name, value in method.state_dict().items()}


def _check_fit(own: _Shapes, tensors: _Shapes, method: str, file: Path) -> None:
    faults = [f"'{name}' is missing" for name in own if name not in tensors]
    faults += [f"'{name}' is left over" for name in tensors if name not in own]
    faults += [
        f"'{name}' has shape {tensors[name]}, expected {shape}"
        for name, shape in own.items()
        if name in tensors and tensors[name] != shape
    ]
    if faults:
        more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise ArtefactError(f"{file} does not fit method '{method}': {faults[0]}{more}")
