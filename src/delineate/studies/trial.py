"""A minutes budget becomes steps, once: a short measured trial of each stage of a method on the very data."""

from __future__ import annotations

import tempfile
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from delineate.common.config import merge
from delineate.engine.recipe import resolve
from delineate.engine.reporting import Silent
from delineate.engine.request import TrainRequest
from delineate.engine.run import train
from delineate.methods import registry
from delineate.studies.setup import Entrant

__all__ = ["frozen", "seconds_per_step"]

_WARMUP, _TIMED = 3, 8
"""Steps before the clock counts, and steps that it counts."""


class _Enough(Exception):  # noqa: N818 - it is an outcome, not a fault
    """The trial has seen its steps."""


class _Stopwatch(Silent):
    """Notes the time of each step and ends the run after enough of them."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def step(self, loss: float, images: int) -> None:
        self.times.append(time.perf_counter())
        if len(self.times) > _WARMUP + _TIMED:
            raise _Enough

    @property
    def seconds(self) -> float:
        """The median time between two steps; only fewer steps than wanted are all counted."""
        times = self.times[_WARMUP:] if len(self.times) > _WARMUP + 1 else self.times
        return median(after - before for before, after in pairwise(times))


def seconds_per_step(entrant: Entrant, manifest: Path, settings: tuple[str, ...], cache: Path | None) -> float:
    """Mean time of a training step over the stages, weighted by their shares. Raises what `train` raises."""
    recipe = resolve(entrant.method, entrant.preset, entrant.options, settings)
    stages = registry.build(entrant.method, options=recipe.method).stages()
    shares = {stage.name: recipe.share(stage) for stage in stages}
    total = sum(shares.values())
    return sum(
        share / total * _stage_seconds(entrant, manifest, settings, cache, name, list(shares))
        for name, share in shares.items()
        if share > 0
    )


def frozen(entrant: Entrant, seconds: float, minutes: float) -> Entrant:
    """The entrant with as many steps as fit into the minutes, at least one."""
    steps = max(1, round(minutes * 60 / seconds))
    return entrant.model_copy(update={"steps": steps, "seconds_per_step": round(seconds, 6)})


def _stage_seconds(
    entrant: Entrant, manifest: Path, settings: tuple[str, ...], cache: Path | None, stage: str, stages: list[str]
) -> float:
    alone: dict[str, Any] = {
        "engine": {"steps": _WARMUP + _TIMED + 2},
        "stages": {name: {"share": float(name == stage)} for name in stages},
    }
    watch = _Stopwatch()
    with tempfile.TemporaryDirectory(prefix="delineate-trial-") as folder:
        request = TrainRequest(
            data=manifest,
            method=entrant.method,
            out=Path(folder) / "run",
            preset=entrant.preset,
            settings=(*settings, "engine.validate_every=1000000"),
            options=merge(entrant.options, alone),
            cache_folder=cache,
        )
        with suppress(_Enough):
            train(request, watch)
    return watch.seconds
