"""The portable artefact: one `model.safetensors` with the weights and everything that is needed to use them.

What its header says is in `artefact.header`. Nothing in the file is executed when it is read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from delineate.artefact.calibration import CalibrationRecord
from delineate.artefact.header import ENTRY, FORMAT, MODEL_FILE, Header, locate, read_header
from delineate.artefact.postprocessing import Postprocessing
from delineate.artefact.rebuild import rebuild
from delineate.artefact.tensors import not_finite, write_tensors
from delineate.common.config import first_fault
from delineate.common.errors import ArtefactError
from delineate.data.core.findings import some
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.methods.contract import Method
from delineate.nn.encoders.options import PORTABLE
from delineate.nn.output import Output
from delineate.nn.temperature import tempered

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
    """Logits are divided by it before sigmoid or softmax, unless `calibration` has found better ones: `divisor` knows."""
    postprocessing: Postprocessing | None = None
    """What is done to masks after the network (`delineate calibrate`); None: nothing."""
    calibration: CalibrationRecord | None = None
    """What `delineate calibrate` has found of its probabilities; None: it was never asked."""
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

    @property
    def temperatures(self) -> tuple[float, ...]:
        """Those in force: one for all channels, or one for each."""
        chosen = () if self.calibration is None else self.calibration.temperatures
        return chosen or (self.temperature,)

    @property
    def divisor(self) -> float | Tensor:
        """What logits B×K×H×W are divided by before sigmoid or softmax: a number, or float32 K×1×1 on the CPU."""
        found = self.temperatures
        return found[0] if len(found) == 1 else torch.tensor(found)[:, None, None]

    def probabilities(self, logits: Tensor) -> Tensor:
        """Turn logits into probabilities, by the temperatures in force.

        Args:
            logits: B×K×H×W.

        Returns:
            Float32 B×K×H×W in [0, 1].
        """
        return self.method.output.probabilities(tempered(logits, self.divisor))


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
        calibration=header.calibration,
        scores=header.scores,
        provenance=header.provenance,
        complete=header.complete,
    )


def read_tensors(path: Path | str) -> dict[str, Tensor]:
    """The weights alone, by parameter or buffer name, on the CPU. Raises `ArtefactError` for a file that cannot be read."""
    file = locate(path)
    try:
        with safe_open(file, framework="pt") as stream:
            return {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, RuntimeError, MemoryError) as error:
        raise ArtefactError(f"cannot read the weights of {file} ({error}); copy it again") from error


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
    postprocessing, calibration = artefact.postprocessing, artefact.calibration
    content = {
        "format": _lowest_format(artefact),
        "method": method.info.name,
        "options": method.options.model_dump(mode="json", context=PORTABLE),
        "classes": method.classes,
        "in_channels": method.in_channels,
        "input": artefact.spec.model_dump(mode="json"),
        "class_names": artefact.classes.names,
        "labels": None if artefact.classes.labels is None else artefact.classes.labels.model_dump(mode="json"),
        "colors": artefact.classes.colors,
        "regions": [region.model_dump(mode="json") for region in artefact.classes.regions],
        "codes": [code.model_dump(mode="json") for code in artefact.classes.codes],
        "threshold": artefact.threshold,
        "temperature": artefact.temperature,
        "postprocessing": None if postprocessing is None else postprocessing.model_dump(mode="json"),
        "calibration": None if calibration is None else calibration.model_dump(mode="json"),
        "scores": artefact.scores,
        "provenance": artefact.provenance,
        "complete": artefact.complete,
    }
    try:
        return Header.model_validate_json(json.dumps(content, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ArtefactError(f"{path}: this does not fit an artefact's header: {first_fault(error)}") from error


def _lowest_format(artefact: Artefact) -> int:
    if artefact.calibration is not None:
        return 5
    if artefact.classes.codes:
        return 4
    if artefact.postprocessing is not None:
        return 3
    return 2 if artefact.classes.regions else 1


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
