"""Every metric by name: what it is called, what a table must know of it, how to choose some.

`--metrics` takes names (`dice`), families (`boundary`), names with a parameter (`nsd@2`, or as the column is called: `nsd_2`) and
`all`. Other packages add theirs by the entry point `delineate.metrics`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from delineate.common.errors import DataError, DelineateError
from delineate.common.names import did_you_mean
from delineate.evaluation.metrics import amount, boundary, calibration, instances, lesions, overlap, skeleton, surface
from delineate.evaluation.metrics.metric import LENGTH, InstanceMetric, Metric, Parameter, ProbabilityMetric
from delineate.evaluation.metrics.plugin_metrics import PLUGIN_METRICS, load_plugin_metric

__all__ = [
    "DEFAULT",
    "FAMILIES",
    "INSTANCE_METRICS",
    "METRICS",
    "PROBABILITY_METRICS",
    "RESERVED_COLUMNS",
    "all_metrics",
    "in_millimeters",
    "resolve",
]

RESERVED_COLUMNS = ("case", "group", "class", "outcome", "present", "found", "tp", "fp", "fn", "tn", "diagonal")
"""Columns of scores.csv that are no metrics: in its order, those before `tp` stand before the metrics."""

_OVERLAP = partial(Metric, kind="overlap", better="higher", unit="")
_DISTANCE = partial(Metric, kind="distance", better="lower", unit="length", family="boundary")
_SIZE = partial(Metric, kind="amount", unit="size", family="size")
_LESION = partial(_OVERLAP, family="lesion", parameter=Parameter("share", 0.0, highest=1))
_TOLERANCE = Parameter("tolerance", surface.TOLERANCE, always=True, is_length=True)
_RATIO = Parameter("ratio", boundary.RATIO, highest=1)
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
        _OVERLAP("nsd", "NSD", family="boundary", value=surface.nsd, parameter=_TOLERANCE),
        _OVERLAP(
            "nsd_weighted",
            "NSD (surface-weighted)",
            family="boundary",
            value=surface.nsd_weighted,
            parameter=_TOLERANCE,
        ),
        _OVERLAP("boundary_iou", "Boundary IoU", family="boundary", value=boundary.boundary_iou, parameter=_RATIO),
        _OVERLAP("cldice", "clDice", family="topology", value=skeleton.cldice),
        _LESION("lesion_precision", "Lesion precision", value=lesions.lesion_precision),
        _LESION("lesion_recall", "Lesion recall", value=lesions.lesion_recall),
        _LESION("lesion_f1", "Lesion F1", value=lesions.lesion_f1),
    )
}
"""This package's own: name without parameter → metric, in the order of the tables."""
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


FAMILIES = tuple(dict.fromkeys(metric.family for metric in METRICS.values()))
_FAMILIES_OF_FILES = tuple(one.family for one in (*INSTANCE_METRICS.values(), *PROBABILITY_METRICS.values()))


def all_metrics(left_out: Callable[[str], object] = lambda _: None) -> dict[str, Metric]:
    """All metrics of masks by name without parameter: this package's own in the order of the tables, then those of others by name.

    One of another package that cannot be used is left out, and `left_out` is told why.
    """
    return {**METRICS, **{metric.name: metric for metric in PLUGIN_METRICS.usable(_plugin_metric, left_out)}}


def resolve(names: Sequence[str]) -> tuple[Metric, ...]:
    """The metrics of these names and families, each once, in the order asked for.

    A name may ask for millimeters (`hd95_pooled@mm`, `nsd@2mm`), see `in_millimeters`. Raises `DataError` for a name that is not
    known, a parameter that is not a number of its range, and millimeters of what has no length; `DelineateError` for another
    package's metric that cannot be used.
    """
    chosen = (metric for name in names for metric in _resolve(name))
    return tuple({metric.name: metric for metric in chosen}.values())


def in_millimeters(name: str) -> tuple[str, bool]:
    """A name without `@mm` or the `mm` after its number, and whether it had one: then lengths in pixels will not do."""
    base, mark, given = name.partition("@")
    if not mark or not given.endswith("mm"):
        return name, False
    number = given.removesuffix("mm").strip()
    return f"{base}@{number}" if number else base, True


def _resolve(asked: str) -> list[Metric]:
    name, millimeters = in_millimeters(asked)
    metrics = _named(name)
    if millimeters and not any(metric.unit or LENGTH in metric.title for metric in metrics):
        raise DataError(f"'{asked}': {name} has no length; leave mm out")
    return metrics


def _named(name: str) -> list[Metric]:
    base, given = _split(name)
    metric = _known(base)
    if metric is None:
        return _family(name, base)
    if given is not None and metric.parameter is None:
        able = ", ".join(key for key, one in all_metrics().items() if one.parameter is not None)
        raise DataError(f"'{name}': {base} takes no parameter; only {able} do")
    return [_parametrized(metric, given)]


def _family(name: str, base: str) -> list[Metric]:
    members = [metric for metric in all_metrics().values() if name in ("all", metric.family)]
    if not members:
        known = {"all", *all_metrics(), *(metric.family for metric in all_metrics().values())}
        raise DataError(f"no metric or family '{name}'; {did_you_mean(base, known)}")
    return [_parametrized(metric, None) for metric in members]


def _known(name: str) -> Metric | None:
    """This package's own comes first. Raises `DelineateError` where another package's was asked for and cannot be used."""
    if _is_taken(name) or name not in PLUGIN_METRICS:
        return METRICS.get(name)
    return _plugin_metric(name)


def _is_taken(name: str) -> bool:
    """Whether no other package's metric can have this name: it means something here, `nsd_3` too."""
    base, _, number = name.rpartition("_")
    with_parameter = base in METRICS and METRICS[base].parameter is not None and number.isdigit()
    ours = ("all", *METRICS, *INSTANCE_METRICS, *PROBABILITY_METRICS, *FAMILIES, *_FAMILIES_OF_FILES, *RESERVED_COLUMNS)
    return with_parameter or name in ours


def _plugin_metric(name: str) -> Metric:
    if _is_taken(name):
        raise DelineateError(
            f"another package's metric '{name}' ({PLUGIN_METRICS.place(name)}) has a name that this package uses; rename it"
        )
    metric = load_plugin_metric(name)
    if metric.family in {"all", *METRICS, *_FAMILIES_OF_FILES}:
        raise DelineateError(
            f"metric '{name}' ({PLUGIN_METRICS.place(name)}) has the family '{metric.family}', which is taken"
        )
    return metric


def _split(name: str) -> tuple[str, str | None]:
    """Name and the text of its parameter, of `nsd@2` and of `nsd_2`."""
    base, mark, given = name.partition("@")
    if mark:
        return base, given
    base, _, given = name.rpartition("_")
    metric = None if _known(name) else _known(base)
    return (base, given) if metric is not None and metric.parameter is not None else (name, None)


def _parametrized(metric: Metric, given: str | None) -> Metric:
    parameter = metric.parameter
    if parameter is None:
        return metric
    number = parameter.default if given is None else _number(metric.name, given, parameter)
    value = partial(metric.value, **{parameter.keyword: number})
    if number == parameter.default and not parameter.always:
        return replace(metric, value=value)
    title = f"{metric.title} at {number:g}{f' {LENGTH}' if parameter.is_length else ''}"
    return replace(metric, name=f"{metric.name}_{number:g}", title=title, value=value)


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
