"""How far each parameter lies from the top of a network, for learning rates that fall layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

import timm
from timm.models import group_parameters
from torch import nn

from delineate.nn.encoders.encoder import Encoder
from delineate.nn.meta_device import on_meta_device

__all__ = ["layer_depths"]

_ORDERED = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
"""Containers (exactly these types) whose members are layers of their own."""


def layer_depths(module: nn.Module) -> dict[str, int]:
    """Parameter names of `module` → how many layers lie from there to the top, the last layer itself counted: it has 1.

    Of every timm encoder within `module`: timm's own layers (its `group_matcher`), which are the stem and the blocks; what `module`
    has beside its encoders is above them and not in the result. Of a module without such an encoder: its blocks, in the order in
    which they are defined.

    Example:
        >>> from delineate.nn.encoders.encoder import Encoder
        >>> from delineate.nn.encoders.layer_depths import layer_depths
        >>> depths = layer_depths(Encoder("resnet18", levels=5))
        >>> depths["network.layer4.1.conv2.weight"], depths["network.layer4.0.conv1.weight"], depths["network.conv1.weight"]
        (1, 2, 9)
    """
    encoders = {name: part for name, part in module.named_modules() if isinstance(part, Encoder)}
    if not encoders:
        return _depths(_blocks(module))
    found: dict[str, int] = {}
    for name, encoder in encoders.items():
        prefix = f"{name}.network." if name else "network."
        layers = _timm_layers(encoder)
        found |= {prefix + parameter: depth for parameter, depth in _depths(layers or _blocks(encoder.network)).items()}
    return found


def _depths(layers: Mapping[str, int]) -> dict[str, int]:
    """Parameter → number of its layer from the bottom, turned round and without gaps."""
    from_top = sorted(set(layers.values()), reverse=True)
    return {parameter: from_top.index(layer) + 1 for parameter, layer in layers.items()}


def _timm_layers(encoder: Encoder) -> dict[str, int]:
    """Parameters of an encoder's network → layers as timm groups them; empty where timm does not."""
    groups = _groups(encoder.name)
    layers: dict[str, int] = {}
    latest = 0
    for name, _ in encoder.network.named_parameters():
        # A few parameters are the feature extractor's own (a normalization after a stage): they belong to the layer before.
        latest = next((groups[known] for known in _names_in_timm(name) if known in groups), latest)
        layers[name] = latest
    return layers if groups else {}


@cache
def _groups(name: str) -> dict[str, int]:
    """Parameters of timm's whole network → number of the layer, from the bottom. Builds it, without memory for weights."""
    with on_meta_device():
        network = timm.create_model(name)
    matcher = getattr(network, "group_matcher", None)
    return {} if matcher is None else dict(group_parameters(network, matcher(coarse=False), reverse=True))


def _names_in_timm(name: str) -> Iterator[str]:
    """What the whole network may call a parameter of its feature extractor."""
    yield name
    yield name.removeprefix("model.")
    head, _, rest = name.partition(".")
    before, _, index = head.rpartition("_")
    if before and index.isdigit():
        yield f"{before}.{index}.{rest}"


def _blocks(module: nn.Module) -> dict[str, int]:
    """Parameters → number of the block. Containers of blocks are opened; what a module has besides its children comes first."""
    layers = {name: 0 for name, _ in module.named_parameters()}
    for number, block in enumerate(_opened(*_unwrapped(module)), start=1):
        layers |= {name: number for name in layers if name.startswith(f"{block}.")}
    return layers


def _unwrapped(module: nn.Module, prefix: str = "") -> tuple[nn.Module, str]:
    """The module within that has more than one part, and what the names of its parameters begin with."""
    children = _learning_children(module)
    if len(children) != 1:
        return module, prefix
    ((name, child),) = children.items()
    return _unwrapped(child, f"{prefix}{name}.")


def _opened(module: nn.Module, prefix: str) -> Iterator[str]:
    """Names of the blocks of `module`, in order."""
    for name, child in _learning_children(module).items():
        if type(child) in _ORDERED and all(map(_learning_children, _learning_children(child).values())):
            yield from _opened(child, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _learning_children(module: nn.Module) -> dict[str, nn.Module]:
    """Those with parameters."""
    return {name: child for name, child in module.named_children() if any(True for _ in child.parameters())}
