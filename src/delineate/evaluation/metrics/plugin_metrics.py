"""Metrics of other packages, by the entry point `delineate.metrics`: found, checked, and held to what their kind promises.

Their functions are asked only where both masks have pixels (kinds overlap and distance) or the reference has some (relative):
what an empty mask is worth is decided by the kind, as for all metrics, and not by the function.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from functools import cache, partial
from typing import get_args

from delineate.common.errors import DelineateError
from delineate.common.plugins import Plugins
from delineate.evaluation.metrics.masks import Masks
from delineate.evaluation.metrics.metric import POLICY, Better, Metric, Unit

__all__ = ["PLUGIN_METRICS", "forget_other_packages", "load_plugin_metric"]

PLUGIN_METRICS = Plugins("metric", "delineate.metrics", {})
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@cache
def load_plugin_metric(name: str) -> Metric:
    """The metric that another package registers under `name`.

    Raises `DelineateError` naming the package's object where it cannot be imported or is not what a metric must be.
    """
    loaded, place = PLUGIN_METRICS.load(name), PLUGIN_METRICS.place(name)
    if not isinstance(loaded, Metric):
        raise DelineateError(f"metric '{name}' ({place}) is not a delineate.evaluation.metrics.metric.Metric")
    if fault := _fault(name, loaded):
        raise DelineateError(f"metric '{name}' ({place}) {fault}")
    return replace(loaded, value=partial(_by_kind, loaded, place))


def forget_other_packages() -> None:
    """Look for entry points anew at the next question: a package was installed or removed while the program runs."""
    PLUGIN_METRICS.forget_others()
    load_plugin_metric.cache_clear()


def _fault(name: str, metric: Metric) -> str:
    """What is wrong with a declaration, for `metric 'x' (place) …`; '' where nothing is."""
    if metric.name != name:
        return f"calls itself '{metric.name}'; its entry point must have the same name"
    if not _NAME.fullmatch(name):
        return "has a name that cannot be asked for; use small letters, digits and _, a letter first"
    allowed = {"kind": tuple(POLICY), "better": get_args(Better), "unit": get_args(Unit)}
    wrong = next((key for key, values in allowed.items() if getattr(metric, key) not in values), None)
    if wrong is not None:
        return f"has {wrong}={getattr(metric, wrong)!r}; it must be one of {', '.join(map(repr, allowed[wrong]))}"
    if metric.kind == "overlap" and metric.better != "higher":
        return "is of the kind overlap, of which higher is better: 1 where the masks agree"
    if metric.kind == "distance" and (metric.better, metric.unit) != ("lower", "length"):
        return "is of the kind distance, of which lower is better and the unit is length: a miss costs the image's diagonal"
    return ""


def _by_kind(metric: Metric, place: str, masks: Masks, **parameter: float) -> float:
    """The value of a metric where its kind leaves it to the function, else what the kind says of empty masks."""
    if metric.kind == "overlap" and not masks.both:
        return float(masks.outcome == "both_empty")
    if metric.kind == "distance" and not masks.both:
        return math.nan
    if metric.kind == "relative" and not masks.tp + masks.fn:
        return math.nan
    try:
        value = float(metric.value(masks, **parameter))
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise DelineateError(f"metric '{metric.name}' ({place}) cannot score these masks: {reason}") from error
    lowest, highest = {"overlap": (0.0, 1.0), "distance": (0.0, math.inf)}.get(metric.kind, (-math.inf, math.inf))
    if math.isinf(value) or not (math.isnan(value) or lowest <= value <= highest):
        limits = "from 0 to 1" if metric.kind == "overlap" else "from 0 on" if metric.kind == "distance" else "finite"
        raise DelineateError(
            f"metric '{metric.name}' ({place}) gives {value:g}; of its kind, {metric.kind}, values are {limits}"
        )
    return value
