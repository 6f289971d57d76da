"""The portable artefact: one `model.safetensors` with the weights and everything that is needed to use them.

Its safetensors header has one entry, "delineate": the JSON form of `Header`. Nothing in it is executed when it is read.
An artefact of any earlier `FORMAT` stays readable: a change of meaning raises `FORMAT` and teaches `_header` the old form. Each is
written in the lowest format that can say it: 2 is only for nested regions, which a reader of format 1 would take for classes, and 3
for a post-processing, which earlier readers would leave out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from safetensors import SafetensorError, safe_open
from torch import Tensor

from delineate.artefact.postprocessing import Postprocessing
from delineate.artefact.rebuild import rebuild
from delineate.artefact.tensors import not_finite, write_tensors
from delineate.common.config import first_fault
from delineate.common.errors import ArtefactError
from delineate.common.spelling import respelled
from delineate.data.core.findings import some
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable, LabelRule
from delineate.data.core.regions import Region, regions_fault
from delineate.methods.contract import Method
from delineate.nn.encoders.options import PORTABLE
from delineate.nn.output import Output

__all__ = [
    "ENTRY",
    "FORMAT",
    "MODEL_FILE",
    "Artefact",
    "Header",
    "load",
    "locate",
    "read_header",
    "read_tensors",
    "save",
]

FORMAT: Final = 3
"""The newest that is read."""
ENTRY = "delineate"
MODEL_FILE = "model.safetensors"


@dataclass
class Artefact:
    """A trained model: the method with its weights, and what turns its outputs into masks.

    Example:
        >>> from delineate.artefact.format import load
        >>> artefact = load("runs/first")
        >>> artefact.spec.size, artefact.classes.names
        ((32, 32), ('background', 'polyp'))
    """

    method: Method
    spec: InputSpec
    classes: ClassTable
    threshold: float = 0.5
    """Binary: foreground where probability ≥ threshold, and of each region the same. Not used with several classes."""
    temperature: float = 1.0
    """Logits are divided by it before sigmoid or softmax."""
    postprocessing: Postprocessing | None = None
    """What is done to masks after the network (`delineate calibrate`); None: nothing."""
    scores: dict[str, Any] = field(default_factory=dict)
    """Validation scores of these weights, for the reader; nothing is computed from them."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Where the weights come from: data, seed, versions, foreign checkpoint."""
    complete: bool = True
    """False: only a part of the weights is trained (an early stage); good for `--init`, not for prediction."""

    @property
    def title(self) -> str:
        """Whose masks these are, for tables: the method; of one that was not trained, also what its first weights are."""
        return str(self.provenance.get("untrained") or self.method.info.name)


class Header(BaseModel):
    """What the safetensors header says: all of an `Artefact` except its weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1, 2, 3] = 1
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
    scores: dict[str, Any] = Field(default_factory=dict)
    provenance: dict[str, Any] = Field(default_factory=dict)
    complete: bool = True

    @model_validator(mode="after")
    def _regions_fit(self) -> Self:
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
        return self

    @property
    def table(self) -> ClassTable:
        """The class table, with its regions."""
        return ClassTable(names=self.class_names, labels=self.labels, colors=self.colors, regions=self.regions)

    def to_json(self) -> str:
        """As the file holds it; one of an earlier format has no word of what came later."""
        later = [name for name, since in {"regions": 2, "postprocessing": 3}.items() if self.format < since]
        return self.model_dump_json(exclude=set(later))


def save(path: Path, artefact: Artefact) -> None:
    """Write `artefact` to the file `path` atomically, with weights on the CPU in their own types.

    Raises `ArtefactError` for contents that contradict each other or are not JSON and for weights that are not finite,
    `DelineateError` when `path` cannot be written.
    """
    text = _header_of(artefact, path).to_json()
    tensors = _storable(artefact.method.state_dict())
    if bad := not_finite(tensors):
        raise ArtefactError(f"{path} is not written: {_not_finite_words(bad, tensors)}; such a model marks nothing")
    write_tensors(path, tensors, {ENTRY: text})


def load(path: Path | str) -> Artefact:
    """Read a `model.safetensors` or a run folder that holds one. Weights are bit-equal to those saved; on the CPU, in eval
    mode. Never fetches pretrained weights.

    Raises `ArtefactError` with one line: absent, a pickle, truncated, without this project's header, of a newer format, of a
    method that is not installed, with parameters that do not fit it, or with weights that are not finite (looking costs a pass over
    them, milliseconds).
    """
    file = locate(path)
    header = read_header(file)
    method = rebuild(
        file,
        header.method,
        classes=header.classes,
        in_channels=header.in_channels,
        options=header.options,
        regions=Output.of(header.table).regions,
    )
    tensors = read_tensors(file)
    if bad := not_finite(tensors):
        words = _not_finite_words(bad, tensors)
        raise ArtefactError(
            f"{file} cannot be used: {words}; its training diverged, so train again or take another model"
        )
    method.load_state_dict(tensors)
    return Artefact(
        method=method.eval(),
        spec=header.input,
        classes=header.table,
        threshold=header.threshold,
        temperature=header.temperature,
        postprocessing=header.postprocessing,
        scores=header.scores,
        provenance=header.provenance,
        complete=header.complete,
    )


def read_header(path: Path | str) -> Header:
    """The header alone: milliseconds, whatever the size of the weights. Raises as `load` does."""
    file = locate(path)
    _refuse_pickle(file)
    try:
        with safe_open(file, framework="pt") as stream:
            metadata = stream.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ArtefactError(f"{file} is truncated or not a safetensors file ({error}); copy it again") from error
    if ENTRY not in metadata:
        raise ArtefactError(
            f"{file} has weights but no Delineate header, so its method is unknown; "
            f"for a checkpoint of a method's authors use `delineate import`"
        )
    return _header(metadata[ENTRY], file)


def read_tensors(path: Path | str) -> dict[str, Tensor]:
    """The weights alone, by parameter or buffer name, on the CPU. Raises `ArtefactError` for a file that cannot be read."""
    file = locate(path)
    try:
        with safe_open(file, framework="pt") as stream:
            return {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, RuntimeError, MemoryError) as error:
        raise ArtefactError(f"cannot read the weights of {file} ({error}); copy it again") from error


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


def _header_of(artefact: Artefact, path: Path) -> Header:
    method = artefact.method
    if method.output.regions != Output.of(artefact.classes).regions:
        raise ArtefactError(f"{path}: the method's outputs are not the regions of the class table")
    if method.classes != artefact.classes.outputs:
        raise ArtefactError(
            f"{path}: the method has {method.classes} outputs but the class table "
            f"({', '.join(artefact.classes.names)}) needs {artefact.classes.outputs}"
        )
    if method.in_channels != artefact.spec.in_channels:
        raise ArtefactError(
            f"{path}: the method takes {method.in_channels} channels, the input specification gives "
            f"{artefact.spec.in_channels}"
        )
    postprocessing = artefact.postprocessing
    content = {
        "format": 3 if postprocessing is not None else 2 if artefact.classes.regions else 1,
        "method": method.info.name,
        "options": method.options.model_dump(mode="json", context=PORTABLE),
        "classes": method.classes,
        "in_channels": method.in_channels,
        "input": artefact.spec.model_dump(mode="json"),
        "class_names": artefact.classes.names,
        "labels": None if artefact.classes.labels is None else artefact.classes.labels.model_dump(mode="json"),
        "colors": artefact.classes.colors,
        "regions": [region.model_dump(mode="json") for region in artefact.classes.regions],
        "threshold": artefact.threshold,
        "temperature": artefact.temperature,
        "postprocessing": None if postprocessing is None else postprocessing.model_dump(mode="json"),
        "scores": artefact.scores,
        "provenance": artefact.provenance,
        "complete": artefact.complete,
    }
    try:
        return Header.model_validate_json(json.dumps(content, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ArtefactError(f"{path}: this does not fit an artefact's header: {first_fault(error)}") from error


def _header(text: str, file: Path) -> Header:
    try:
        content = json.loads(text)
        found = content["format"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ArtefactError(f"{file} has a damaged Delineate header; copy the file again") from error
    if isinstance(found, int) and found > FORMAT:
        raise ArtefactError(
            f"{file} has artefact format {found}, this version reads up to {FORMAT}; update delineate to use it"
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


def _not_finite_words(bad: Sequence[str], tensors: Mapping[str, Tensor]) -> str:
    return f"{len(bad)} of its {len(tensors)} weights are not finite (NaN or infinite): {some(bad, 3)}"


def _storable(state: dict[str, Any]) -> dict[str, Tensor]:
    """Contiguous CPU tensors that share no memory (tied weights are stored under each of their names)."""
    result: dict[str, Tensor] = {}
    storages: set[int] = set()
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise ArtefactError(f"'{name}' is not a tensor; a method keeps all of its state in parameters and buffers")
        tensor = value.detach().cpu().contiguous()
        place = tensor.untyped_storage().data_ptr()
        result[name] = tensor.clone() if place in storages else tensor
        storages.add(place)
    return result


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
