"""Which metrics there are, as a table of declared facts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

from delineate.evaluation.metrics import registry
from delineate.evaluation.metrics.metric import Metric, MetricInfo
from delineate.evaluation.metrics.plugin_metrics import PLUGIN_METRICS

__all__ = ["MetricRow", "Of", "list_metrics"]

Of = Literal["masks", "probabilities", "instance maps"]


@dataclass(frozen=True)
class MetricRow:
    """One metric."""

    name: str
    title: str
    family: str
    of: Of
    """What it is computed from."""
    kind: str
    better: str
    unit: str
    parameter: str | None
    """The number that its name may carry: what it is and its default."""
    package: str | None
    """Where another package's metric is, as "module:attribute"; None: this package's own."""

    def to_json(self) -> dict[str, str | None]:
        """Plain values."""
        return asdict(self)


def list_metrics(left_out: Callable[[str], object] = lambda _: None) -> list[MetricRow]:
    """All metrics: of masks in the order of the tables, then other packages', then those of probabilities and instance maps.

    One of another package that cannot be used is left out, and `left_out` is told why.
    """
    return [
        *(_row(metric, "masks") for metric in registry.all_metrics(left_out).values()),
        *(_row(metric, "probabilities") for metric in registry.PROBABILITY_METRICS.values()),
        *(_row(metric, "instance maps") for metric in registry.INSTANCE_METRICS.values()),
    ]


def _row(metric: MetricInfo, of: Of) -> MetricRow:
    parameter = metric.parameter if isinstance(metric, Metric) else None
    return MetricRow(
        name=metric.name,
        title=metric.title,
        family=metric.family,
        of=of,
        kind=metric.kind,
        better=metric.better,
        unit=metric.unit,
        parameter=None if parameter is None else f"{parameter.keyword}={parameter.default:g}",
        package=PLUGIN_METRICS.place(metric.name) if metric.name in PLUGIN_METRICS else None,
    )
