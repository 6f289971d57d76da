"""A benchmark's setup: what is trained, on what, for how long. Frozen before the first run, so that resuming changes nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

from delineate.common.config import merge
from delineate.common.errors import DataError, RecipeError
from delineate.common.files import read_json, write_json
from delineate.common.spelling import respelled_setting
from delineate.data.augment.settings import AugmentSettings
from delineate.data.layouts.source import Join
from delineate.engine.earlier_recipes import in_todays_spelling
from delineate.engine.recipe import resolve
from delineate.methods import registry

__all__ = [
    "COMMON_AUGMENT",
    "BenchmarkSetup",
    "Entrant",
    "StudySetup",
    "differences",
    "entrants",
    "setup_file",
]

_SETUP_FILE = "setup.json"
_EARLIER_FILE = "plan.json"
"""Its name in benchmarks of earlier versions."""
COMMON_AUGMENT: Mapping[str, Any] = AugmentSettings(
    flip_horizontal=0.5,
    flip_vertical=0.5,
    warp=0.5,
    rotate=30,
    scale=(0.9, 1.1),
    border="reflect",
    color=0.5,
    brightness=0.2,
    contrast=0.2,
    saturation=0.2,
    hue=0.02,
).model_dump(mode="json")
"""What every method is trained with unless each may have its own."""
_NO_AUGMENT: Mapping[str, Any] = AugmentSettings().model_dump(mode="json")


class Entrant(BaseModel):
    """One method (with a preset) that takes part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    """As it was asked for: `unet`, or `din@no-gsa` for a preset of its own."""
    method: str
    preset: str
    options: dict[str, Any]
    """Recipe sections laid on the preset."""
    steps: int | None = None
    """Of one run, where the budget is in minutes; None: epochs decide."""
    seconds_per_step: float | None = None
    """Measured by the trial that turned minutes into steps."""


class StudySetup(BaseModel):
    """What the setups of all studies have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    study: ClassVar[str]
    """What it is called in messages."""

    format: int = 1
    data: str
    """The data set's folder or manifest, as it was given, made absolute."""
    settings: tuple[str, ...] = ()
    """`--set` texts, the same for all."""
    entrants: tuple[Entrant, ...]

    def save(self, folder: Path) -> None:
        write_json(folder / _SETUP_FILE, json.loads(self.model_dump_json()))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Raises `DataError` when there is no setup in `folder`, or a damaged one."""
        path = setup_file(folder)
        try:
            return cls.model_validate(_of_today(read_json(path)))
        except OSError as error:
            raise DataError(f"{folder} holds no {cls.study}: there is no {_SETUP_FILE}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:  # a ValidationError is a ValueError
            raise DataError(f"{path} is not a {cls.study}'s setup; use another --out") from error


class BenchmarkSetup(StudySetup):
    """All runs of a benchmark: every entrant on every fold with every seed."""

    study: ClassVar[str] = "benchmark"

    images: str | None = None
    masks: str | None = None
    labels: str | None = None
    codes: str | None = None
    asked_folds: int | None
    group_by: str | None
    join: Join = "near"
    folds: int
    """1: the data set's own train, val and test lists."""
    seeds: int
    epochs: int | None
    minutes: float | None
    """Of training steps, per run."""
    size: int | None
    metrics: tuple[str, ...]
    stack: str | None = None
    spacing: tuple[float, ...] | None = None
    own_augment: bool = False

    @property
    def runs(self) -> int:
        return len(self.entrants) * self.folds * self.seeds


def _of_today(content: dict[str, Any]) -> dict[str, Any]:
    """The content of a setup's file, with the options of its entrants as they are spelled today."""
    for entrant in content["entrants"]:
        entrant["options"] = in_todays_spelling(entrant["options"], registry.option_names(entrant["method"]))
    return content


def setup_file(folder: Path) -> Path:
    """Where the setup of a benchmark lies, or would lie."""
    earlier = folder / _EARLIER_FILE
    return earlier if earlier.exists() and not (folder / _SETUP_FILE).exists() else folder / _SETUP_FILE


def entrants(
    labels: Sequence[str], *, preset: str, size: int | None, settings: Sequence[str], own_augment: bool
) -> tuple[Entrant, ...]:
    """The methods that take part, each with its options checked.

    `labels`: names of methods, or NAME@PRESET. Raises `RecipeError` (nearest name) for an unknown method, preset or setting,
    and for a method that is named twice.
    """
    twice = next((label for label in labels if list(labels).count(label) > 1), None)
    if twice is not None:
        raise RecipeError(f"'{twice}' is named twice; name each method once (presets of its own: {twice}@PRESET)")
    return tuple(_entrant(label, preset, size, settings, own_augment) for label in labels)


def differences(saved: BenchmarkSetup, asked: BenchmarkSetup) -> list[str]:
    """What would change, a line each. What was measured or found (steps, number of folds) does not count."""

    def plain(setup: BenchmarkSetup) -> dict[str, Any]:
        content = setup.model_dump(exclude={"folds"})
        content["settings"] = tuple(map(_setting_of_today, setup.settings))
        content["entrants"] = {
            entrant.label: (entrant.method, entrant.preset, _with_all_augmentations(entrant.options))
            for entrant in setup.entrants
        }
        return content

    ours, theirs = plain(saved), plain(asked)
    found = []
    for key, value in ours.items():
        if value != theirs[key]:
            if key == "entrants":
                found.append(f"methods {', '.join(value)} → {', '.join(theirs[key])}, or their options")
            else:
                found.append(f"{key} {value} → {theirs[key]}")
    return found


def _with_all_augmentations(options: Mapping[str, Any]) -> dict[str, Any]:
    """Also with those that have come since a setup was made, which do nothing by default."""
    whole = dict(options)
    for key, value in whole.items():
        if key == "augment" and isinstance(value, Mapping):
            whole[key] = {**_NO_AUGMENT, **value}
        elif isinstance(value, Mapping):
            whole[key] = _with_all_augmentations(value)
    return whole


def _setting_of_today(setting: str) -> str:
    """A `--set` text as it is spelled today: `engine.optimiser=sgd` and `engine.optimizer=sgd` ask for the same."""
    key, equals, value = setting.partition("=")
    key, value = respelled_setting(key, value)
    return f"{key}{equals}{value}"


def _entrant(label: str, preset: str, size: int | None, settings: Sequence[str], own_augment: bool) -> Entrant:
    method, _, own_preset = label.partition("@")
    chosen = own_preset or preset
    options: dict[str, Any] = {} if size is None else {"input": {"size": size}}
    if not own_augment:
        options = merge(options, _same_augment(method, chosen))
    resolve(method, chosen, options, settings)
    return Entrant(label=label, method=method, preset=chosen, options=options)


def _same_augment(method: str, preset: str) -> dict[str, Any]:
    """The common augmentation for the run and for each stage that has one of its own."""
    recipe = resolve(method, preset, {})
    own = [name for name, stage in recipe.stages.items() if "augment" in stage.model_fields_set]
    stages = {name: {"augment": dict(COMMON_AUGMENT)} for name in own}
    return {"augment": dict(COMMON_AUGMENT), **({"stages": stages} if stages else {})}
