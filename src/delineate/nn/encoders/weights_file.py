"""Pretrained weights in a file of the user's, with timm's names."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import timm
from torch import Tensor

from delineate.common.config import first_fault
from delineate.common.errors import DelineateError
from delineate.common.names import did_you_mean
from delineate.nn.encoders.hub import hub_statistics
from delineate.nn.encoders.options import PACKAGE
from delineate.nn.encoders.origin import WeightsOrigin
from delineate.nn.encoders.packages import PACKAGES
from delineate.nn.encoders.store import name_fault, stored_names
from delineate.nn.encoders.weights import read_weights, sha256_of
from delineate.nn.normalize import IMAGENET, ChannelStatistics

__all__ = ["FileWeights"]


class FileWeights:
    """A `.safetensors` or weights-only torch file for `encoder`. A `config.json` beside it, as timm's hub has one, says which
    network the weights are of, and their input statistics."""

    def __init__(self, path: Path, encoder: str) -> None:
        self.path, self.encoder = path.expanduser(), encoder

    def statistics(self) -> ChannelStatistics | None:
        """Those of `config.json`; else those of timm's default weights of the encoder, which is said in `assumption`."""
        return self._stated_statistics or hub_statistics(self.encoder)

    def assumption(self) -> str | None:
        if self._stated_statistics is not None:
            return None
        taken = self.statistics()
        like = f"those of timm's default weights of '{self.encoder}'" if taken is not None else "ImageNet's"
        return (
            f"{self.path.name} does not say which mean and std its weights expect (no config.json beside it does): {like} are "
            f"taken ({(taken or IMAGENET).words}); method.normalize says others"
        )

    def check(self) -> None:
        if not self.path.is_file():
            raise DelineateError(f"weights file {self.path} {self._missing()}")
        if (stated := self.other_encoder) is not None:
            raise DelineateError(
                f"{self.path} holds weights of '{stated}' (says {self.path.with_name('config.json')}), and the encoder is "
                f"'{self.encoder}'; use --set method.encoder.name={stated}"
            )

    @property
    def other_encoder(self) -> str | None:
        """Of which other network `config.json` says that these are weights; None: it says nothing like that."""
        stated = self._config.get("architecture")
        other = isinstance(stated, str) and timm.is_model(stated) and stated != self.encoder.partition(".")[0]
        return str(stated) if other else None

    def _missing(self) -> str:
        """Why there is no such file, and what was meant."""
        if self.path.is_dir():
            return "is a folder; name the file in it"
        name = self.path.name.lower().removeprefix(PACKAGE)
        if name in PACKAGES:
            return f"does not exist; the weights of an installed package are {PACKAGE}{name}"
        if name in ("none", "no", "off", "random"):
            return "does not exist; false starts from random weights"
        if name_fault(self.path.name) is None and len(self.path.parts) == 1:
            known = stored_names()
            near = f" ({did_you_mean(self.path.name, known)})" if known else ""
            return f"does not exist, nor are there weights of that name in the store{near}: `delineate weights list`"
        return "does not exist; check the path"

    def read(self) -> tuple[dict[str, Tensor], WeightsOrigin]:
        self.check()
        tensors, known = read_weights(self.path), self._stated_statistics
        license_ = self._described.get("license")
        return tensors, WeightsOrigin(
            source="file",
            name=self.path.name,
            encoder=self.encoder,
            license=license_ if isinstance(license_, str) else "unknown",
            sha256=sha256_of(self.path),
            mean=None if known is None else known.mean,
            std=None if known is None else known.std,
        )

    @cached_property
    def _config(self) -> dict[str, Any]:
        """`config.json` beside the file; empty where there is none of timm's form."""
        try:
            content = json.loads(self.path.with_name("config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    @property
    def _described(self) -> dict[str, Any]:
        described = self._config.get("pretrained_cfg", {})
        return described if isinstance(described, dict) else {}

    @property
    def _stated_statistics(self) -> ChannelStatistics | None:
        if "mean" not in self._described or "std" not in self._described:
            return None
        try:
            return ChannelStatistics(mean=self._described["mean"], std=self._described["std"])
        except ValueError as error:
            raise DelineateError(
                f"{self.path.with_name('config.json')}: mean and std cannot be used ({first_fault(error)}); mend or remove them"
            ) from error
