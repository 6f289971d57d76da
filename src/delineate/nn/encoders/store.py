"""Encoder weights that this user has added: each in a folder of its own below the data folder, under a name.

    weights/NAME/model.safetensors    tensors under timm's names
    weights/NAME/weights.json         what they are: encoder, license, hashes, input statistics

`encoders.adding` puts them there. Nothing here remembers where a file came from.
"""

from __future__ import annotations

import re
import shutil
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from delineate.common.config import first_fault
from delineate.common.errors import DelineateError
from delineate.common.files import read_json
from delineate.common.user_folders import user_data_folder
from delineate.nn.encoders.origin import WeightsOrigin
from delineate.nn.encoders.weights import read_weights, sha256_of
from delineate.nn.normalize import ChannelStatistics

__all__ = [
    "RECORD",
    "TENSORS",
    "StoredRecord",
    "StoredWeights",
    "name_fault",
    "remove_stored",
    "stored",
    "stored_names",
    "weights_folder",
]

RECORD, TENSORS = "weights.json", "model.safetensors"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_WORDS = ("true", "false", "none", "no", "off", "yes", "on", "random", "null")
_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".json")


class StoredRecord(BaseModel):
    """What is known of weights in the store."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """What `method.encoder.pretrained` is given."""
    encoder: str
    """timm's name of the network, with a tag where one was given."""
    license: str
    """As their owner says it."""
    sha256: str
    """Of the file that was added."""
    stored_sha256: str
    """Of the file in the store."""
    names: str
    """Whose names the file had: timm, torchvision, efficientnet_pytorch or DINOv2."""
    statistics: ChannelStatistics
    """The input statistics that the weights expect."""
    statistics_from: str
    """Who says so: "stated", "config.json", the library, or "assumed"."""
    values: int
    """Numbers stored."""
    date: str
    """Day on which they were added."""
    version: str
    """Of Delineate."""

    def to_json(self) -> dict[str, Any]:
        """All of it in plain types.

        Returns:
            What `weights.json` holds.
        """
        return self.model_dump(mode="json")


class StoredWeights:
    """The weights of the store called `name`, for the encoder `encoder`."""

    def __init__(self, name: str, encoder: str) -> None:
        self.name, self.encoder = name, encoder

    def statistics(self) -> ChannelStatistics:
        return self._record.statistics

    def assumption(self) -> str | None:
        if self._record.statistics_from != "assumed":
            return None
        return (
            f"nothing told which mean and std the weights '{self.name}' expect when they were added: "
            f"{self._record.statistics.words} are taken; method.normalize says others"
        )

    def check(self) -> None:
        wanted = self._record.encoder.partition(".")[0]
        if self.encoder.partition(".")[0] != wanted:
            raise DelineateError(
                f"method.encoder.pretrained={self.name} does not fit: the encoder is '{self.encoder}', and these are weights of "
                f"'{wanted}'; use --set method.encoder.name={wanted}"
            )
        if not self._file.is_file():
            raise DelineateError(f"the weights '{self.name}' of the store lack {self._file}; add them again")

    def read(self) -> tuple[dict[str, Tensor], WeightsOrigin]:
        self.check()
        record = self._record
        if sha256_of(self._file) != record.stored_sha256:
            raise DelineateError(
                f"{self._file} was changed since it was added; remove its folder and add the weights again"
            )
        return read_weights(self._file), WeightsOrigin(
            source="store",
            name=record.name,
            encoder=record.encoder,
            license=record.license,
            sha256=record.sha256,
            mean=record.statistics.mean,
            std=record.statistics.std,
        )

    @cached_property
    def _record(self) -> StoredRecord:
        return stored(self.name)

    @property
    def _file(self) -> Path:
        return weights_folder() / self.name / TENSORS


def weights_folder() -> Path:
    """Where the store lies. Raises `DelineateError` for a user without a home folder."""
    return user_data_folder() / "weights"


def stored_names() -> list[str]:
    """Names of all weights in the store, sorted; of none where there is no store."""
    try:
        return sorted(
            path.parent.name for path in weights_folder().glob(f"*/{RECORD}") if not name_fault(path.parent.name)
        )
    except DelineateError:
        return []


def remove_stored(name: str) -> None:
    """Take weights out of the store; their record goes first, so that half of them is never found. Raises `DelineateError`."""
    folder = weights_folder() / name
    try:
        (folder / RECORD).unlink()
        shutil.rmtree(folder)
    except OSError as error:
        raise DelineateError(f"cannot remove {folder}: {error.strerror}") from error


def stored(name: str) -> StoredRecord:
    """What is known of weights in the store. Raises `DelineateError` where they are not there, or their record is damaged."""
    path = weights_folder() / name / RECORD
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise DelineateError(f"{path} cannot be read ({error}); remove its folder and add the weights again") from error
    try:
        record = StoredRecord.model_validate(content)
    except ValidationError as error:
        raise DelineateError(
            f"{path} is damaged ({first_fault(error)}); remove its folder and add the weights again"
        ) from error
    if record.name != name:
        raise DelineateError(f"{path} says that these weights are '{record.name}'; call their folder so")
    return record


def name_fault(name: str) -> str | None:
    """Why weights cannot be called so; None: they can."""
    if _NAME.fullmatch(name) is None:
        return "use letters, digits, '.', '-' and '_'"
    if name.lower() in _WORDS:
        return "it is a word of the setting itself"
    if name.lower().endswith(_SUFFIXES):
        return "it looks like a file"
    return None
