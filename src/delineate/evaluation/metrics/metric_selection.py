"""The metrics that were asked for, sorted by what they need: masks, probabilities or instance maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from delineate.common.errors import DataError
from delineate.data.core.findings import count, some
from delineate.evaluation.metrics import registry
from delineate.evaluation.metrics.metric import InstanceMetric, Metric, MetricInfo, ProbabilityMetric

__all__ = ["MetricSelection", "check_millimeters", "select_metrics"]

_T = TypeVar("_T", bound=MetricInfo)


@dataclass(frozen=True)
class MetricSelection:
    """Metrics by what they are computed from."""

    masks: tuple[Metric, ...]
    probabilities: tuple[ProbabilityMetric, ...] = ()
    instances: tuple[InstanceMetric, ...] = ()

    @property
    def entries(self) -> tuple[MetricInfo, ...]:
        """All of them, in the order of the tables."""
        return (*self.masks, *self.probabilities, *self.instances)


def select_metrics(names: Sequence[str]) -> MetricSelection:
    """Metrics by name or family; without any of masks, those that masks are scored by in any case (Dice and IoU).

    `all` means all metrics of masks: others need files that may not be there, and are asked for by name. Raises `DataError`
    for a name that is not known.
    """
    probabilities = [one for name in names for one in registry.PROBABILITY_METRICS.values() if _asked(one, name)]
    instances = [one for name in names for one in registry.INSTANCE_METRICS.values() if _asked(one, name)]
    rest = [name for name in names if not any(_asked(one, name) for one in (*probabilities, *instances))]
    return MetricSelection(registry.resolve(rest or ("dice", "iou")), _once(probabilities), _once(instances))


def check_millimeters(names: Sequence[str], bare: Sequence[str]) -> None:
    """Raise `DataError` where one of these metrics asks for millimeters (`hd95_pooled@mm`) and there are `bare` cases: those whose
    spacing is neither given nor told by their files."""
    asked = next((name for name in names if registry.in_millimeters(name)[1]), None)
    if asked is not None and bare:
        raise DataError(
            f"'{asked}' asks for millimeters, but the spacing of {count(len(bare), 'case')} is not known ({some(bare, 2)}); "
            "give it with --spacing, or leave mm out"
        )


def _asked(metric: MetricInfo, name: str) -> bool:
    return name in (metric.name, metric.family)


def _once(metrics: Sequence[_T]) -> tuple[_T, ...]:
    return tuple({metric.name: metric for metric in metrics}.values())
