"""Several models that predict as one: their probabilities are averaged, each with its own temperature.

Members see the same input, so they must agree on it and on what their outputs mean. Which networks they are does not matter.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from delineate.artefact import format as artefact_format
from delineate.artefact.format import Artefact
from delineate.artefact.header import MODEL_FILE
from delineate.artefact.postprocessing import Postprocessing
from delineate.artefact.training_images import TrainingImages
from delineate.common.errors import ArtefactError
from delineate.common.files import sha256
from delineate.data.core.findings import count, some
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.known import KnownPictures
from delineate.inference.tta import View, of_a_side
from delineate.nn.output import Output
from delineate.nn.temperature import tempered

__all__ = ["Ensemble", "member_files"]

_FACTS = ("placed", "modality", "trained_lows", "trained_highs", "trained_spacing", "source_bits")
"""Of the input specification: what the training data were, which folds of one data set differ in. They change no input."""
_WINDOW = ("window_level", "window_width")
"""May differ, too, since each member sees the image by its own window (`_joint_window`)."""


@dataclass(frozen=True)
class _Window:
    """From an input of the window that holds those of all members to the input of one member: scale · input + shift, in [0, 1]."""

    scale: float
    shift: float


@dataclass(frozen=True)
class Ensemble:
    """The models of a predictor: mostly one."""

    members: tuple[Artefact, ...]
    files: tuple[Path, ...] = ()
    """Of all members; none: they were not read from files."""
    spread: bool = False
    """Whether the mean of the members' entropies follows the probabilities, as one more plane (`inference.doubt`)."""

    @classmethod
    def open(
        cls, model: Path | str, others: Sequence[Path | str] = (), *, spread: bool = False, views: bool = False
    ) -> Self:
        """Read models.

        Args:
            model: As for `member_files`.
            others: Likewise.
            spread: As the field; False where there is one member, and no `views`.
            views: Whether a network sees several forms of an image.

        Returns:
            The ensemble.

        Raises:
            ArtefactError: As `member_files`; files that are no models; members that do not agree on classes, regions or input, with
                what differs.
        """
        files = member_files(model, others)
        members = [artefact_format.load(file) for file in files]
        for member, file in zip(members[1:], files[1:], strict=True):
            if differences := _differences(members[0], member):
                raise ArtefactError(f"{files[0]} and {file} cannot be averaged: {'; '.join(differences)}")
        return cls(tuple(members), tuple(files), spread and (views or len(members) > 1))

    @property
    def alone(self) -> bool:
        """Whether it is one model."""
        return len(self.members) == 1

    @property
    def planes(self) -> int:
        """Of `probabilities`."""
        return self.members[0].classes.outputs + self.spread

    @property
    def title(self) -> str:
        """Whose masks these are, for tables: `unet`, `unet ×3`, `unet + mslkseg ×2`."""
        numbers = Counter(member.title for member in self.members)
        return " + ".join(title if number == 1 else f"{title} ×{number}" for title, number in numbers.items())

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Where the model comes from; of several nothing, since each has an origin of its own."""
        return self.members[0].provenance if self.alone else {}

    @cached_property
    def sha256(self) -> str | None:
        """Of the model's file; of several over their hashes; None of models that were not read from files."""
        hashes = [sha256(file) for file in self.files]
        if len(hashes) < 2:
            return hashes[0] if hashes else None
        return hashlib.sha256("".join(hashes).encode()).hexdigest()

    @cached_property
    def known(self) -> KnownPictures:
        """The pictures that the models were made from: one that any member was trained on counts as such."""
        return KnownPictures.joined(KnownPictures.read(one.provenance.get("pictures")) for one in self.members)

    @cached_property
    def training_images(self) -> TrainingImages | None:
        """The summary of the first model's training images; None: it does not tell."""
        return TrainingImages.read(self.members[0].provenance)

    @cached_property
    def spec(self) -> InputSpec:
        """What is done to an image before the networks see it. Of members with windows of their own: with one that holds all."""
        return _joint_window([one.spec for one in self.members])[0]

    @cached_property
    def postprocessing(self) -> Postprocessing | None:
        """What is done to masks: what all members agree on, apart from the figures of its choice."""
        chosen = [member.postprocessing for member in self.members]
        rules = [None if one is None else (one.dimensions, one.unit, one.threshold, one.rules) for one in chosen]
        return chosen[0] if len(set(rules)) == 1 else None

    def notes(self, title: str, tta: str, views: int) -> list[str]:
        """How many models and views make the masks, and what speaks against it; nothing of one model with one view."""
        if self.alone and tta == "none":
            return []
        means = [
            *([] if self.alone else [count(len(self.members), "model")]),
            *([] if views == 1 else [count(views, "view")]),
        ]
        found = [f"{title}: probabilities are the mean over {' × '.join(means)}"]
        if tta != "none" and (sided := of_a_side(self.members[0].classes.names[1:])):
            found.append(sided)
        calibrated = sum(one.calibration is not None for one in self.members)
        if 0 < calibrated < len(self.members):
            found.append(
                f"{count(calibrated, 'member')} of {len(self.members)} {'is' if calibrated == 1 else 'are'} calibrated: the "
                "probabilities of the others are those of their networks"
            )
        number = sum(one.postprocessing is not None for one in self.members)
        if number and self.postprocessing is None:
            have = count(number, "member has", "members have")
            found.append(f"{have} post-processing from `calibrate`, but not all have the same: it is left out")
        return found

    def probabilities(
        self, image: torch.Tensor, networks: Sequence[nn.Module], views: Sequence[View], output: Output
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The mean over members and views, summed as they come, so that memory does not grow with their number.

        Args:
            image: B×C×h×w, prepared by `spec`.
            networks: The deployed networks of the members, in their order.
            views: Forms of the image.
            output: What the channels of their logits mean: of a support's classes, it is not the method's own.

        Returns:
            Float32 B×K×h×w (one plane more with `spread`), and whether all logits were finite: a tensor, so that nothing waits.
        """
        total, finite = None, torch.ones((), dtype=torch.bool, device=image.device)
        windows = _joint_window([one.spec for one in self.members])[1]
        for network, member, window in zip(networks, self.members, windows, strict=True):
            seen = image if window is None else (image * window.scale + window.shift).clamp_(0, 1)
            for view in views:
                logits = network(view.apply(seen))
                finite &= logits.isfinite().all()
                found = view.undo(output.probabilities(tempered(logits, member.divisor)))
                if self.spread:
                    found = torch.cat([found, output.entropy(found)], dim=1)
                total = found if total is None else total.add_(found)
        assert total is not None, "there is a member and a view"
        passes = len(self.members) * len(views)
        return (total / passes if passes > 1 else total), finite


def member_files(model: Path | str, others: Sequence[Path | str] = ()) -> list[Path]:
    """The model files that are meant.

    Args:
        model: A `model.safetensors`, a run folder, or a folder of run folders, such as one method's folder inside a benchmark: all
            of its runs, in the order of their names.
        others: The same, of further members.

    Returns:
        One file for each member.

    Raises:
        ArtefactError: No model there, a run in such a folder that is not finished, or a model that is named twice.
    """
    files = [file for path in (model, *others) for file in _models_of(Path(path))]
    places = [file.resolve() for file in files]
    if twice := [file for file, place in zip(files, places, strict=True) if places.count(place) > 1]:
        raise ArtefactError(f"{twice[0]} is a member twice; an ensemble counts each model once")
    return files


def _joint_window(specs: Sequence[InputSpec]) -> tuple[InputSpec, tuple[_Window | None, ...]]:
    """Folds of one data set may have learned with windows of their own, read off their training volumes.

    Args:
        specs: Of members that agree on all else (`Ensemble.open`).

    Returns:
        The input that all members can be made from, and how; None: it is the member's own.
    """
    first = specs[0]
    ends = [_ends(spec) for spec in specs]
    if first.intensity != "window" or len(set(ends)) == 1:
        return first, (None,) * len(specs)
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    joint = first.model_copy(update={"window_level": (low + high) / 2, "window_width": high - low})
    scales = [(high - low) / (its_high - its_low) for its_low, its_high in ends]
    shifts = [(low - its_low) / (its_high - its_low) for its_low, its_high in ends]
    return joint, tuple(_Window(scale, shift) for scale, shift in zip(scales, shifts, strict=True))


def _ends(spec: InputSpec) -> tuple[float, float]:
    level, width = spec.window_level or 0.0, spec.window_width or 1.0
    return level - width / 2, level + width / 2


def _models_of(path: Path) -> list[Path]:
    if not path.is_dir() or (path / MODEL_FILE).is_file():
        return [artefact_format.locate(path)]
    runs = sorted(inside for inside in path.iterdir() if inside.is_dir() and (inside / "recipe.yaml").is_file())
    if not runs:
        return [artefact_format.locate(path)]  # which says that no model is there
    if missing := [run.name for run in runs if not (run / MODEL_FILE).is_file()]:
        raise ArtefactError(
            f"{path} has {count(len(runs), 'run')}, of which {some(missing, 3)} {'is' if len(missing) == 1 else 'are'} not "
            "finished; finish them, or name the members by --ensemble"
        )
    return [run / MODEL_FILE for run in runs]


def _differences(first: Artefact, other: Artefact) -> list[str]:
    found = []
    if first.classes.names != other.classes.names:
        found.append(f"classes {_joined(first.classes.names)} and {_joined(other.classes.names)}")
    ours, theirs = ([(region.name, region.classes) for region in one.classes.regions] for one in (first, other))
    if ours != theirs:
        found.append(
            f"regions {_joined([name for name, _ in ours])} and {_joined([name for name, _ in theirs])}, or what they consist of"
        )
    for name in type(first.spec).model_fields:
        mine, its = (getattr(one.spec, name) for one in (first, other))
        if mine != its and name not in (*_FACTS, *_WINDOW):
            found.append(f"input.{name} {mine} and {its}")
    return found


def _joined(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
