"""What `train` is asked for, and whether the run folder agrees with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from delineate.common.errors import RecipeError, TrainingError
from delineate.data.cache.eviction import DEFAULT_LIMIT_BYTES
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS
from delineate.data.layouts.source import DataSource, as_source
from delineate.data.splits.label_budget import LabelBudget
from delineate.engine.channel_intensity import rules_like
from delineate.engine.checkpoint import Checkpoints
from delineate.engine.class_weights import weights_like
from delineate.engine.recipe import Recipe, differences, resolve, stated
from delineate.engine.run_folder import RunFolder

__all__ = ["DIVERGED", "TrainRequest", "check_folder", "needs_report_only", "settled_like"]

DIVERGED = "diverged"
"""Status of a run that was stopped by numbers that are not finite."""
_GENTLER_SETTINGS = ("lr", "lr_scale", "clip_norm", "warmup", "precision")
"""What may be changed by `--resume` after such a stop, and only then: all else would make another experiment of the run."""
_MAY_CHANGE_ON_RESUME = ("data.workers", "engine.save_minutes", "engine.memory_check")


@dataclass(frozen=True)
class TrainRequest:
    """What training is asked for, made of the options that a user gave (`delineate.requests.train`)."""

    data: Path | DataSource
    method: str
    out: Path
    preset: str = "paper"
    resume: bool = False
    fold: int | None = None
    """The fold that validates, where the data is a manifest with folds."""
    labels: LabelBudget | None = None
    """The part of the training cases that keeps its masks; None: all of it."""
    init: Path | None = None
    settings: Sequence[str] = ()
    """Texts "section.key=value"."""
    max_pixels: int = DEFAULT_MAX_PIXELS
    cache_folder: Path | None = None
    cache_limit_bytes: int = DEFAULT_LIMIT_BYTES
    options: Mapping[str, Any] = field(default_factory=dict)
    """Recipe sections as a nested mapping, laid on the preset before `settings`."""

    @property
    def source(self) -> DataSource:
        """The data with what is said of them."""
        return as_source(self.data)

    def recipe(self, planned: Mapping[str, Any] | None = None) -> Recipe:
        """Preset, options and settings resolved, on the sections of a plan."""
        return resolve(self.method, self.preset, self.options, self.settings, planned=planned)

    def stated(self) -> dict[str, Any]:
        """The sections as preset, options and settings state them."""
        return stated(self.method, self.preset, self.options, self.settings)


_NUMBERS = ("window_level", "window_width", "zscore_clip")
"""Of intensity rules: the data or the rule decide what is not stated."""


def check_folder(folder: RunFolder, recipe: Recipe, *, resume: bool, report: bool) -> None:
    """Raise `TrainingError` or `RecipeError` where the run folder does not allow what is asked for.

    `report`: whether a page belongs to a finished run.
    """
    if not resume:
        folder.check_free()
        return
    if not folder.recipe.exists():
        raise TrainingError(f"--resume: there is no run in {folder.path}; start it without --resume")
    missing = folder.missing_files(report=report)
    if folder.read_summary().get("status") == "finished" and not missing:
        Checkpoints(folder.steps).discard()  # where a kill came between
        raise TrainingError(
            f"--resume: the run in {folder.path} is finished; nothing is left to do. To train it further, begin a "
            f"run in another folder from its weights: --init {folder.path}"
        )
    if not Checkpoints(folder.steps).any() and not needs_report_only(folder):
        if folder.model.exists() or folder.read_summary().get("status") == "finished":
            gone = ", ".join(missing) or folder.summary.name
            raise TrainingError(
                f"--resume: the run in {folder.path} was finished, but {gone} is gone, and so are its checkpoints; "
                "train again in another folder"
            )
        raise TrainingError(
            f"--resume: {folder.path} has no saved state; remove that folder and start without --resume"
        )
    saved = Recipe.load(folder.recipe)
    # The saved recipe is resolved by the data (auto → rgb); what the flags leave open is no change.
    asked = settled_like(recipe, saved, folder.read_summary().get("class_weights", {}))
    changed = [line for line in differences(saved, asked) if not line.startswith(_MAY_CHANGE_ON_RESUME)]
    if folder.read_summary().get("status") == DIVERGED:
        gentler = [line for line in changed if _is_gentler(line)]
        if gentler and gentler == changed:
            _change_recipe(folder, saved, asked, gentler)
            return
    if changed:
        raise RecipeError(
            f"--resume: the recipe differs from the run's ({'; '.join(changed)}); use the same options, or another --out"
        )


def needs_report_only(folder: RunFolder) -> bool:
    """Whether all that training gives is there, its states removed, and only the page is missing."""
    return folder.read_summary().get("status") == "finished" and folder.missing_files(report=True) == [
        folder.report.name
    ]


def _is_gentler(difference: str) -> bool:
    """Whether a difference ("engine.lr: 1 → 0.1") is one that a run which diverged may go on with."""
    section, *keys = difference.partition(":")[0].split(".")
    setting = keys[:1] if section == "engine" else keys[1:2] if section == "stages" else []
    return any(key in _GENTLER_SETTINGS for key in setting)


def _change_recipe(folder: RunFolder, saved: Recipe, asked: Recipe, changed: Sequence[str]) -> None:
    """Let a run that diverged go on with a gentler recipe: its own, with those settings changed. `run.json` keeps what was."""
    engine = {name: getattr(asked.engine, name) for name in _GENTLER_SETTINGS}
    saved.model_copy(update={"engine": saved.engine.model_copy(update=engine), "stages": asked.stages}).save(
        folder.recipe
    )
    before = folder.read_summary().get("changes", [])
    folder.update_summary(changes=[*before, *changed])


def settled_like(recipe: Recipe, saved: Recipe, weight_rules: Mapping[str, str]) -> Recipe:
    """The recipe that was asked for, with what it leaves to the data as the saved one has it."""
    recipe = weights_like(recipe, saved, weight_rules)
    given = recipe.input.model_dump()
    left_open = [key for key, value in given.items() if value == "auto" or (key in _NUMBERS and value is None)]
    kept = {key: getattr(saved.input, key) for key in left_open}
    if not isinstance(recipe.input.intensity, str):
        kept["intensity"] = rules_like(recipe.input.intensity, saved.input.intensity)
        kept["zscore_over"] = saved.input.zscore_over
    axis = saved.data.axis if recipe.data.axis is None else recipe.data.axis
    regions = saved.data.regions if recipe.data.regions == "auto" else recipe.data.regions
    return recipe.model_copy(
        update={
            "input": recipe.input.model_copy(update=kept),
            "data": recipe.data.model_copy(update={"axis": axis, "regions": regions}),
        }
    )
