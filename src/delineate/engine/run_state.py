"""A run while it trains: its strategy with the method, settings, place on disk and progress."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from lightning.fabric import Fabric
from torch import Tensor

from delineate.data.core.input_spec import InputSpec
from delineate.engine.checkpoint import Checkpoints, Progress
from delineate.engine.recipe import Recipe
from delineate.engine.reporting import Reporter
from delineate.engine.run_folder import RunFolder
from delineate.methods.contract import Method
from delineate.strategies.contract import Strategy

__all__ = ["Run"]


@dataclass
class Run:
    """What all stages of a run share, and what its end is written from."""

    fabric: Fabric
    recipe: Recipe
    strategy: Strategy
    spec: InputSpec
    folder: RunFolder
    states: Checkpoints
    reporter: Reporter
    progress: Progress = field(default_factory=Progress)
    stop_requested: Callable[[], str | None] = lambda: None
    """The reason to stop at the next opportunity, or None."""
    companion: dict[str, Tensor] = field(default_factory=dict)
    """Weights of the network that is saved beside the model (`Strategy.companion`), of the step of the model's; empty: none."""
    started: float = field(default_factory=time.perf_counter)

    @property
    def method(self) -> Method:
        """What is trained, and comes into the artefact."""
        return self.strategy.method

    @property
    def seconds(self) -> float:
        """Training time including that before a resume."""
        return self.progress.seconds + time.perf_counter() - self.started
