"""Learning-rate schedules. A new one is a row. Each is a function of the step, so that resuming needs no history; only `plateau`
remembers something, and that is saved."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

__all__ = ["SCHEDULES", "Factor", "Plateau", "Schedule", "ScheduleSettings", "learning_rate_factor"]


class ScheduleSettings(Protocol):
    """What of a stage's settings the schedules read; the recipe describes each."""

    @property
    def schedule(self) -> str: ...
    @property
    def warmup(self) -> float: ...
    @property
    def poly_power(self) -> float: ...
    @property
    def step_every(self) -> int: ...
    @property
    def step_factor(self) -> float: ...
    @property
    def plateau_patience(self) -> int: ...
    @property
    def plateau_factor(self) -> float: ...


@dataclass
class Plateau:
    """Memory of the plateau schedule: the lowest validation loss and how long ago it was."""

    best: float = math.inf
    waited: int = 0
    factor: float = 1.0

    def observe(self, loss: float, settings: ScheduleSettings) -> None:
        """Take note of a validation loss; after `plateau_patience` without a lower one the rate falls."""
        if loss < self.best:
            self.best, self.waited = loss, 0
            return
        self.waited += 1
        if self.waited > settings.plateau_patience:
            self.factor, self.waited = self.factor * settings.plateau_factor, 0

    def as_dict(self) -> dict[str, Any]:
        """JSON form; infinity becomes None."""
        return asdict(self) | {"best": None if math.isinf(self.best) else self.best}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Plateau:
        """Inverse of `as_dict`."""
        return cls(**(content | {"best": math.inf if content["best"] is None else content["best"]}))


Factor = Callable[[int, int, ScheduleSettings, Plateau], float]
"""(step, total, settings, plateau's memory) → factor on the base learning rate."""


def _constant(step: int, total: int, settings: ScheduleSettings, plateau: Plateau) -> float:
    return 1.0


def _cosine(step: int, total: int, settings: ScheduleSettings, plateau: Plateau) -> float:
    return 0.5 * (1 + math.cos(math.pi * (step / max(1, total))))


def _poly(step: int, total: int, settings: ScheduleSettings, plateau: Plateau) -> float:
    return float((1 - step / max(1, total)) ** settings.poly_power)


def _step(step: int, total: int, settings: ScheduleSettings, plateau: Plateau) -> float:
    return float(settings.step_factor ** (step // settings.step_every))


def _plateau(step: int, total: int, settings: ScheduleSettings, plateau: Plateau) -> float:
    return plateau.factor


def _one_cycle(step: int, total: int, settings: ScheduleSettings, plateau: Plateau) -> float:
    """Cosine from 1/25 up to 1, then down to 1/250000 (Smith & Topin 2018, with the constants that are customary)."""
    low, end = 1 / 25, 1 / 25e4
    peak = max(1.0, (settings.warmup or 0.3) * total - 1)
    if step <= peak:
        return low + (1 - low) * 0.5 * (1 - math.cos(math.pi * step / peak))
    done = min(1.0, (step - peak) / max(1.0, total - 1 - peak))
    return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * done))


@dataclass(frozen=True)
class Schedule:
    """A row."""

    factor: Factor
    """With step and total counted from the end of the warm-up, if there is one."""
    warms_up: bool = True
    """Whether the rate rises linearly in the share `warmup` of the steps before; false: its own curve has the rise."""


SCHEDULES = {
    "constant": Schedule(_constant),
    "cosine": Schedule(_cosine),
    "poly": Schedule(_poly),
    "step": Schedule(_step),
    "plateau": Schedule(_plateau),
    "one-cycle": Schedule(_one_cycle, warms_up=False),
}


def learning_rate_factor(step: int, total: int, settings: ScheduleSettings, plateau: Plateau) -> float:
    """Factor on the base learning rate at `step` of `total`."""
    schedule = SCHEDULES[settings.schedule]
    warm = round(settings.warmup * total) if schedule.warms_up else 0
    if step < warm:
        return (step + 1) / (warm + 1)
    return schedule.factor(step - warm, total - warm, settings, plateau)
