"""Checkpoints: `steps/<stage>-<step>/` (tensors in safetensors, the rest in JSON), the newest named by `steps/latest.json`.

A state is written beside its place and renamed, and the one before it stays: a kill at any moment, or a file that is damaged
later, leaves a state that can be used. Every file's checksum is kept, since a flipped byte in a tensor is seen by nothing else.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from delineate.artefact.tensors import not_finite, write_tensors
from delineate.common.errors import TrainingError
from delineate.common.file_lock import UNSUPPORTED, locked
from delineate.common.files import checksum, output_folder, read_json, write_json
from delineate.engine.best_weights import BestScore, Measure

__all__ = [
    "OWN",
    "Checkpoint",
    "Checkpoints",
    "DamagedCheckpoint",
    "Progress",
    "apart",
    "named_below",
    "pack_optimizer",
    "snapshot",
    "together",
    "unpack_optimizer",
]

_Value = TypeVar("_Value")
_FORMAT = 5
"""1: without checksums, and with one file of best weights for each stage. 2: averaged weights as `average.*`, not among the
strategy's own. 3: what optimizers hold as `optimiser.*`. 4: the same by the parameter's place in the optimizer's groups."""
OWN = "strategy"
"""What the names of the strategy's own tensors begin with."""
_COMPANION = "companion"
_KEPT_STATES = 2
"""So many of the newest states."""
_BEING_WRITTEN = ".writing-"
_FILES = ("model.safetensors", "training.safetensors")


class DamagedCheckpoint(TrainingError):  # noqa: N818 - it is what the file is
    """A checkpoint whose files are not those that were written."""


@dataclass
class Progress:
    """Where a run stands; everything that is not a tensor."""

    stage: int = 0
    step: int = 0
    """Steps done within the stage."""
    best_dice: float | None = None
    best_iou: float | None = None
    """None, like the loss, in states of earlier versions."""
    best_loss: float | None = None
    """Validation loss of the best weights; None in states of earlier versions."""
    measure: Measure = "cases"
    """What they were chosen by."""
    best_step: int | None = None
    waited: int = 0
    """Validations since the best."""
    seconds: float = 0.0
    images_seen: int = 0
    finished: bool = False

    @property
    def best(self) -> BestScore | None:
        """What the best weights of the stage scored; None before the first."""
        return (
            None if self.best_step is None else BestScore(self.best_dice, self.best_loss, self.measure, self.best_iou)
        )


@dataclass
class Checkpoint:
    """One checkpoint."""

    progress: Progress
    model: dict[str, Tensor]
    tensors: dict[str, Tensor]
    """Optimizers and what is the strategy's own, by dotted name."""
    values: dict[str, Any]
    """JSON: optimizer scalars, schedule memory, gradient scaler."""
    best: str | None = None
    """Name of the file with the stage's best weights so far."""

    def not_finite(self) -> list[str]:
        """Names of the tensors that hold NaN or infinity."""
        return not_finite(self.model) + not_finite(self.tensors)


class Checkpoints:
    """The `steps/` folder of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def any(self) -> bool:
        """Whether a state was saved, damaged or not."""
        return bool(self._saved())

    def save(self, state: Checkpoint) -> None:
        """Write the state, move the pointer to it, remove all but the newest states and the best weights they name."""
        with self._alone():
            for left in self.folder.glob(f"{_BEING_WRITTEN}*"):
                shutil.rmtree(left, ignore_errors=True)  # of a process that was killed
            target = self.folder / f"{state.progress.stage}-{state.progress.step:08d}"
            building = self.folder / f"{_BEING_WRITTEN}{os.getpid()}"
            try:
                self._write(building, state)
                shutil.rmtree(target, ignore_errors=True)  # the same step, saved before
                building.rename(target)
            finally:
                shutil.rmtree(building, ignore_errors=True)
            write_json(self.folder / "latest.json", {"state": target.name})
            self._tidy()

    def load(self, passed_over: Callable[[str], None] = lambda _: None) -> Checkpoint | None:
        """The newest state that is whole, or None where nothing was saved.

        `passed_over` is told of each newer one that is damaged, with a line. Raises `DamagedCheckpoint` when all are.
        """
        faults = []
        for folder in self._saved():
            try:
                state = self._read(folder)
            except DamagedCheckpoint as fault:
                faults.append(str(fault))
                continue
            for fault_line in faults:
                passed_over(f"{fault_line}; going on from the state before it, {folder.name}")
            return state
        if faults:
            more = f" (and {len(faults) - 1} older, damaged too)" if len(faults) > 1 else ""
            raise DamagedCheckpoint(
                f"{faults[0]}{more}; there is no state to go on from: remove the folder and start again"
            )
        return None

    def forget_after(self, progress: Progress) -> None:
        """Remove states beyond `progress`: a run that goes on from there will write them again."""
        for folder in self._saved():
            if _place(folder) > (progress.stage, progress.step):
                shutil.rmtree(folder, ignore_errors=True)

    def save_best(self, stage: str, step: int, weights: dict[str, Tensor]) -> None:
        """Keep the best weights of a stage, found at that step; earlier ones stay until no state names them."""
        output_folder(self.folder)
        _save_tensors(self.folder / f"best-{stage}-{step:08d}.safetensors", weights)

    def best_name(self, stage: str, step: int | None) -> str | None:
        """The file with the best weights of a stage, if any were kept."""
        names = [f"best-{stage}.safetensors"] if step is None else [f"best-{stage}-{step:08d}.safetensors"]
        names.append(f"best-{stage}.safetensors")  # as format 1 named it
        return next((name for name in names if (self.folder / name).exists()), None)

    def load_best(self, stage: str, step: int | None) -> dict[str, Tensor] | None:
        """The best weights of a stage, if any were kept. Raises `DamagedCheckpoint`."""
        name = self.best_name(stage, step)
        return None if name is None else _load_tensors(self.folder / name)

    def discard(self) -> None:
        """Remove the states of a finished run, and their folder when nothing else is in it."""
        if self.folder.is_symlink() or not self.folder.is_dir():
            return
        for path in list(self.folder.iterdir()):
            if path.is_dir() and not path.is_symlink():
                if _place(path) >= (0, 0) or path.name.startswith(_BEING_WRITTEN):
                    shutil.rmtree(path, ignore_errors=True)
            elif path.name in ("latest.json", ".lock") or path.suffix == ".safetensors":
                path.unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()

    def _saved(self) -> list[Path]:
        """Folders of states, newest first."""
        if not self.folder.is_dir():
            return []
        found = [path for path in self.folder.iterdir() if path.is_dir() and _place(path) >= (0, 0)]
        # Format 1 wrote in place, this file last.
        return sorted((path for path in found if (path / "state.json").exists()), key=_place, reverse=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One writer at a time, where the file system can."""
        output_folder(self.folder)
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(self.folder / ".lock"))
            except OSError as error:
                if error.errno not in UNSUPPORTED:
                    raise
            yield

    def _write(self, folder: Path, state: Checkpoint) -> None:
        for name, tensors in zip(_FILES, (state.model, state.tensors), strict=True):
            _save_tensors(folder / name, tensors)
        files = {name: checksum(folder / name) for name in _FILES}
        if state.best is not None:
            files[f"../{state.best}"] = checksum(self.folder / state.best)
        content = {"format": _FORMAT, "progress": asdict(state.progress), "values": state.values, "best": state.best}
        content["files"] = files
        write_json(folder / "state.json", {**content, "checksum": _checksum_of(content)})

    def _read(self, folder: Path) -> Checkpoint:
        try:
            content = read_json(folder / "state.json")
            if content["format"] != 1 and content.pop("checksum") != _checksum_of(content):
                raise ValueError("its content has changed since it was written")
            if content["format"] > _FORMAT:
                raise TrainingError(f"{folder} was written by a newer version of Delineate; update it to go on")
            progress = Progress(**content["progress"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedCheckpoint(f"the checkpoint {folder / 'state.json'} is damaged ({error})") from error
        for name, wanted in content.get("files", {}).items():
            _check(folder / name, wanted)
        model, tensors = (_load_tensors(folder / name) for name in _FILES)
        if content["format"] < 3:
            tensors = {f"{OWN}.{name}" if name.startswith("average.") else name: tensors[name] for name in tensors}
        values = content["values"]
        if content["format"] < 4:
            tensors, values = _respelled(tensors), _respelled(values)
        return Checkpoint(progress, model, tensors, values, content.get("best"))

    def _tidy(self) -> None:
        """Remove what no newest state needs."""
        needed = set()
        for at, folder in enumerate(self._saved()):
            if at >= _KEPT_STATES:
                shutil.rmtree(folder, ignore_errors=True)
                continue
            try:
                needed.add(read_json(folder / "state.json").get("best"))
            except (OSError, ValueError, AttributeError):
                return  # a damaged one: what it needs is not known
        for path in self.folder.glob("best-*.safetensors"):
            if path.name not in needed:
                path.unlink(missing_ok=True)


def pack_optimizer(
    name: str, optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimizer's state as tensors by dotted name, and its scalars. `parameters`: those that it moves, by name.

    By names and not by place: a resumed run may have other learning rates, and with them other groups.
    """
    tensors: dict[str, Tensor] = {}
    scalars: dict[str, Any] = {}
    for parameter_name, parameter in parameters.items():
        for key, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                tensors[f"{name}.{parameter_name}.{key}"] = value
            elif value is not None:
                scalars[f"{parameter_name}.{key}"] = value
    return tensors, scalars


def unpack_optimizer(
    name: str,
    optimizer: torch.optim.Optimizer,
    parameters: Mapping[str, nn.Parameter],
    tensors: dict[str, Tensor],
    scalars: dict[str, Any],
) -> None:
    """Inverse of `pack_optimizer`; the groups' settings stay as the recipe made them."""
    grouped = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    place = {id(parameter): index for index, parameter in enumerate(grouped)}
    state: dict[int, dict[str, Any]] = {}
    for path, value in (named_below(name, tensors) | scalars).items():
        owner, _, key = path.rpartition(".")
        index = int(owner) if owner.isdecimal() else place[id(parameters[owner])]  # format 4 gave the place
        state.setdefault(index, {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    # Fused kernels walk parameter and moments in memory order, so the moments must have the parameter's layout.
    for parameter, entry in optimizer.state.items():
        for key, value in entry.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                entry[key] = torch.empty_like(parameter).copy_(value)


def named_below(name: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose dotted names begin with `name`, without that."""
    prefix = f"{name}."
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}


def snapshot(module: torch.nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers, detached, by name."""
    return {name: tensor.detach() for name, tensor in module.state_dict().items()}


def together(network: torch.nn.Module, companion: torch.nn.Module | None) -> dict[str, Tensor]:
    """The snapshots of both as one: the second one's names begin with `companion.`."""
    others = {} if companion is None else snapshot(companion)
    return snapshot(network) | {f"{_COMPANION}.{name}": tensor for name, tensor in others.items()}


def apart(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Inverse of `together`; the second is empty where there was no companion."""
    others = named_below(_COMPANION, tensors)
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(f"{_COMPANION}.")}, others


def _respelled(named: dict[str, _Value]) -> dict[str, _Value]:
    """What optimizers hold, as it is called since format 4."""
    return {re.sub(r"^optimiser\.", "optimizer.", name): value for name, value in named.items()}


def _save_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    # Equal storage twice in one file is refused by safetensors, and channels-last is stored as plain order.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_tensors(path, plain)


def _load_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise DamagedCheckpoint(f"the checkpoint {path} is damaged ({error})") from error


def _check(path: Path, wanted: int) -> None:
    try:
        found = checksum(path)
    except OSError as error:
        raise DamagedCheckpoint(f"the checkpoint {path} is damaged ({error.strerror})") from error
    if found != wanted:
        raise DamagedCheckpoint(f"the checkpoint {path} is damaged (its content has changed since it was written)")


def _checksum_of(content: Any) -> int:
    return zlib.crc32(json.dumps(content, sort_keys=True, allow_nan=False).encode())


def _place(folder: Path) -> tuple[int, int]:
    """(stage, step) of a state's folder; (-1, -1) for another one."""
    stage, _, step = folder.name.partition("-")
    return (int(stage), int(step)) if stage.isdecimal() and step.isdecimal() else (-1, -1)
