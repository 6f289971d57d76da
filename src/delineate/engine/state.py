"""Resume states: `steps/<stage>-<step>/` (tensors in safetensors, the rest in JSON), the newest named by `steps/latest.json`.

The pointer is replaced atomically after its state is whole, so a kill at any moment leaves a state that can be used.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from delineate.artefact.tensors import write_tensors
from delineate.common.errors import TrainingError
from delineate.common.files import output_folder, write_json

FORMAT = 1


@dataclass
class Progress:
    """Where a run stands; everything that is not a tensor."""

    stage: int = 0
    step: int = 0
    """Steps done within the stage."""
    best_dice: float | None = None
    best_step: int | None = None
    waited: int = 0
    """Validations since the best."""
    seconds: float = 0.0
    images_seen: int = 0
    finished: bool = False


@dataclass
class State:
    """One resume state."""

    progress: Progress
    model: dict[str, Tensor]
    tensors: dict[str, Tensor]
    """Optimiser and averaged weights, by dotted name."""
    values: dict[str, Any]
    """JSON: optimiser scalars, schedule memory, gradient scaler."""


class States:
    """The `steps/` folder of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def _pointer(self) -> Path:
        return self.folder / "latest.json"

    def save(self, state: State) -> None:
        """Write the state, move the pointer to it, remove older ones."""
        name = f"{state.progress.stage}-{state.progress.step:08d}"
        target = self.folder / name
        output_folder(target)
        _save_tensors(target / "model.safetensors", state.model)
        _save_tensors(target / "training.safetensors", state.tensors)
        write_json(
            target / "state.json", {"format": FORMAT, "progress": asdict(state.progress), "values": state.values}
        )
        write_json(self._pointer, {"state": name})
        for other in self.folder.iterdir():
            if other.is_dir() and other.name != name:
                shutil.rmtree(other, ignore_errors=True)

    def load(self) -> State | None:
        """The newest state, or None where nothing was saved. Raises `TrainingError` when it is damaged."""
        if not self._pointer.exists():
            return None
        try:
            folder = self.folder / json.loads(self._pointer.read_text())["state"]
            content = json.loads((folder / "state.json").read_text())
            if content["format"] > FORMAT:
                raise TrainingError(f"{folder} was written by a newer version of Delineate; update it to go on")
            return State(
                Progress(**content["progress"]),
                load_file(folder / "model.safetensors"),
                load_file(folder / "training.safetensors"),
                content["values"],
            )
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise TrainingError(
                f"the resume state in {self.folder} is damaged ({error}); start again in another folder"
            ) from error

    def save_best(self, stage: str, weights: dict[str, Tensor]) -> None:
        """Keep the best weights of a stage."""
        _save_tensors(self.folder / f"best-{stage}.safetensors", weights)

    def load_best(self, stage: str) -> dict[str, Tensor] | None:
        """The best weights of a stage, if any were kept."""
        path = self.folder / f"best-{stage}.safetensors"
        return load_file(path) if path.exists() else None

    def discard(self) -> None:
        """Remove the states of a finished run."""
        shutil.rmtree(self.folder, ignore_errors=True)


def pack_optimiser(name: str, optimiser: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimiser's state as tensors by dotted name, and its scalars."""
    tensors: dict[str, Tensor] = {}
    scalars: dict[str, Any] = {}
    for index, entry in optimiser.state_dict()["state"].items():
        for key, value in entry.items():
            if isinstance(value, Tensor):
                tensors[f"{name}.{index}.{key}"] = value
            elif value is not None:
                scalars[f"{index}.{key}"] = value
    return tensors, scalars


def unpack_optimiser(
    name: str, optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor], scalars: dict[str, Any]
) -> None:
    """Inverse of `pack_optimiser`; the groups' settings stay as the recipe made them."""
    state: dict[int, dict[str, Any]] = {}
    prefix = f"{name}."
    for path, value in [(k.removeprefix(prefix), v) for k, v in tensors.items() if k.startswith(prefix)] + list(
        scalars.items()
    ):
        index, _, key = path.partition(".")
        state.setdefault(int(index), {})[key] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    # Fused kernels walk parameter and moments in memory order, so the moments must have the parameter's layout.
    for parameter, entry in optimiser.state.items():
        for key, value in entry.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                entry[key] = torch.empty_like(parameter).copy_(value)


def snapshot(module: torch.nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers, detached, by name."""
    return {name: tensor.detach() for name, tensor in module.state_dict().items()}


def _save_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    # Equal storage twice in one file is refused by safetensors, and channels-last is stored as plain order.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_tensors(path, plain)
