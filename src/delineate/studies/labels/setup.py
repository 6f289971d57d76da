"""The setup of a study of few labels: which ways of training with how many labels. Frozen before the first run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

from delineate.common.errors import RecipeError
from delineate.data.core.findings import count
from delineate.data.layouts.source import Join
from delineate.data.splits.label_budget import LabelBudget
from delineate.engine.recipe import parse_setting, resolve
from delineate.methods import registry
from delineate.strategies import registry as strategies
from delineate.studies.jobs import slug
from delineate.studies.setup import Entrant, StudySetup

__all__ = [
    "SUPERVISED",
    "LabelSetup",
    "Validation",
    "budget_words",
    "check_settings",
    "differences",
    "grown",
    "in_order_of",
    "is_supervised",
    "make_entrants",
]

SUPERVISED = "supervised"
Validation = Literal["none", "inside"]
_OURS = ("engine.steps", "engine.epochs", "engine.seed", "engine.select_by", "engine.validate_steps", "strategy")
"""Settings that the study states itself."""
_VIEW = "view"


class LabelSetup(StudySetup):
    """All runs of the study."""

    study: ClassVar[str] = "study of few labels"

    images: str | None = None
    masks: str | None = None
    labels: str | None = None
    codes: str | None = None
    group_by: str | None
    join: Join = "near"
    method: str
    preset: str
    size: int | None
    steps: int
    """Of every run."""
    budgets: tuple[dict[str, int | float], ...]
    """Parts of the labels, fewest first: {"cases": 40}, {"share": .1} or {"groups": 3}."""
    draws: int
    seeds: int
    validation: Validation
    ema: float
    metrics: tuple[str, ...]
    stack: str | None = None
    spacing: tuple[float, ...] | None = None

    @property
    def supervised(self) -> tuple[Entrant, ...]:
        """The ways of training that others are compared with."""
        return tuple(one for one in self.entrants if is_supervised(one))

    @property
    def runs(self) -> int:
        """With few labels every way of training, with all labels the supervised ones."""
        few = len(self.entrants) * len(self.budgets) * self.draws
        return (few + len(self.supervised)) * self.seeds

    def budget(self, at: int, draw: int) -> LabelBudget:
        """That of a number of labels and a draw."""
        return LabelBudget(**self.budgets[at], draw=draw)  # type: ignore[arg-type]


def is_supervised(entrant: Entrant) -> bool:
    """Whether it is plain supervised training."""
    return bool(entrant.options["strategy"]["name"] == SUPERVISED)


def budget_words(budget: Mapping[str, int | float]) -> str:
    """ "40 cases", "10 %", "3 groups"."""
    (what, number), *_ = budget.items()
    return f"{100 * number:g} %" if what == "share" else count(int(number), what.removesuffix("s"))


def make_entrants(
    labels: Sequence[str],
    *,
    method: str,
    preset: str,
    size: int | None,
    settings: Sequence[str],
    ema: float,
    validation: Validation,
) -> tuple[Entrant, ...]:
    """The ways of training, each with its options checked; supervised training is added where it is not named.

    `labels`: `NAME` or `NAME:option=value,…`; a list that was divided at commas is put together again. All have averaged weights of
    decay `ema`, and supervised training is shown both views, unless an option says otherwise.
    Raises `RecipeError`, naming the nearest, for an unknown strategy or option and one that is named twice.
    """
    named = [_parsed(label) for label in _joined(labels)]
    if not any(name == SUPERVISED for name, _ in named):
        named.insert(0, (SUPERVISED, {}))
    found: dict[str, Entrant] = {}
    for name, given in named:
        given = _views(name) | given
        label = _label(name, given)
        options: dict[str, Any] = {} if size is None else {"input": {"size": size}}
        options["strategy"] = {"name": name, **_common(name, ema), **given}
        if validation == "none":
            options["engine"] = {"select_by": "last"}
        resolve(method, preset, options, settings)
        if any(slug(label) == slug(other) for other in found):
            raise RecipeError(f"'{label}' is named twice; name each way of training once")
        found[label] = Entrant(label=label, method=method, preset=preset, options=options)
    return tuple(found.values())


def check_settings(settings: Sequence[str], method: str, preset: str) -> None:
    """Raise `RecipeError` for a few-shot method, a setting that the study states itself, and what keeps runs from one length."""
    if registry.method_class(method).kind != "dense":
        raise RecipeError(
            f"'{method}' is a few-shot method, which learns from episodes; a study of few labels needs another"
        )
    for text in settings:
        ours = next((one for key in _keys(parse_setting(text)) for one in _OURS if _names(key, one)), None)
        if ours is not None:
            cure = {"engine.seed": "--seeds", "strategy": "--strategies NAME:option=value"}
            where = cure.get(ours, "--steps, --validation")
            raise RecipeError(f"--set {text}: a study of few labels states this itself; use {where}")
    recipe = resolve(method, preset, {}, settings)
    if recipe.engine.devices > 1:
        raise RecipeError(
            f"engine.devices={recipe.engine.devices}: a study trains each run in one process; leave engine.devices at 1"
        )
    for stage in ("", *recipe.stages):
        if recipe.stage_settings(stage).early_stop is not None:
            where = recipe.stage_key(stage, "early_stop")
            raise RecipeError(f"{where}: in a study all runs take the same steps; set it to none")


def grown(saved: LabelSetup, asked: LabelSetup) -> LabelSetup:
    """The saved setup with the strategies and draws that are asked for besides; nothing of it is left out."""
    have = {one.label for one in saved.entrants}
    further = tuple(one for one in asked.entrants if one.label not in have)
    lacking = have - {one.label for one in asked.entrants}
    entrants = saved.entrants if lacking else (*saved.entrants, *further)
    return saved.model_copy(update={"entrants": entrants, "draws": max(saved.draws, asked.draws)})


def in_order_of(other: LabelSetup, setup: LabelSetup) -> LabelSetup:
    """The setup with its ways of training in the order of another one, those that the other one lacks last."""
    place = {one.label: at for at, one in enumerate(other.entrants)}
    ordered = sorted(setup.entrants, key=lambda one: place.get(one.label, len(place)))
    return setup.model_copy(update={"entrants": tuple(ordered)})


def differences(saved: LabelSetup, asked: LabelSetup) -> list[str]:
    """What would change, a line each."""
    ours, theirs = saved.model_dump(mode="json"), asked.model_dump(mode="json")
    found = []
    for key, value in ours.items():
        if value == theirs[key]:
            continue
        if key == "entrants":
            names = [", ".join(entrant.label for entrant in one.entrants) for one in (saved, asked)]
            found.append(f"strategies {names[0]} → {names[1]}, or their options")
        else:
            found.append(f"{key} {value} → {theirs[key]}")
    return found


def _keys(content: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """Dotted keys of a setting, whose value may be a mapping: `engine={seed: 3}` is `engine.seed=3`."""
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _keys(value, f"{before}{key}.")
        else:
            yield f"{before}{key}"


def _names(key: str, ours: str) -> bool:
    """Whether a key is that of one of the study's own settings, or of a part of it, be it for one stage of the method."""
    section, _, of_stage = key.partition(".")
    if section == "stages":
        key = of_stage.partition(".")[2]
    return key == ours or key.startswith(f"{ours}.")


def _joined(labels: Sequence[str]) -> list[str]:
    """["supervised:view=both", "ema=.9", "cps"] → ["supervised:view=both,ema=.9", "cps"]."""
    whole: list[str] = []
    for text in labels:
        head = text.partition(":")[0]
        if "=" in head and whole:
            whole[-1] += f",{text}"
        else:
            whole.append(text)
    return whole


def _parsed(label: str) -> tuple[str, dict[str, Any]]:
    name, _, options = label.partition(":")
    strategies.strategy_class(name)
    given: dict[str, Any] = {}
    for text in filter(None, options.split(",")):
        key, equals, raw = text.partition("=")
        if not equals or not key:
            raise RecipeError(f"--strategies {label}: expected NAME:option=value,option=value")
        ((_, value),) = parse_setting(f"strategy.{key}={raw}")["strategy"].items()
        given[key] = value
    return name, given


def _label(name: str, given: Mapping[str, Any]) -> str:
    """As it is shown: "supervised:view=both,ema=0.9"."""
    options = ",".join(f"{key}={value}" for key, value in given.items())
    return f"{name}:{options}" if options else name


def _common(name: str, ema: float) -> dict[str, Any]:
    """The averaged weights that all ways of training share."""
    fields = strategies.strategy_class(name).Options.model_fields
    common: dict[str, Any] = {"ema": ema, "ema_ramp": 10.0} if ema else {}
    return {key: value for key, value in common.items() if key in fields}


def _views(name: str) -> dict[str, Any]:
    """For supervised training the views that other strategies show; what is stated wins."""
    offered = name == SUPERVISED and _VIEW in strategies.strategy_class(name).Options.model_fields
    return {_VIEW: "both"} if offered else {}
