"""How a model was trained, as far as it matters to who compares it: recipe, data, budget, and whether it was still getting better.

A run folder tells it. It goes with the model (provenance), the masks (`predictions.json`) and their scores (`scores.json`), so that
"seeds of one method" can be known to be that, wherever the folders have gone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from delineate.common.errors import DataError
from delineate.common.files import parse_json, read_json
from delineate.common.spelling import respelled_setting
from delineate.data.core.manifest import Manifest
from delineate.data.formats.dicom.names import data_name
from delineate.data.splits.label_budget import list_hash
from delineate.nn.encoders.options import without_folder

__all__ = ["TrainingRecord", "gain_at_end"]

_ENCODER, _PRETRAINED = "method.encoder.name", ("method.encoder.pretrained", "method.pretrained")
_REGIONS = "data.regions"
_LATER: dict[str, Any] = {
    "augment.dropout_pixels": None,
    "augment.quarter_turns": 0.0,
    "data.axis": None,
    "data.sampling": "uniform",
    "data.slices": "all",
    "engine.freeze_batchnorm": [],
    "engine.output_bias": "default",
    "engine.select_by": "dice",
    "engine.validate_steps": None,
    "input.neighbors": 0,
    "input.spacing": None,
    "input.window_level": None,
    "input.window_width": None,
    "input.zscore_clip": None,
    "input.zscore_over": "auto",
    "strategy.masked": 0.0,
    "strategy.masked_side": 0.0625,
    "strategy.mix": "none",
    "strategy.view": "none",
}
"""Settings that recipes of earlier versions lack → what was done then. A new setting of the recipe comes here, too: else seeds that
were trained before it and after it would count as two ways of training."""
_LATE = 0.1
"""Curves rose to the end if the best validation lies in this last share of the steps, …"""
_WINDOW = 0.2
"""… and the validations in this last share are better on average than those in as long a time before …"""
_GAIN = 0.005
"""… by this much Dice."""
_APART = {
    "preset": (),
    "engine": ("seed", "device", "devices", "epochs", "steps", "save_minutes", "memory_check", "tensorboard"),
    "data": ("workers", "license"),
}
"""What of a recipe does not tell one training from another, or is told in another way (steps): all of a section, or some keys."""


class TrainingRecord(BaseModel):
    """What a run was. What is not known is None."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    recipe: dict[str, Any] = {}
    """Setting (`engine.lr`) → value, resolved, without what only places and paces a run."""
    data_name: str = ""
    data_sha256: str | None = None
    """Over images, masks and parts of the training and validation cases; their names and places do not count."""
    labeled: int | None = None
    """Training cases with masks, where others have none."""
    labeled_sha256: str | None = None
    """Over their ids (`data.splits.label_budget.list_hash`)."""
    preset: str | None = None
    size: tuple[int, int] | None = None
    steps: int | None = None
    """Done, all stages together."""
    images_seen: int | None = None
    started_from: str | None = None
    """Name of the model whose weights it began with (`--init`)."""
    gain: float | None = None
    """Dice by which the last validations are better than those before, where the curve still rose at the end; 0: it did not."""

    @field_validator("recipe")
    @classmethod
    def _of_today(cls, recipe: dict[str, Any]) -> dict[str, Any]:
        """In earlier versions all training was supervised, the average of weights a setting of the engine, the input statistics
        ImageNet's where a recipe did not say them, no regions were asked for, and other settings were not there yet."""
        recipe = dict(respelled_setting(key, value) for key, value in recipe.items())
        if recipe and not any(key.startswith(_REGIONS) for key in recipe):
            recipe[_REGIONS] = "auto"
        if recipe:
            over = {"input.zscore_over": "image"} if recipe.get("input.intensity") == "zscore" else {}
            recipe = _LATER | over | recipe
        if _ENCODER in recipe and not any(key.startswith("method.normalize") for key in recipe):
            recipe["method.normalize"] = "imagenet"
        if not recipe or "strategy.name" in recipe:
            return recipe
        ema = recipe.get("engine.ema", 0.0)
        rest = {key: value for key, value in recipe.items() if key != "engine.ema"}
        return rest | {"strategy.name": "supervised", "strategy.ema": ema, "strategy.ema_ramp": 0.0}

    @property
    def rising(self) -> bool:
        """Whether more steps would likely have made it better."""
        return bool(self.gain)

    @property
    def first_weights(self) -> str | None:
        """Where training began: the model of `--init`, the pretrained weights that the recipe names, or "random"; None where the
        recipe is not known."""
        if self.started_from is not None:
            return f"of {self.started_from}"
        if not self.recipe:
            return None
        named = [self.recipe.get(key, False) for key in _PRETRAINED]
        given = next((value for value in named if value is not False), None)
        return "random" if given is None else "pretrained" if given is True else str(given)

    @property
    def settings(self) -> dict[str, Any]:
        """All that two seeds of one training have in common."""
        return {**self.recipe, "steps": self.steps, "init": self.started_from}

    @classmethod
    def of_run(cls, folder: Path, images_seen: int | None = None) -> TrainingRecord | None:
        """From the files of a run folder; None where it has no recipe that can be read."""
        import yaml  # what reads a record of a model file does without

        try:
            recipe = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))
            flat = dict(_flat({key: _kept(key, value) for key, value in recipe.items()}))
            flat |= {key: without_folder(flat[key]) for key in _PRETRAINED if key in flat}
        except (OSError, ValueError, AttributeError, yaml.YAMLError):
            return None
        summary, records = _json(folder / "run.json"), _records(folder / "metrics.jsonl")
        for rules in ("class_weights", "planned_input"):  # their numbers are the data's, and differ between folds
            asked: dict[str, Any] = summary.get(rules) or {}
            below = tuple(f"{key}." for key in asked)  # what was asked for in one word may have become several keys
            flat = {key: value for key, value in flat.items() if not key.startswith(below)} | asked
        size, init = (recipe.get("input") or {}).get("size"), _json(folder / "init.json").get("model")
        return cls(
            recipe={key: value for key, value in flat.items() if key != "input.size"},
            preset=recipe.get("preset"),
            size=None if size is None else (int(size[0]), int(size[1])),
            steps=_steps(summary, records),
            images_seen=images_seen if images_seen is not None else summary.get("images_seen"),
            started_from=Path(init).name if isinstance(init, str) else None,
            gain=gain_at_end(records),
            **_data(folder / "manifest.json"),
        )

    @classmethod
    def read(cls, content: Any) -> TrainingRecord | None:
        """From JSON that another file holds; None where there is none or it is not understood."""
        try:
            return None if content is None else cls.model_validate(content)
        except ValidationError:
            return None

    @classmethod
    def joined(cls, parts: Sequence[TrainingRecord | None]) -> TrainingRecord | None:
        """Of the runs of several folds, taken as one: their budgets are added up, and data are all of theirs."""
        known = [part for part in parts if part is not None]
        if not known or len(known) < len(parts):
            return None
        hashes = [part.data_sha256 for part in known]
        steps, images = [part.steps for part in known], [part.images_seen for part in known]
        gains = [part.gain for part in known]
        return known[0].model_copy(
            update={
                "data_sha256": _digest(sorted(map(str, hashes))) if None not in hashes else None,
                "steps": sum(map(int, filter(None, steps))) if None not in steps else None,
                "images_seen": sum(map(int, filter(None, images))) if None not in images else None,
                "gain": max((gain for gain in gains if gain is not None), default=None),
            }
        )

    def to_json(self) -> dict[str, Any]:
        return dict(parse_json(self.model_dump_json()))


def gain_at_end(records: Sequence[Mapping[str, Any]]) -> float | None:
    """By how much Dice the last validations of the last stage are better than those before, where the curve still rose.

    0 where the best validation came before the last tenth of the steps, or the last fifth is no better on average than the fifth
    before (by .005); None where there are fewer than two validations.
    """
    last = [one for one in records if one.get("stage") == records[-1].get("stage")] if records else []
    points = [(one.get("step", 0), (one.get("val") or {}).get("dice")) for one in last]
    known = [(float(step), float(dice)) for step, dice in points if isinstance(dice, int | float)]
    if len(known) < 2:
        return None
    total = float(last[-1].get("total_steps") or known[-1][0])
    best = max(known, key=lambda point: (point[1], -point[0]))
    count = max(1, round(_WINDOW * len(known)))
    late, before = known[-count:], known[-2 * count : -count]
    gained = sum(dice for _, dice in late) / len(late) - sum(dice for _, dice in before) / len(before)
    return gained if best[0] > (1 - _LATE) * total and gained >= _GAIN else 0.0


def _kept(section: str, value: Any) -> Any:
    if section not in _APART:
        return value
    if not isinstance(value, dict):
        return {}
    return {key: each for key, each in value.items() if key not in _APART[section]}


def _flat(content: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _data(path: Path) -> dict[str, Any]:
    try:
        manifest = Manifest.load(path)
    except DataError:
        return {}
    known: dict[str, Any] = {"data_name": data_name(manifest)}
    labeled = [case.id for case in manifest.split("train") if case.masks]
    if len(labeled) < len(manifest.split("train")):
        known |= {"labeled": len(labeled), "labeled_sha256": list_hash(labeled)}
    lines = []
    for case in manifest.cases:
        if case.split not in ("train", "val"):
            continue
        hashes = [case.hashes.get(name) for name in (*case.images, *case.masks)]
        if None in hashes:
            return known
        lines.append(f"{case.split} {' '.join(map(str, hashes))}")
    return known | {"data_sha256": _digest(sorted(lines))}


def _digest(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _steps(summary: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> int | None:
    """Those that were done: of each stage its last validation's, else as many as were planned."""
    done = {str(one.get("stage")): int(one.get("step", 0)) for one in records}
    planned = [(str(stage["name"]), int(stage["steps"])) for stage in summary.get("stages", ())]
    return sum(done.get(name, steps) for name, steps in planned) if planned else sum(done.values()) or None


def _json(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _records(path: Path) -> list[dict[str, Any]]:
    """The lines of a log; one that was cut off by a kill is dropped."""
    found = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            found.append(parse_json(line))
        except ValueError:
            continue
    return [one for one in found if isinstance(one, dict)]
