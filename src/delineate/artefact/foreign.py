"""Checkpoints of the code of a method's authors → artefacts. The only place where a pickle is opened, weights-only."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from delineate.artefact.format import MODEL_FILE, Artefact, save
from delineate.common.errors import ArtefactError, DelineateError
from delineate.common.files import sha256
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.methods import registry
from delineate.methods.built_in import CHECKPOINTS

__all__ = ["Imported", "import_checkpoint", "read_state"]

_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "network", "net")
"""Keys under which training scripts put the weights among other things."""


@dataclass(frozen=True)
class Imported:
    """What was recognized, and where it lies now."""

    path: Path
    description: str
    complete: bool
    """False: good for `--init` only."""


def import_checkpoint(method_name: str, checkpoint: Path, out: Path) -> Imported:
    """Read a checkpoint of the authors' code and save it as an artefact: the file `out`, or `model.safetensors` in the folder.

    Raises `RecipeError` for an unknown method; `ArtefactError` for a file that is absent, no checkpoint, holds more than
    weights, or does not fit the method (naming the parameter), and for a method that knows no foreign checkpoints.
    """
    recognize = registry.checkpoint_reader(method_name)
    if recognize is None:
        raise ArtefactError(
            f"method '{method_name}' knows no checkpoints of other code that could be imported; of the methods here only "
            f"{', '.join(CHECKPOINTS)} does"
        )
    target = out if out.suffix == ".safetensors" else out / MODEL_FILE
    if target.exists():
        raise ArtefactError(
            f"{target} exists already, and a model is never overwritten; give another --out or remove it"
        )
    state = read_state(checkpoint)
    try:
        model = recognize(state)
    except DelineateError as error:
        raise ArtefactError(f"{checkpoint}: {error}") from error
    outputs = model.method.classes
    foreground = ("foreground",) if outputs == 1 else tuple(f"label {index}" for index in range(1, outputs))
    artefact = Artefact(
        method=model.method.eval(),
        spec=InputSpec(channels=model.channels, size=model.size),
        classes=ClassTable(names=("background", *foreground)),
        provenance={
            "imported": {"file": checkpoint.name, "sha256": sha256(checkpoint), "as": model.description, **model.extra}
        },
        complete=model.complete,
    )
    save(target, artefact)
    return Imported(target, model.description, model.complete)


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a `torch.save`d checkpoint by name, without the usual wrappers and the `module.` of data parallelism.

    Read weights-only: nothing in the file is executed. Raises `ArtefactError`.
    """
    if not path.is_file():
        raise ArtefactError(f"checkpoint {path} does not exist")
    try:
        with warnings.catch_warnings(action="ignore"):  # about pickle protocols: of no use to the user
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ArtefactError(
            f"{path} holds more than weights, or is no checkpoint, and is not opened; ask for its state dict "
            f"(torch.save(model.state_dict(), …))"
        ) from error
    except Exception as error:  # the unpickler raises almost anything on damaged bytes
        raise ArtefactError(f"{path} is not a readable checkpoint: truncated, or not written by torch.save") from error
    state = _unwrapped(content)
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    if not tensors or len(tensors) != len(state):
        raise ArtefactError(f"{path} holds no state dict (names with tensors); found {_described(content)}")
    while all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    return tensors


def _unwrapped(content: Any) -> Mapping[str, Any]:
    while isinstance(content, Mapping):
        inner = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            return content
        content = inner
    return {}


def _described(content: Any) -> str:
    if isinstance(content, Mapping):
        return f"the keys {', '.join(str(key) for key in list(content)[:5])}" if content else "nothing"
    return f"a {type(content).__name__}"
