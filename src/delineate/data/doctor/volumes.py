"""What the volumes of a data set are like, and which of them stand out: size, spacing, orientation and values."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from delineate.data.cases.census import Census
from delineate.data.cases.facts import AS_STORED, Values, VolumeFacts
from delineate.data.core.axes import AXES, STORED_AXES
from delineate.data.core.findings import Finding, count, some
from delineate.data.core.geometry import Triple, sizes
from delineate.data.doctor.overview import Row, counted

__all__ = ["HEAD", "odd_volumes", "volume_rows", "volume_table"]

_FEW = 3
"""In fewer volumes than these, none stands out."""
_SHARE = 1 / 3
"""More of a set than this are no exceptions: the set varies."""
_SPACING, _EXTENT, _CONTRAST = 2.0, 2.5, 10.0
"""So many times the median, or less than one part of so many, stands out."""
_FLAT = 1.5
"""From this ratio of the widest to the narrowest spacing on, it matters across which axis slices are cut."""
_AIR, _NO_AIR = -500.0, -10.0
"""Computed tomography has values below the first in air; a file of such a set whose lowest is above the second was shifted."""
_WAYS = 4
"""Orders of axes that are listed with the cases."""
_OBLIQUE = 1.0
"""Degrees."""

HEAD = ("case", "size", "spacing (mm)", "widest / narrowest", "orientation", "type", "values")

_Volumes = Mapping[str, VolumeFacts]


def volume_rows(census: Census) -> list[Row]:
    """Of a set of volumes: sizes, spacings, orientations and values in a line each; none for pictures."""
    found = _volumes(census)
    if not found:
        return []
    tilted = [one.tilt for one in found.values() if one.tilt >= _OBLIQUE]
    oblique = f"; {len(tilted)} oblique by up to {max(tilted):.0f}°" if tilted else ""
    ways = Counter(one.orientation for one in found.values())
    names = STORED_AXES if set(ways) == {AS_STORED} else AXES
    return [
        ("volume sizes", f"{_span(np.array([one.sizes for one in found.values()]))} voxels ({', '.join(names)})"),
        ("spacing", _spacings_in_words(found)),
        ("orientation", f"{counted(ways)}{oblique}"),
        ("values", _values_in_words(census, found)),
    ]


def odd_volumes(census: Census) -> list[Finding]:
    """What stands out, with the cases' names and figures."""
    found = _volumes(census)
    if not found:
        return []
    return [
        *_orientations(found),
        *_spacings(found),
        *_cuts(census, found),
        *_extents(found),
        *_contrasts(census, found),
    ]


def volume_table(census: Census) -> list[list[str]]:
    """A row for each volume, as `HEAD` says."""
    rows = []
    for name, one in _volumes(census).items():
        spacing = "unknown" if one.spacing is None else _millimeters(one.spacing)
        ratio = "" if one.spacing is None else f"{max(one.spacing) / min(one.spacing):.3g}"
        values = "; ".join(map(_range_in_words, census.named or [""] * len(one.values), one.values))
        way = one.orientation + (f", {one.tilt:.0f}° oblique" if one.tilt >= _OBLIQUE else "")
        rows.append([name, sizes(one.sizes), spacing, ratio, way, one.dtype, values])
    return rows


def _volumes(census: Census) -> _Volumes:
    return {name: fact.volume for name, fact in census.facts.items() if fact.volume is not None}


def _spacings_in_words(found: _Volumes) -> str:
    told = np.array([one.spacing for one in found.values() if one.spacing is not None])
    if not len(told):
        return "not told by the files: lengths are in voxels"
    ratios = told.max(axis=1) / told.min(axis=1)
    lacking = f"; {len(found) - len(told)} files do not tell theirs" if len(told) < len(found) else ""
    return f"{_span(told)} mm in the same order; widest / narrowest {_span(ratios[:, None])}{lacking}"


def _told(found: _Volumes) -> dict[str, Triple]:
    """Spacing of the volumes that tell theirs."""
    return {name: one.spacing for name, one in found.items() if one.spacing is not None}


def _orientations(found: _Volumes) -> list[Finding]:
    ways: dict[str, list[str]] = defaultdict(list)
    for name, one in found.items():
        ways[one.orientation].append(name)
    if len(ways) < 2:
        return []
    usual = max(ways, key=lambda way: len(ways[way]))
    others = [f"{way}: {some(names, 3)}" for way, names in ways.items() if way != usual]
    more = f" and {len(others) - _WAYS} more" if len(others) > _WAYS else ""
    shown = "; ".join(others[:_WAYS])
    text = f"volumes are stored in {len(ways)} orientations: {len(ways[usual])} in {usual}, {shown}{more}"
    return [Finding("note", text, "all are seen in one, and masks are written in each file's own")]


def _spacings(found: _Volumes) -> list[Finding]:
    told = _told(found)
    usual, odd = _far(told, _SPACING)
    if not odd:
        return []
    shown = some([f"{name} ({_millimeters(told[name])} mm)" for name in odd], 3)
    number = count(len(odd), "volume has", "volumes have")
    text = f"{number} a spacing far from the others' {_millimeters(usual)} mm: {shown}"
    cure = (
        "look whether the headers are right; resample these, or leave them out: a network sees pixels, not millimeters"
    )
    return [Finding("warning", text, cure)]


def _cuts(census: Census, found: _Volumes) -> list[Finding]:
    """Volumes that are coarse along an axis within the slices."""
    odd = []
    for name, spacing in _told(found).items():
        widest = int(np.argmax(spacing))
        if census.axis not in (None, widest) and max(spacing) >= _FLAT * spacing[census.axis or 0]:
            odd.append(f"{name} ({_millimeters(spacing)} mm)")
    if not odd or census.axis is None:
        return []
    number = count(len(odd), "volume has its", "volumes have their")
    text = f"slices are cut across the axis {census.across}, but {number} widest spacing along another: {some(odd, 3)}"
    return [Finding("warning", text, "train on volumes of one direction of scanning, or choose the axis with --axis")]


def _extents(found: _Volumes) -> list[Finding]:
    told = _told(found)
    usual, odd = _far({name: np.multiply(found[name].sizes, one).tolist() for name, one in told.items()}, _EXTENT)
    if not odd:
        return []
    shown = [f"{name} ({sizes(found[name].sizes)} voxels of {_millimeters(told[name])} mm)" for name in odd]
    number = count(len(odd), "volume shows", "volumes show")
    text = f"{number} far more or less than the others ({_millimeters(usual)} mm): {some(shown, 3)}"
    return [Finding("note", text, "look whether they are of the same part of the body")]


def _contrasts(census: Census, found: _Volumes) -> list[Finding]:
    """Channels with values of another scale than those of the other volumes."""
    findings = []
    for at, channel in enumerate(census.named or ("",)):
        own = {name: one.values[at] for name, one in found.items() if len(one.values) > at}
        called = f" of {channel}" if channel else ""
        flat = [name for name, values in own.items() if values.low == values.high]
        if flat and channel:  # of one channel alone, `CheckReport.constant` tells
            number = count(len(flat), "volume has", "volumes have")
            findings.append(
                Finding("warning", f"{number} one value throughout {channel}: {some(flat)}", "restore or remove them")
            )
        shifted = [name for name, values in own.items() if values.low > _NO_AIR]
        air = [name for name, values in own.items() if values.low < _AIR]
        if shifted and len(air) > 2 * len(shifted):
            text = (
                f"{count(len(shifted), 'volume has', 'volumes have')} no values below {_NO_AIR:g}{called}, but {len(air)} others "
                f"go below {_AIR:g}, as air does in computed tomography: {some(shifted)}"
            )
            findings.append(Finding("warning", text, "look whether 1024 was added to them, or the air cut away"))
        spans = {name: [values.bright - values.dark] for name, values in own.items() if name not in flat}
        usual, odd = _far(spans, _CONTRAST)
        if odd:
            shown = some([f"{name} ({own[name].dark:.4g} … {own[name].bright:.4g})" for name in odd], 3)
            number = count(len(odd), "volume has", "volumes have")
            text = f"{number} values{called} of another scale than the others (98 % within a span of {usual[0]:.4g})"
            cure = "nothing to do where each volume is scaled by its own percentiles, as by default"
            findings.append(Finding("note", f"{text}: {shown}", cure))
    return findings


def _far(found: Mapping[str, Sequence[float]], factor: float) -> tuple[list[float], list[str]]:
    """The medians of some numbers, and the volumes of which one is `factor` times its median or more, or as much less; none where
    these are too many to be exceptions."""
    if len(found) < _FEW:
        return [], []
    numbers = {name: np.maximum(each, 1e-9) for name, each in found.items()}
    usual = np.median(np.array(list(numbers.values())), axis=0)
    odd = [name for name, each in numbers.items() if np.maximum(each / usual, usual / each).max() >= factor]
    return usual.tolist(), odd if len(odd) <= _SHARE * len(numbers) else []


def _span(values: np.ndarray) -> str:
    """The numbers along each axis, from the least to the most: `320–512 × 320–512 × 20`."""
    lows, highs = values.min(axis=0), values.max(axis=0)
    parts = [(f"{low:.3g}", f"{high:.3g}") for low, high in zip(lows, highs, strict=True)]
    return " × ".join(low if low == high else f"{low}–{high}" for low, high in parts)


def _millimeters(values: Sequence[float]) -> str:
    return " × ".join(f"{value:.3g}" for value in values)


def _values_in_words(census: Census, found: _Volumes) -> str:
    kinds = counted(Counter(one.dtype for one in found.values()))
    parts = []
    for at, channel in enumerate(census.named or ("",)):
        own = [one.values[at] for one in found.values() if len(one.values) > at]
        if own:
            dark, bright = np.median([(each.dark, each.bright) for each in own], axis=0)
            low, high = min(each.low for each in own), max(each.high for each in own)
            parts.append(_range_in_words(channel, Values(low, float(dark), float(bright), high)))
    return "; ".join([kinds, *parts])


def _range_in_words(channel: str, values: Values) -> str:
    name = f"{channel}: " if channel else ""
    return f"{name}{values.low:g} … {values.high:g} (98 %: {values.dark:.4g} … {values.bright:.4g})"
