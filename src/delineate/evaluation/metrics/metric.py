"""What a metric declares of itself: a function of two masks with all that a table must know of its numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from delineate.evaluation.metrics.calibration import Probabilities
from delineate.evaluation.metrics.instances import Instances

__all__ = [
    "LENGTH",
    "POLICY",
    "Better",
    "InstanceMetric",
    "Kind",
    "Metric",
    "MetricInfo",
    "Parameter",
    "ProbabilityMetric",
    "Unit",
]

Kind = Literal["overlap", "distance", "amount", "relative"]
"""Decides the columns of a table, by the empty-mask policy."""
Better = Literal["higher", "lower", "zero"]
Unit = Literal["", "length", "size"]
"""length: mm, or pixels where spacing is unknown; size: mm² or mm³, or pixels."""

LENGTH = "{length}"
"""Stands in a title for the unit of lengths."""

POLICY: dict[Kind, dict[str, str]] = {
    "overlap": {
        "all": "every case; reference and prediction both empty = 1, a miss or a false positive = 0",
        "present": "cases whose reference has the class; a miss = 0",
    },
    "distance": {
        "found": "cases where reference and prediction both have the class, overlapping or not; others are left out",
        "penalised": "as found, and a miss or a false positive = the image's diagonal; both empty are left out",
    },
    "amount": {"all": "every case; an empty mask has size 0"},
    "relative": {"present": "cases whose reference has the class; a miss = −1"},
}
"""Kind → column → which cases count, and as what."""


@dataclass(frozen=True)
class MetricInfo:
    """What a table must know of a metric.

    Example:
        >>> from delineate.evaluation.metrics.metric import MetricInfo
        >>> info = MetricInfo("nsd", "NSD at 2 {length}", kind="overlap", better="higher", unit="", family="boundary")
        >>> info.titled("mm")
        'NSD at 2 mm'
    """

    name: str
    """Name of the column in scores.csv."""
    title: str
    kind: Kind
    better: Better
    unit: Unit
    family: str
    """What `--metrics` takes to ask for all of them."""

    def titled(self, length: str) -> str:
        """The title for a table, with the unit where a number in it is a length.

        Args:
            length: Unit of lengths: mm, px or voxel.

        Returns:
            The title, such as "NSD at 2 mm".
        """
        return self.title.replace(LENGTH, length)


@dataclass(frozen=True)
class Parameter:
    """A number that a metric's name may carry after `@`, as in `nsd@2`.

    Example:
        >>> from delineate.evaluation.metrics.metric import Parameter
        >>> Parameter("tolerance", default=2.0, always=True, is_length=True).keyword
        'tolerance'
    """

    keyword: str
    """Of the metric's function."""
    default: float
    lowest: float = 0.0
    highest: float = math.inf
    always: bool = False
    """The column's name has the number also where it is the default."""
    is_length: bool = False


@dataclass(frozen=True)
class Metric(MetricInfo):
    """A metric of the two masks of one class.

    Example:
        >>> from delineate.evaluation.metrics.masks import Masks
        >>> from delineate.evaluation.metrics.metric import Metric
        >>> from delineate.evaluation.metrics.overlap import dice
        >>> metric = Metric("dice", "Dice", kind="overlap", better="higher", unit="", family="overlap", value=dice)
        >>> mask = np.eye(4, dtype=bool)
        >>> metric.value(Masks.of(mask, mask))
        1.0
    """

    value: Callable[..., float]
    """Takes `Masks` (and the parameter, by its keyword) and returns a number; NaN: not scored. A metric of the kind overlap returns
    the value of the column `all`, one of the kind distance that of the column `found`."""
    parameter: Parameter | None = None


@dataclass(frozen=True)
class InstanceMetric(MetricInfo):
    """A metric of two instance maps, in which each object has its own number.

    Example:
        >>> from delineate.evaluation.metrics.instances import Instances, panoptic_quality
        >>> from delineate.evaluation.metrics.metric import InstanceMetric
        >>> metric = InstanceMetric("pq", "PQ", "overlap", "higher", "", "instances", value=panoptic_quality)
        >>> objects = np.array([[1, 1, 0, 2]])
        >>> metric.value(Instances.of(objects, objects))
        1.0
    """

    value: Callable[[Instances], float]


@dataclass(frozen=True)
class ProbabilityMetric(MetricInfo):
    """A metric of probabilities and a reference. Its value is NaN where there is no valid pixel.

    Example:
        >>> from delineate.evaluation.metrics.calibration import Probabilities, brier
        >>> from delineate.evaluation.metrics.metric import ProbabilityMetric
        >>> metric = ProbabilityMetric("brier", "Brier score", "amount", "lower", "", "calibration", value=brier)
        >>> foreground, reference = np.array([[0.5, 1.0]]), np.array([[1, 1]])
        >>> metric.value(Probabilities.of(foreground, reference))
        0.125
    """

    value: Callable[[Probabilities], float]
