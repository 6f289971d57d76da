"""From a recipe and a data set to what will be trained: input specification, method, and steps per stage."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from lightning.fabric import Fabric

from delineate.common.errors import RecipeError
from delineate.data.cache.cache import Cache
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.soft_mask import NO_TARGETS, Targets
from delineate.engine.batch_source import BatchSource, BatchSourceRequest, make_batch_source
from delineate.engine.data_module import PreparedData
from delineate.engine.first_weights import check_size
from delineate.engine.freezing import check_something_learns, frozen_always
from delineate.engine.memory import check_memory, training_bytes
from delineate.engine.memory_advice import ways_to_save_memory
from delineate.engine.optimizers import OPTIMIZERS
from delineate.engine.recipe import Recipe
from delineate.engine.seeds import mix_seed
from delineate.engine.submodules import check_submodules
from delineate.methods import registry
from delineate.methods.contract import Method, Stage
from delineate.methods.dense import DenseMethod
from delineate.nn.output import Output
from delineate.nn.recompute import recompute
from delineate.strategies import registry as strategies
from delineate.strategies.contract import Strategy

__all__ = [
    "PlannedStage",
    "build_method",
    "build_strategy",
    "check_training_memory",
    "make_plan",
    "source_of",
    "targets_of",
]

_OF_SUBMODULES = ("lr_scale", "layer_decay", "freeze", "freeze_batchnorm")
"""Settings of a stage that name submodules of the method."""
_STRATEGY_SEED = 2
"""Tells the seed of a strategy's networks from others."""


@dataclass(frozen=True)
class PlannedStage:
    """A stage with its batches and its number of steps."""

    stage: Stage
    source: BatchSource
    steps: int


def build_method(recipe: Recipe, output: Output, spec: InputSpec) -> Method:
    """The method with the channels of `output` and seeded random weights. Raises `RecipeError` for a working size, or regions, that
    it cannot take."""
    torch.manual_seed(recipe.engine.seed)
    method = registry.build(
        recipe.name,
        classes=output.channels,
        in_channels=spec.in_channels,
        options=recipe.method,
        regions=output.regions,
    )
    check_size(method, spec)
    if recipe.engine.activation_checkpointing:
        _recompute(method)
    return method.to(memory_format=torch.channels_last) if recipe.engine.channels_last else method


def build_strategy(recipe: Recipe, method: Method) -> Strategy:
    """The recipe's strategy, holding `method`. Raises `RecipeError` for a method that lacks what it needs.

    Its own networks begin with other random numbers than the method.
    """
    torch.manual_seed(mix_seed(recipe.engine.seed, _STRATEGY_SEED))
    return strategies.build(recipe.strategy["name"], method, recipe.strategy_options())


def _recompute(method: Method) -> None:
    if not method.info.checkpoint_modules:
        raise RecipeError(f"engine.activation_checkpointing: method '{method.info.name}' does not offer it")
    recompute(method, method.info.checkpoint_modules)


def check_training_memory(recipe: Recipe, method: Method, spec: InputSpec, device: torch.device) -> None:
    """Raise `DeviceError` before the start when a step surely does not fit into memory."""
    if not recipe.engine.memory_check or recipe.engine.activation_checkpointing:
        return

    def build() -> Method:
        fresh = registry.build(
            recipe.name, classes=method.classes, in_channels=method.in_channels, options=recipe.method
        )
        for name, parameter in fresh.named_parameters():
            parameter.requires_grad_(name not in frozen)
        return fresh

    settings = [recipe.stage_settings(stage.name) for stage in method.stages()]
    frozen = frozen_always(method, [each.freeze for each in settings])
    largest = max(method.stages(), key=lambda stage: _images_at_once(recipe, stage, device))
    batch = _images_at_once(recipe, largest, device)
    moments = min(OPTIMIZERS[each.optimizer].state_tensors for each in settings)
    if all(recipe.strategy_options(stage.name).ema for stage in method.stages()):
        moments += 1  # the averaged weights
    ways = ways_to_save_memory(recipe, largest.name, method.info, spec.size, device)
    need = training_bytes(build, batch, spec.size, moments=moments, half=recipe.engine.precision != "32")
    networks = strategies.strategy_class(recipe.strategy["name"]).networks(recipe.strategy_options())
    if networks > 1:
        need *= networks
        ways.append(f"a strategy with one network (--strategy; '{recipe.strategy['name']}' trains {networks})")
    check_memory(need, device, batch, spec.size, ways)


def _images_at_once(recipe: Recipe, stage: Stage, device: torch.device) -> int:
    """How many images of a batch are in one memory: processes on the CPU share it, each GPU has its own."""
    settings, devices = recipe.stage_settings(stage.name), recipe.engine.devices
    of_a_process = -(-settings.batch_size // devices)
    at_once = -(-of_a_process // settings.accumulate)
    return at_once * devices if device.type == "cpu" else at_once


def make_plan(recipe: Recipe, method: Method, data: PreparedData, fabric: Fabric) -> list[PlannedStage]:
    """Turn epochs into steps, once. Epochs are shared out among the stages; with `steps` given, the steps are."""
    stages = method.stages()
    shares = [recipe.share(stage) for stage in stages]
    if sum(shares) <= 0:
        raise RecipeError("stages: the shares sum to 0, nothing would be trained")
    planned = []
    for index, (stage, share) in enumerate(zip(stages, shares, strict=True)):
        settings = recipe.stage_settings(stage.name)
        for key in _OF_SUBMODULES:
            check_submodules(method, recipe.stage_key(stage.name, key), getattr(settings, key))
        if settings.batch_size % fabric.world_size:
            raise RecipeError(
                f"engine.batch_size={settings.batch_size} cannot be divided among {fabric.world_size} processes"
            )
        source = data.source(stage, index=index, rank=fabric.global_rank, world=fabric.world_size)
        total = recipe.engine.steps or (recipe.engine.epochs or 1) * source.steps_per_epoch
        steps = round(total * share / sum(shares))
        if steps > 0:
            key = recipe.stage_key(stage.name, "freeze")
            check_something_learns(method, stage, settings.freeze, steps, key)
            planned.append(PlannedStage(stage, source, steps))
    if not planned:
        raise RecipeError("engine.steps is too small: no stage gets a step")
    return planned


def targets_of(recipe: Recipe) -> Targets:
    """What the method learns from beside masks. Raises `RecipeError` where there is no such thing: of patches."""
    cls = registry.method_class(recipe.name)
    if not issubclass(cls, DenseMethod):
        return NO_TARGETS
    targets = cls.targets(registry.checked_options(recipe.name, recipe.method))
    if targets != NO_TARGETS and recipe.input.fit == "patch":
        raise RecipeError(
            f"input.fit=patch: with these options '{recipe.name}' learns from soft or unaugmented masks, which there are of whole "
            "images only; choose stretch or letterbox, or other options of the method"
        )
    return targets


def source_of(
    recipe: Recipe, stage: Stage, cache: Cache, spec: InputSpec, *, index: int = 0, rank: int = 0, world: int = 1
) -> BatchSource:
    """The batches of the stage with that index, as the recipe wants them."""
    return make_batch_source(
        stage.source,
        BatchSourceRequest(
            cache=cache,
            spec=spec,
            augment=recipe.stage_augment(stage.name),
            batch_size=recipe.stage_settings(stage.name).batch_size,
            seed=recipe.engine.seed + 7919 * index,  # each stage sees the samples in an order of its own
            workers=recipe.data.workers,
            labeled_share=recipe.data.labeled_share,
            foreground=recipe.data.foreground,
            patches_per_image=recipe.data.patches_per_image,
            sampling=recipe.data.sampling,
            targets=targets_of(recipe),
            rank=rank,
            world=world,
        ),
    )
