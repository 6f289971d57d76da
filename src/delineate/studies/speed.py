"""`benchmark --speed`: does the loader or the network limit training here, and which settings would change that?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning.fabric import Fabric

from delineate.data.cache.cache import Cache, open_cache, with_shares
from delineate.data.cache.store import Store
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import Manifest
from delineate.data.layouts.source import DataSource
from delineate.data.loading.open_data import open_data
from delineate.engine.batch_source import to_device
from delineate.engine.build import build_method, build_strategy, source_of, targets_of
from delineate.engine.class_weights import settle_class_weights
from delineate.engine.input_settings import settle_input
from delineate.engine.intensity_plan import plan_intensity
from delineate.engine.parameter_groups import make_optimizer
from delineate.engine.recipe import Recipe, resolve
from delineate.engine.region_settings import with_regions
from delineate.engine.run import make_fabric
from delineate.methods.contract import Batch, Context, Stage
from delineate.nn.output import Output

__all__ = [
    "Announce",
    "Rate",
    "Speed",
    "measure_speed",
]

_SECONDS = 6.0
"""Of one measurement."""
_WORTH = 1.05
"""A setting is advised when it is faster by this factor."""
_WORKERS = (1, 2, 4)

Announce = Callable[[str], None]


@dataclass(frozen=True)
class Rate:
    """One measurement."""

    setting: str
    """As `--set` takes it; empty: as it is."""
    images_per_second: float


@dataclass(frozen=True)
class Speed:
    """What was measured, and what follows."""

    method: str
    device: str
    batch_size: int
    loader: tuple[Rate, ...]
    """Alone; the first is as it is set."""
    network: tuple[Rate, ...]
    """Training steps on one batch over and over; the first is as it is set."""

    @property
    def limit(self) -> str:
        """The slower of the two."""
        return "loader" if self.loader[0].images_per_second < self.network[0].images_per_second else "network"

    def advice(self) -> list[str]:
        """What to do, a line each."""
        loader, network = self.loader[0].images_per_second, self.network[0].images_per_second
        slow, fast = sorted((loader, network))
        lines = [f"the {self.limit} limits: {slow:.0f} images/s against {fast:.0f}"]
        if self.device == "cpu":
            both = 1 / (1 / loader + 1 / network)
            lines.append(f"on the CPU both share the cores: about {both:.0f} images/s together if no core is idle")
        for rates in (self.network, self.loader) if self.limit == "network" else (self.loader, self.network):
            base, best = rates[0], max(rates, key=lambda rate: rate.images_per_second)
            if best.images_per_second > _WORTH * base.images_per_second:
                gain = best.images_per_second / base.images_per_second
                lines.append(
                    f"--set {best.setting} makes the {'network' if rates is self.network else 'loader'} {gain:.2f}× as fast"
                )
        if len(lines) <= 1 + (self.device == "cpu"):
            lines.append("no setting that was tried is faster by 5 %")
        return lines


def measure_speed(
    data: Path | DataSource,
    method: str,
    *,
    preset: str = "tiny",
    size: int | None = None,
    settings: tuple[str, ...] = (),
    cache_folder: Path | None = None,
    seconds: float | None = None,
    announce: Announce = lambda _: None,
) -> Speed:
    """Measure the last stage of a method on the training images of a data set, in under two minutes (`seconds` each).

    Raises what `train` raises before it starts.
    """
    seconds = _SECONDS if seconds is None else seconds
    options = {} if size is None else {"input": {"size": size}}
    recipe = resolve(method, preset, options, settings)
    manifest, census = open_data(data, seed=recipe.engine.seed)
    manifest = with_regions(manifest, recipe)
    recipe, spec = settle_input(plan_intensity(recipe, manifest, census, cache_folder).apply(recipe), census)
    samples = census.samples(manifest.split("train"), manifest.labels)
    recipe = settle_class_weights(recipe, manifest.classes, samples, announce)
    cache = open_cache(manifest, samples, spec, Store.at(cache_folder, announce=announce), axis=census.axis)
    if targets_of(recipe).soft:
        cache = with_shares(cache, manifest, spec, Store.at(cache_folder, announce=announce), axis=census.axis)
    stage = build_method(recipe, Output.of(manifest.classes), spec).stages()[-1]
    loader = []
    for workers in dict.fromkeys((recipe.data.workers, *_WORKERS)):
        announce(f"loader alone, {workers} threads")
        varied = recipe.model_copy(update={"data": recipe.data.model_copy(update={"workers": workers})})
        rate = _loader_rate(varied, stage, cache, spec, seconds)
        loader.append(Rate(f"data.workers={workers}", rate))
    batch = next(source_of(recipe, stage, cache, spec).batches(0, 1))
    network = []
    for changed in ({}, *_variants(recipe)):
        setting = " ".join(f"engine.{key}={str(value).lower()}" for key, value in changed.items())
        announce(f"network alone, {setting or 'as set'}")
        varied = recipe.model_copy(update={"engine": recipe.engine.model_copy(update=changed)})
        network.append(Rate(setting, _network_rate(varied, manifest, spec, stage, batch, seconds)))
    device = make_fabric(recipe).device.type
    return Speed(method, device, recipe.stage_settings(stage.name).batch_size, tuple(loader), tuple(network))


def _variants(recipe: Recipe) -> Iterator[dict[str, object]]:
    """Settings of the engine that may be faster, one at a time."""
    if recipe.engine.precision == "32":
        yield {"precision": "bf16"}
    yield {"channels_last": not recipe.engine.channels_last}


def _loader_rate(recipe: Recipe, stage: Stage, cache: Cache, spec: InputSpec, seconds: float) -> float:
    batches = source_of(recipe, stage, cache, spec).batches(0, 10**9)
    next(batches)
    images, start = 0, time.perf_counter()
    for batch in batches:
        images += len(batch["sample_id"])
        if time.perf_counter() - start > seconds:
            break
    spent = time.perf_counter() - start
    batches.close()
    return images / spent


def _network_rate(
    recipe: Recipe, manifest: Manifest, spec: InputSpec, stage: Stage, batch: Batch, seconds: float
) -> float:
    fabric = make_fabric(recipe)
    method = build_method(recipe, Output.of(manifest.classes), spec).train()
    strategy = build_strategy(recipe, method)
    strategy.begin(stage, strategy.options)
    strategy.update = strategy.updates(stage)[0]
    optimizer = make_optimizer(strategy, strategy.update, recipe.stage_settings(stage.name))
    terms, optimizer = fabric.setup(strategy, optimizer)
    batch = to_device(batch, fabric.device)

    def step() -> None:
        generator = torch.Generator(fabric.device).manual_seed(0)
        strategy.ctx = Context(stage.name, 0, 1, generator)
        fabric.backward(sum(terms(batch).values()))
        optimizer.step()
        optimizer.zero_grad()

    return len(batch["sample_id"]) / _seconds(step, fabric, seconds)


def _seconds(step: Callable[[], None], fabric: Fabric, seconds: float) -> float:
    """Mean time of a step after one that warms up; the device is waited for."""
    on_gpu = fabric.device.type == "cuda"

    def wait() -> None:
        if on_gpu:
            torch.cuda.synchronize()

    step()
    wait()
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        step()
        wait()
        count += 1
    return (time.perf_counter() - start) / count
