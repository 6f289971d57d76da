"""The recipe: everything that decides how a run goes, typed, closed and saved with the run.

Layers, later ones win: the defaults below, the strategy's recipe, the plan, the method's preset, flags, `--set section.key=value`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar

import yaml
from pydantic import (
    BaseModel,
    Field,
    ValidationError,
    ValidationInfo,
    field_serializer,
    field_validator,
)

from delineate.common.config import explain, merge
from delineate.common.errors import RecipeError
from delineate.common.files import write_text
from delineate.common.names import did_you_mean
from delineate.common.not_finite import first_not_finite
from delineate.common.yaml_text import parse_yaml
from delineate.data.augment.settings import AugmentSettings
from delineate.engine.best_weights import SelectBy
from delineate.engine.earlier_recipes import in_todays_spelling, of_today, refuse_moved
from delineate.engine.freezing import FrozenFor
from delineate.engine.lr_scheduler import SCHEDULES
from delineate.engine.optimizers import OPTIMIZERS
from delineate.engine.recipe_inputs import DataSection, InputSection, Section
from delineate.engine.typo_checks import refuse_lone_key
from delineate.methods import registry
from delineate.methods.contract import Stage
from delineate.strategies import registry as strategies
from delineate.strategies.contract import StrategyOptions

__all__ = [
    "EngineSection",
    "EpisodesSection",
    "PlanSection",
    "Recipe",
    "StageOverride",
    "StageSettings",
    "differences",
    "parse_setting",
    "resolve",
    "stated",
]

_Model = TypeVar("_Model", bound=BaseModel)
if TYPE_CHECKING:
    _OptimizerName: TypeAlias = str
    _ScheduleName: TypeAlias = str
else:  # a new row of the table of optimizers or schedulers is a new value here
    _OptimizerName, _ScheduleName = Literal[tuple(OPTIMIZERS)], Literal[tuple(SCHEDULES)]


class PlanSection(Section):
    """Whether the method chooses, by the training images, what neither preset nor user states; and within which limits."""

    from_data: bool = Field(False, description="plan once, at the start; the run's recipe holds what was decided")
    memory_gib: float = Field(8.0, gt=0, description="memory that a training step may take; not that of this machine")
    gflops: float | None = Field(
        None, gt=0, description="most GFLOP (2·MAC) of one image's forward pass; none: no limit"
    )
    longest_side: int = Field(512, ge=32, description="most pixels of the network's input along either side")


class EpisodesSection(Section):
    """Of few-shot methods: what an episode of training is made of. Sizes in pixels are those at a working size of 256×256, and
    are scaled with the area."""

    kind: Literal["superpixel", "supervoxel", "labels"] = Field(
        "superpixel", description="foreground: a region of a slice, a region through neighboring slices, or a class"
    )
    shots: int = Field(1, ge=1, description="support images of an episode")
    exclude: tuple[str, ...] = Field((), description="classes (name or index) whose slices are not trained on")
    exclude_rule: Literal["any", "legacy_all"] = Field(
        "any",
        description="drop slices with any excluded class; legacy_all: only those with all of them (a known defect)",
    )
    stack: str = Field("auto", description="how names tell volume and slice: auto, none, or a regular expression")
    regions: Literal["felzenszwalb", "slic"] = Field("felzenszwalb", description="superpixel: how slices are divided")
    region_size: int = Field(
        400, ge=4, description="superpixel: least pixels (felzenszwalb) or their usual number (slic)"
    )
    supervoxel_size: int = Field(5000, ge=8, description="supervoxel: usual number of voxels")
    least: int = Field(200, ge=1, description="pixels of a region in a slice; smaller ones are not drawn")
    least_labeled: int = Field(50, ge=1, description="the same for a class")
    augment: Literal["one", "both"] = Field("one", description="augment one side of the pair, drawn by lot, or both")
    validation: int = Field(60, ge=1, description="most slices that a validation segments")


class StageSettings(Section):
    """What may differ from stage to stage."""

    batch_size: int = Field(8, ge=1, description="samples of an optimizer step, over all micro-batches and processes")
    accumulate: int = Field(
        1, ge=1, description="gradient accumulation: micro-batches per step; the batch is divided among them"
    )
    optimizer: _OptimizerName = Field("adamw", description="moves the weights")
    lr: float = Field(1e-3, gt=0, description="learning rate, the highest of the schedule")
    lr_scale: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default_factory=dict,
        description="submodule → factor on lr, e.g. {encoder: 0.1}; 0 = it stays as it is. Of several names that hold a "
        "parameter, the innermost decides, here and in the next two",
    )
    layer_decay: dict[str, Annotated[float, Field(gt=0, le=1)]] = Field(
        default_factory=dict,
        description="submodule → factor on lr for each layer down from its top, e.g. {encoder: 0.75}: its last layer has .75 lr, "
        "the one before .5625 lr; times lr_scale",
    )
    freeze: dict[str, FrozenFor] = Field(
        default_factory=dict,
        description="submodule → how long its weights stay as they are at the beginning of a stage: steps {encoder: 200}, a share "
        "of the stage's steps {encoder: 0.1}, or {encoder: stage}, all of it. Its batch statistics move (freeze_batchnorm)",
    )
    freeze_batchnorm: tuple[str, ...] = Field(
        (),
        description="submodules whose BatchNorm normalizes by its running statistics and keeps them, e.g. [encoder]; scale and "
        "shift still learn",
    )
    weight_decay: float = Field(0.0, ge=0, description="not applied to biases and normalization weights")
    momentum: float = Field(0.9, ge=0, lt=1, description="SGD only (Nesterov)")
    schedule: _ScheduleName = Field("one-cycle", description="learning rate scheduler")
    warmup: float = Field(
        0.0, ge=0, lt=1, description="share of the steps with linearly rising lr; one-cycle: its rise (0 = .3)"
    )
    poly_power: float = Field(0.9, gt=0, description="schedule poly: the exponent")
    step_every: int = Field(1000, ge=1, description="schedule step: optimizer steps between two falls of the rate")
    step_factor: float = Field(0.95, gt=0, lt=1, description="schedule step: what the rate is multiplied by")
    plateau_patience: int = Field(30, ge=1, description="validations without a lower validation loss")
    plateau_factor: float = Field(0.1, gt=0, lt=1, description="schedule plateau: what the rate is multiplied by")
    clip_norm: float | None = Field(None, gt=0, description="gradients are clipped to this norm; none: they are not")
    early_stop: int | None = Field(
        None, ge=1, description="early stopping: after so many validations that are not better (select_by); none: never"
    )

    @field_validator("lr_scale", "layer_decay", "freeze", mode="before")
    @classmethod
    def _dotted(cls, value: Any, info: ValidationInfo) -> Any:
        """A setting like lr_scale.streams.original=0.1 names the submodule "streams.original"."""
        if not isinstance(value, dict):
            raise ValueError(f"name the part of the method that it is for: {info.field_name}.encoder=VALUE")
        return _flat(value) if isinstance(value, dict) and value else value

    @field_validator("freeze_batchnorm", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        if not isinstance(value, str | list | tuple):
            raise ValueError("name the parts of the method that it is for: [encoder]")
        return (value,) if isinstance(value, str) else value


class StageOverride(StageSettings):
    """What a stage has of its own. Only what was stated counts: the rest is as in `engine` and `augment`."""

    share: float | None = Field(None, ge=0, description="part of the run's steps; none: as the method states")
    augment: AugmentSettings = AugmentSettings()
    strategy: dict[str, Any] = Field(default_factory=dict)
    """Options of the run's strategy that differ in this stage."""

    def stated(self) -> dict[str, Any]:
        """The stated keys alone, also within `augment`."""
        return self.model_dump(mode="json", exclude_unset=True)


_MAX_SEED = 2**63 - 1
"""What every generator of random numbers takes."""


class EngineSection(StageSettings):
    """How training goes. What `stages` has as well holds for every stage unless `stages.NAME` states it."""

    epochs: int | None = Field(100, ge=1, description="turned into steps once, at the start")
    steps: int | None = Field(None, ge=1, description="optimizer steps of all stages together; wins over epochs")
    validate_every: float = Field(1.0, gt=0, description="epochs between validations")
    validate_steps: int | None = Field(
        None, ge=1, description="optimizer steps between validations; none: validate_every decides"
    )
    select_by: SelectBy = Field(
        "dice",
        description="validation score that chooses the best weights and ends training early; last: none does, the weights after "
        "the last step are kept (the averaged ones, with strategy.ema), and no validation cases are needed",
    )
    seed: int = Field(0, ge=0, le=_MAX_SEED, description="of everything random")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="auto: CUDA, else MPS, else the CPU")
    devices: int = Field(1, ge=1, description="processes, one device each (DDP)")
    precision: Literal["32", "bf16", "16"] = Field(
        "32", description="mixed precision: bf16 and 16 compute in half width where the device can"
    )
    channels_last: bool = Field(
        True, description="memory layout that is faster on most devices; results differ by rounding"
    )
    activation_checkpointing: bool = Field(
        False, description="recompute activations in the backward pass: less memory, more time"
    )
    output_bias: Literal["default", "class_shares"] = Field(
        "default",
        description="first bias of the last layer: default (as the method draws it), class_shares (each pixel begins with the "
        "probabilities that are right on average over the training masks)",
    )
    save_minutes: float = Field(5.0, gt=0, description="between checkpoints; one is also saved at each validation")
    memory_check: bool = Field(True, description="refuse before the start when memory would surely not suffice")
    tensorboard: bool = Field(False, description="also log to RUN/tensorboard (extra `tensorboard`)")

    @field_validator("precision", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) else value


class Recipe(Section):
    """One run, resolved."""

    name: str
    """The method."""
    preset: str = "paper"
    data: DataSection = DataSection()
    input: InputSection = InputSection()
    plan: PlanSection = PlanSection()
    method: dict[str, Any] = Field(default_factory=dict)
    """The method's own options, checked by the method."""
    strategy: dict[str, Any] = Field(default_factory=dict, validate_default=True)
    """The way of training: its `name` (supervised unless given) and all of its own options, checked by the strategy."""
    augment: AugmentSettings = AugmentSettings()
    episodes: EpisodesSection = EpisodesSection()
    engine: EngineSection = EngineSection()
    stages: dict[str, StageOverride] = Field(default_factory=dict)

    @field_validator("strategy")
    @classmethod
    def _settled(cls, value: dict[str, Any]) -> dict[str, Any]:
        return strategies.resolved_section(value)

    @field_serializer("stages")
    def _as_stated(self, stages: dict[str, StageOverride]) -> dict[str, dict[str, Any]]:
        return {name: override.stated() for name, override in stages.items()}

    def stage(self, name: str) -> StageOverride:
        """What the stage has of its own, be it nothing."""
        return self.stages.get(name, StageOverride())

    def stage_settings(self, stage: str) -> StageSettings:
        """Engine settings of one stage, its overrides applied."""
        override = self.stage(stage)
        return StageSettings(
            **{
                key: getattr(override if key in override.model_fields_set else self.engine, key)
                for key in StageSettings.model_fields
            }
        )

    def stage_augment(self, stage: str) -> AugmentSettings:
        """Augmentation of one stage, its overrides applied."""
        over = self.stage(stage).stated().get("augment", {})
        return AugmentSettings.model_validate(merge(self.augment.model_dump(), over))

    def strategy_options(self, stage: str = "") -> StrategyOptions:
        """Options of the strategy; with the name of a stage, its overrides applied."""
        options = {key: value for key, value in self.strategy.items() if key != "name"}
        return strategies.checked_options(self.strategy["name"], merge(options, self.stage(stage).strategy))

    def share(self, stage: Stage) -> float:
        """Part of the run's steps that a stage gets."""
        own = self.stage(stage.name).share
        return stage.share if own is None else own

    def stage_key(self, stage: str, setting: str) -> str:
        """Where a setting of a stage is set: "engine.lr", or "stages.NAME.lr" where the stage has its own."""
        return f"stages.{stage}.{setting}" if setting in self.stage(stage).model_fields_set else f"engine.{setting}"

    def check_stages(self, stages: Sequence[Stage]) -> None:
        """Raise `RecipeError` for an override of a stage that the method has not, or that its strategy does not take."""
        known = [stage.name for stage in stages]
        for name in self.stages:
            if name not in known:
                raise RecipeError(f"stages: method '{self.name}' has no stage '{name}': {did_you_mean(name, known)}")
            own, whole = self.strategy_options(name), self.strategy_options()
            for key in strategies.strategy_class(self.strategy["name"]).info.one_for_all_stages:
                ours, theirs = getattr(own, key), getattr(whole, key)
                if ours != theirs:
                    raise RecipeError(
                        f"stages.{name}.strategy.{key} is {ours}, and the run's strategy.{key} is {theirs}: it is one for all "
                        f"stages; set strategy.{key} alone"
                    )

    def save(self, path: Path) -> None:
        """Write as YAML, atomically."""
        write_text(path, yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True))

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """Read a saved recipe; raises `RecipeError` naming the file when it is absent or malformed."""
        try:
            content = parse_yaml(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RecipeError(f"cannot read recipe {path}: {error}") from error
        if not isinstance(content, dict):
            raise RecipeError(f"{path} is not a recipe")
        options = registry.option_names(str(content.get("name")))
        return _validated(cls, of_today(content, options), str(path))


def stated(method: str, preset: str, changes: Mapping[str, Any], settings: Iterable[str] = ()) -> dict[str, Any]:
    """What a preset, `changes` (nested mapping) and `settings` ("section.key=value") say, laid on each other.

    Raises `RecipeError` for an unknown method or preset, naming the nearest.
    """
    presets = registry.presets(method)
    if preset not in presets:
        raise RecipeError(f"method '{method}' has no preset '{preset}': {did_you_mean(preset, presets)}")
    content: dict[str, Any] = {}
    options = registry.option_names(method)
    settings = tuple(settings)
    for setting in settings:
        refuse_lone_key(method, None, setting.partition("=")[0].strip().split("."))
    for layer in (presets[preset], changes, *map(parse_setting, settings)):
        content = merge(content, in_todays_spelling(layer, options))
    _prefer_given_length(content, changes, settings)
    return content


def resolve(
    method: str,
    preset: str,
    changes: Mapping[str, Any],
    settings: Iterable[str] = (),
    *,
    planned: Mapping[str, Any] | None = None,
) -> Recipe:
    """Lay defaults, what the strategy wants, `planned` sections, preset, `changes` and `settings` on each other.

    Raises `RecipeError` as `stated`, for an unknown key (naming the nearest), a value of the wrong type, and a strategy that does
    not fit the method.
    """
    content = stated(method, preset, changes, settings)
    refuse_moved(content)
    content = merge(merge(_wanted(content.get("strategy")), planned or {}), content)
    recipe = _validated(Recipe, {"name": method, "preset": preset, **content}, "recipe")
    strategies.check_fits(recipe.strategy["name"], registry.method_class(method))
    _check_patches(recipe)
    _check_last(recipe)
    return _with_statistics(recipe)


def parse_setting(text: str) -> dict[str, Any]:
    """ "a.b=1" → {"a": {"b": 1}}; the value is read as YAML."""
    path, equals, raw = text.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise RecipeError(f"--set {text}: expected section.key=value, for example engine.lr=0.001")
    try:
        value: Any = parse_yaml(raw)
    except ValueError as error:
        raise RecipeError(f"--set {text}: the value is not readable as YAML: {error}") from error
    if isinstance(value, str):
        value = _number(value)
    for key in reversed(keys):
        value = {key: value}
    return dict(value)


def differences(old: Recipe, new: Recipe) -> list[str]:
    """Dotted keys whose values differ, as "key: old → new"."""
    before, after = _flat(old.model_dump(mode="json")), _flat(new.model_dump(mode="json"))
    keys = sorted(before.keys() | after.keys())
    return [f"{key}: {before.get(key)} → {after.get(key)}" for key in keys if before.get(key) != after.get(key)]


def _number(text: str) -> Any:
    """YAML 1.1 reads 1e-3 as text; people mean the number."""
    try:
        return float(text)
    except ValueError:
        return text


def _prefer_given_length(content: dict[str, Any], changes: Mapping[str, Any], settings: Iterable[str]) -> None:
    """Epochs given by the user win over steps of a preset."""
    given = dict(changes.get("engine", {}))
    for setting in settings:
        given |= parse_setting(setting).get("engine", {}) or {}
    if given.get("epochs") is not None and given.get("steps") is None:
        content["engine"] = {**content.get("engine", {}), "steps": None}


def _with_statistics(recipe: Recipe) -> Recipe:
    """The input statistics that `method.normalize: auto` means, stated: a resumed run does not depend on what a package, a file or
    timm's table says by then."""
    if not registry.option_names(recipe.name) >= {"encoder", "normalize"}:
        return recipe  # others need not be checked yet: a plan may be still to come
    options = registry.checked_options(recipe.name, recipe.method).model_dump(mode="json")
    if "pretrained" not in (options["encoder"] or {}):
        return recipe
    return recipe.model_copy(update={"method": {**recipe.method, "normalize": options["normalize"]}})


def _wanted(section: Any) -> dict[str, Any]:
    """What the named strategy wants of the other sections; what is no section is refused where the recipe is checked."""
    name = section.get("name") if isinstance(section, Mapping) else None
    return strategies.recipe_sections(name) if isinstance(name, str) else {}


def _check_patches(recipe: Recipe) -> None:
    """Raise `RecipeError` for settings of patches where the network sees whole images."""
    if recipe.input.fit == "patch":
        return
    for key, given in {
        "input.scale": recipe.input.scale != 1,
        "data.patches_per_image": recipe.data.patches_per_image is not None,
    }.items():
        if given:
            raise RecipeError(f"{key}: only with input.fit=patch (given: input.fit={recipe.input.fit})")


def _check_last(recipe: Recipe) -> None:
    """Raise `RecipeError` for what needs validations where none may have a say."""
    if recipe.engine.select_by != "last":
        return
    for stage in ("", *recipe.stages):
        settings = recipe.stage_settings(stage)
        for key, given in {
            "early_stop": settings.early_stop is not None,
            "schedule": settings.schedule == "plateau",
        }.items():
            if given:
                value = getattr(settings, key)
                raise RecipeError(
                    f"{recipe.stage_key(stage, key)}={value} needs validations, and with engine.select_by=last none has a say; "
                    "leave one of them out"
                )


def _validated(model: type[_Model], content: Mapping[str, Any], what: str) -> _Model:
    if (key := first_not_finite(content)) is not None:
        raise RecipeError(f"{what}: {key}: must be a finite number, neither infinite, NaN nor beyond 1.8e308")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise RecipeError(explain(error, model, what)) from error


def _flat(content: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(content, dict) or not content:
        return {prefix: content}
    result: dict[str, Any] = {}
    for key, value in content.items():
        result |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return result
