"""The metrics that were asked for, sorted by what they need: masks, probabilities or instance maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from delineate.evaluation.metrics import registry
from delineate.evaluation.metrics.registry import Entry, InstanceMetric, Metric, ProbabilityMetric

T = TypeVar("T", bound=Entry)


@dataclass(frozen=True)
class Choice:
    """Metrics by what they are computed from."""

    masks: tuple[Metric, ...]
    probabilities: tuple[ProbabilityMetric, ...] = ()
    instances: tuple[InstanceMetric, ...] = ()

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All of them, in the order of the tables."""
        return (*self.masks, *self.probabilities, *self.instances)


def choose(names: Sequence[str]) -> Choice:
    """Metrics by name or family; without any of masks, those that masks are scored by in any case (Dice and IoU).

    `all` means all metrics of masks: others need files that may not be there, and are asked for by name. Raises `DataError`
    for a name that is not known.
    """
    probabilities, instances, rest = [], [], []
    for name in names:
        special: list[ProbabilityMetric | InstanceMetric] = [
            metric
            for metric in (*registry.PROBABILITY_METRICS.values(), *registry.INSTANCE_METRICS.values())
            if name in (metric.name, metric.family)
        ]
        probabilities += [metric for metric in special if isinstance(metric, ProbabilityMetric)]
        instances += [metric for metric in special if isinstance(metric, InstanceMetric)]
        if not special:
            rest.append(name)
    return Choice(registry.resolve(rest or ("dice", "iou")), _once(probabilities), _once(instances))


def _once(metrics: Sequence[T]) -> tuple[T, ...]:
    return tuple({metric.name: metric for metric in metrics}.values())
