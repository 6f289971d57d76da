"""Every metric by name: what it is called, what a table must know of it, how to choose some.

`--metrics` takes names (`dice`), families (`boundary`), names with a parameter (`nsd@2`, or as the column is called: `nsd_2`) and
`all`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from delineate.common.errors import DataError
from delineate.common.names import did_you_mean
from delineate.evaluation.metrics import amount, boundary, calibration, instances, lesions, overlap, skeleton, surface
from delineate.evaluation.metrics.calibration import Probabilities
from delineate.evaluation.metrics.instances import Instances
from delineate.evaluation.metrics.masks import Masks

Kind = Literal["overlap", "distance", "amount", "relative"]
"""Decides the columns of a table, by the empty-mask policy."""

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
class Entry:
    """What a table must know of a metric."""

    name: str
    """Name of the column in scores.csv."""
    title: str
    kind: Kind
    better: Literal["higher", "lower", "zero"]
    unit: Literal["", "length", "size"]
    """length: mm, or pixels where spacing is unknown; size: mm² or mm³, or pixels."""
    family: str

    def titled(self, length: str) -> str:
        """The title with the unit of lengths where a number in it is a length: "NSD at 2 mm"."""
        return self.title.replace(LENGTH, length)


@dataclass(frozen=True)
class Metric(Entry):
    """A metric of the two masks of one class."""

    value: Callable[[Masks], float]
    """NaN: not scored. Of the kind overlap, the value of the column `all`; of the kind distance, that of `found`."""


@dataclass(frozen=True)
class InstanceMetric(Entry):
    """A metric of two instance maps."""

    value: Callable[[Instances], float]


@dataclass(frozen=True)
class ProbabilityMetric(Entry):
    """A metric of probabilities and a reference; NaN without a valid pixel."""

    value: Callable[[Probabilities], float]


@dataclass(frozen=True)
class Parameter:
    """A number that a name may carry after `@`."""

    keyword: str
    default: float
    lowest: float = 0.0
    highest: float = math.inf
    always: bool = False
    """The column's name has the number also where it is the default."""
    is_length: bool = False


_OVERLAP = partial(Metric, kind="overlap", better="higher", unit="")
_DISTANCE = partial(Metric, kind="distance", better="lower", unit="length", family="boundary")
_SIZE = partial(Metric, kind="amount", unit="size", family="size")
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        _OVERLAP("dice", "Dice", family="overlap", value=overlap.dice),
        _OVERLAP("iou", "IoU", family="overlap", value=overlap.iou),
        _OVERLAP("precision", "Precision", family="overlap", value=overlap.precision),
        _OVERLAP("recall", "Recall", family="overlap", value=overlap.recall),
        Metric("specificity", "Specificity", "amount", "higher", "", "overlap", overlap.specificity),
        _SIZE("volume_difference", "Size difference", better="zero", value=amount.volume_difference),
        _SIZE(
            "absolute_volume_difference",
            "Size difference (absolute)",
            better="lower",
            value=amount.absolute_volume_difference,
        ),
        _SIZE(
            "relative_volume_difference",
            "Size difference (relative)",
            kind="relative",
            better="zero",
            unit="",
            value=amount.relative_volume_difference,
        ),
        _DISTANCE("hd", "HD", value=surface.hausdorff),
        _DISTANCE("hd95_max", "HD95 (max of directed)", value=surface.hd95_max),
        _DISTANCE("hd95_pooled", "HD95 (pooled)", value=surface.hd95_pooled),
        _DISTANCE("hd95_weighted", "HD95 (surface-weighted)", value=surface.hd95_weighted),
        _DISTANCE("assd", "ASSD (pooled)", value=surface.assd),
        _DISTANCE("assd_weighted", "ASSD (surface-weighted)", value=surface.assd_weighted),
        _DISTANCE("masd", "MASD (mean of directed)", value=surface.masd),
        _OVERLAP("nsd", "NSD", family="boundary", value=surface.nsd),
        _OVERLAP("nsd_weighted", "NSD (surface-weighted)", family="boundary", value=surface.nsd_weighted),
        _OVERLAP("boundary_iou", "Boundary IoU", family="boundary", value=boundary.boundary_iou),
        _OVERLAP("cldice", "clDice", family="topology", value=skeleton.cldice),
        _OVERLAP("lesion_precision", "Lesion precision", family="lesion", value=lesions.lesion_precision),
        _OVERLAP("lesion_recall", "Lesion recall", family="lesion", value=lesions.lesion_recall),
        _OVERLAP("lesion_f1", "Lesion F1", family="lesion", value=lesions.lesion_f1),
    )
}
"""Name without parameter → metric, in the order of the tables."""
PARAMETERS: dict[str, Parameter] = {
    "nsd": Parameter("tolerance", surface.TOLERANCE, always=True, is_length=True),
    "nsd_weighted": Parameter("tolerance", surface.TOLERANCE, always=True, is_length=True),
    "boundary_iou": Parameter("ratio", boundary.RATIO, highest=1),
    "lesion_precision": Parameter("share", 0.0, highest=1),
    "lesion_recall": Parameter("share", 0.0, highest=1),
    "lesion_f1": Parameter("share", 0.0, highest=1),
}
"""The names that take a parameter."""
FAMILIES: tuple[str, ...] = tuple(dict.fromkeys(metric.family for metric in METRICS.values()))
DEFAULT: tuple[str, ...] = ("dice", "iou", "precision", "recall", "hd95_pooled", "assd", "nsd@2", "boundary_iou")
INSTANCE_METRICS: dict[str, InstanceMetric] = {
    name: InstanceMetric(name, title, "overlap", "higher", "", "instances", value)
    for name, title, value in (
        ("pq", "PQ", instances.panoptic_quality),
        ("sq", "SQ", instances.segmentation_quality),
        ("rq", "RQ", instances.recognition_quality),
        ("aji", "AJI", instances.aggregated_jaccard),
    )
}
"""For cases with instance maps."""
PROBABILITY_METRICS: dict[str, ProbabilityMetric] = {
    name: ProbabilityMetric(name, title, "amount", "lower", "", "calibration", value)
    for name, title, value in (
        ("ece", "ECE", calibration.expected_calibration_error),
        ("brier", "Brier score", calibration.brier),
    )
}
"""For cases with probabilities."""


def resolve(names: Sequence[str]) -> tuple[Metric, ...]:
    """The metrics of these names and families, each once, in the order asked for.

    A name may ask for millimetres (`hd95_pooled@mm`, `nsd@2mm`), see `in_millimetres`. Raises `DataError` for a name that is not
    known, a parameter that is not a number of its range, and millimetres of what has no length.
    """
    chosen = (metric for name in names for metric in _resolve(name))
    return tuple({metric.name: metric for metric in chosen}.values())


def in_millimetres(name: str) -> tuple[str, bool]:
    """A name without `@mm` or the `mm` after its number, and whether it had one: then lengths in pixels will not do."""
    base, mark, given = name.partition("@")
    if not mark or not given.endswith("mm"):
        return name, False
    number = given.removesuffix("mm").strip()
    return f"{base}@{number}" if number else base, True


def _resolve(asked: str) -> list[Metric]:
    name, millimetres = in_millimetres(asked)
    metrics = _named(name)
    if millimetres and not any(metric.unit or LENGTH in metric.title for metric in metrics):
        raise DataError(f"'{asked}': {name} has no length; leave mm out")
    return metrics


def _named(name: str) -> list[Metric]:
    if name == "all" or name in FAMILIES:
        return [_parametrised(key, None) for key, metric in METRICS.items() if name in ("all", metric.family)]
    base, given = _split(name)
    if base not in METRICS:
        raise DataError(f"no metric or family '{name}'; {did_you_mean(base, {*METRICS, *FAMILIES, 'all'})}")
    if given is not None and base not in PARAMETERS:
        raise DataError(f"'{name}': {base} takes no parameter; only {', '.join(PARAMETERS)} do")
    return [_parametrised(base, given)]


def _split(name: str) -> tuple[str, str | None]:
    """Name and the text of its parameter, of `nsd@2` and of `nsd_2`."""
    base, mark, given = name.partition("@")
    if mark:
        return base, given
    base, _, given = name.rpartition("_")
    return (base, given) if base in PARAMETERS and name not in METRICS else (name, None)


def _parametrised(base: str, given: str | None) -> Metric:
    metric, parameter = METRICS[base], PARAMETERS.get(base)
    if parameter is None:
        return metric
    number = parameter.default if given is None else _number(base, given, parameter)
    value = partial(metric.value, **{parameter.keyword: number})
    if number == parameter.default and not parameter.always:
        return replace(metric, value=value)
    title = f"{metric.title} at {number:g}{f' {LENGTH}' if parameter.is_length else ''}"
    return replace(metric, name=f"{base}_{number:g}", title=title, value=value)


def _number(base: str, given: str, parameter: Parameter) -> float:
    try:
        number = float(given)
    except ValueError:
        number = math.nan
    if not (parameter.lowest <= number <= parameter.highest and math.isfinite(number)):
        upper = f" to {parameter.highest:g}" if math.isfinite(parameter.highest) else " on"
        raise DataError(
            f"'{base}@{given}': the {parameter.keyword} must be a number from {parameter.lowest:g}{upper}, as in "
            f"'{base}@{parameter.default:g}'"
        )
    return number
