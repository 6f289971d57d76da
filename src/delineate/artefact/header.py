"""The header of a model file: all that it says of itself besides its weights. It needs no network library.

The header is JSON in one entry, "delineate", of the safetensors header. Nothing in it is executed when it is read.
A model of any earlier `FORMAT` stays readable: a change of meaning raises `FORMAT` and teaches `parse_header` the old form. Each is
written in the lowest format that can say it: 2 is only for nested regions, which a reader of format 1 would take for classes, and 3
for a post-processing, which earlier readers would leave out, as they would the codes of classes, for which there is 4. What a
calibration of the probabilities found needs 5.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from delineate.artefact.calibration import CalibrationRecord
from delineate.artefact.postprocessing import Postprocessing
from delineate.artefact.training_images import TrainingImages
from delineate.common.config import first_fault
from delineate.common.errors import ArtefactError
from delineate.common.spelling import respelled
from delineate.common.versions import DISTRIBUTION
from delineate.data.core.class_codes import ClassCode
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable, LabelRule
from delineate.data.core.regions import Region, regions_fault

__all__ = ["ENTRY", "FORMAT", "MODEL_FILE", "Header", "locate", "parse_header", "read_header", "stored_shapes"]

FORMAT: Final = 5
"""The newest that is read."""
ENTRY = "delineate"
MODEL_FILE = "model.safetensors"
_WEIGHTS = (".safetensors", "")
"""Endings of files that may be models; what has another one and cannot be read is none."""


class Header(BaseModel):
    """What the safetensors header says: all of an `Artefact` except its weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1, 2, 3, 4, 5] = 1
    method: str
    options: dict[str, Any]
    classes: int = Field(ge=1)
    """Output channels of the network: 1 = binary with sigmoid; with regions one for each, each with a sigmoid."""
    in_channels: int = Field(ge=1)
    input: InputSpec
    class_names: tuple[str, ...] = Field(min_length=2)
    labels: LabelRule | None = None
    """Which raw values of mask files meant these classes in the training data; None in models of the first version."""
    colors: tuple[str, ...] | None = None
    regions: tuple[Region, ...] = ()
    """Nested regions, one for each channel; from format 2 on."""
    threshold: float = Field(0.5, ge=0, le=1, allow_inf_nan=False)
    temperature: float = Field(1.0, gt=0, allow_inf_nan=False)
    postprocessing: Postprocessing | None = None
    """From format 3 on."""
    codes: tuple[ClassCode, ...] = ()
    """Of each foreground class; from format 4 on."""
    calibration: CalibrationRecord | None = None
    """From format 5 on."""
    scores: dict[str, Any] = Field(default_factory=dict)
    provenance: dict[str, Any] = Field(default_factory=dict)
    complete: bool = True

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.regions and (fault := regions_fault(self.regions, self.class_names)):
            raise ValueError(fault)
        if self.regions and self.format == 1:
            raise ValueError("regions in a file of format 1")
        if self.postprocessing is not None:
            if self.format < 3:
                raise ValueError(f"post-processing in a file of format {self.format}")
            thresholded = self.table.outputs == 1 or bool(self.regions)
            if fault := self.postprocessing.fault(list(self.table.structures), thresholded=thresholded):
                raise ValueError(fault)
        if self.codes and self.format < 4:
            raise ValueError(f"codes of classes in a file of format {self.format}")
        if self.codes and len(self.codes) != len(self.class_names) - 1:
            raise ValueError(f"{len(self.codes)} codes for {len(self.class_names) - 1} foreground classes")
        TrainingImages.read(self.provenance)
        if self.calibration is not None:
            if self.format < 5:
                raise ValueError(f"a calibration of probabilities in a file of format {self.format}")
            if fault := self.calibration.fault(self.classes, tuple(self.table.structures)):
                raise ValueError(fault)
        return self

    @property
    def table(self) -> ClassTable:
        """The class table, with its regions and codes."""
        return ClassTable(
            names=self.class_names, labels=self.labels, colors=self.colors, regions=self.regions, codes=self.codes
        )

    @property
    def temperatures(self) -> tuple[float, ...]:
        """Logits are divided by them: one for all channels, or one for each."""
        chosen = () if self.calibration is None else self.calibration.temperatures
        return chosen or (self.temperature,)

    def to_json(self) -> str:
        """As the file holds it; one of an earlier format has no word of what came later."""
        since = {"regions": 2, "postprocessing": 3, "codes": 4, "calibration": 5}
        later = [name for name, first in since.items() if self.format < first]
        return self.model_dump_json(exclude=set(later))


def read_header(path: Path | str) -> Header:
    """The header alone: milliseconds, whatever the size of the weights. Raises as `load` does."""
    from safetensors import SafetensorError, safe_open

    file = locate(path)
    _refuse_pickle(file)
    try:
        with safe_open(file, framework="numpy") as stream:
            metadata = stream.metadata() or {}
    except (SafetensorError, OSError) as error:
        if file.suffix.lower() not in _WEIGHTS:
            raise ArtefactError(
                f"{file} is no model; give a {MODEL_FILE}, a run folder that holds one, or an exported .onnx file"
            ) from error
        raise ArtefactError(f"{file} is truncated or not a safetensors file ({error}); copy it again") from error
    if ENTRY not in metadata:
        raise ArtefactError(
            f"{file} has weights but no Delineate header, so its method is unknown; "
            f"for a checkpoint of a method's authors use `delineate import`"
        )
    return parse_header(metadata[ENTRY], file)


def locate(path: Path | str) -> Path:
    """The artefact's file for a file or a run folder. Raises `ArtefactError` when there is none."""
    path = Path(path)
    if path.is_dir():
        if not (path / MODEL_FILE).is_file():
            raise ArtefactError(
                f"folder {path} holds no {MODEL_FILE}; give a finished run's folder or a model file (a run writes it "
                f"when it ends)"
            )
        return path / MODEL_FILE
    if not path.is_file():
        raise ArtefactError(f"model {path} does not exist; give a {MODEL_FILE} or a run folder that holds one")
    return path


def stored_shapes(path: Path | str) -> dict[str, tuple[int, ...]]:
    """Of the weights in a model file, by parameter or buffer name; the weights are not read. Raises `ArtefactError`."""
    from safetensors import SafetensorError, safe_open

    file = locate(path)
    try:
        with safe_open(file, framework="numpy") as stream:
            return {name: tuple(stream.get_slice(name).get_shape()) for name in stream.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        raise ArtefactError(f"cannot read the weights of {file} ({error}); copy it again") from error


def parse_header(text: str, file: Path) -> Header:
    """A header of its JSON; `file`: where it was found, for messages. Raises `ArtefactError` for one that is damaged, contradicts
    itself or is of a newer format."""
    try:
        content = json.loads(text)
        found = content["format"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ArtefactError(f"{file} has a damaged Delineate header; copy the file again") from error
    if isinstance(found, int) and found > FORMAT:
        raise ArtefactError(
            f"{file} has artefact format {found}, this version reads up to {FORMAT}; update {DISTRIBUTION} to use it"
        )
    content.pop("postprocess", None)  # of the first versions, always empty
    given = content["input"] = respelled(content.get("input"))
    if isinstance(given, dict):
        given.setdefault(
            "padding_counts", True
        )  # a file from before this was told has learned with the padding counted
    try:
        header = Header.model_validate_json(json.dumps(content, allow_nan=False))
    except ValueError as error:
        raise ArtefactError(f"{file} has a damaged Delineate header: {first_fault(error)}") from error
    if header.classes != header.table.outputs or header.in_channels != header.input.in_channels:
        raise ArtefactError(f"{file} has a Delineate header that contradicts itself: outputs and classes, or channels")
    return header


def _refuse_pickle(file: Path) -> None:
    """Zip and pickle magic: what torch.save writes. Never opened here. The length of a safetensors header, which comes first,
    may look like the latter; the "{" of its JSON after eight bytes tells them apart."""
    try:
        with file.open("rb") as stream:
            start = stream.read(9)
    except OSError as error:
        raise ArtefactError(f"cannot read {file}: {error.strerror}") from error
    zipped, pickled = start.startswith(b"PK\x03\x04"), start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05"
    if (zipped or pickled) and start[8:] != b"{":
        raise ArtefactError(
            f"{file} is a pickled checkpoint, which is not opened as a model; turn it into one with "
            f"`delineate import METHOD {file.name} --out MODEL`"
        )
