"""Amounts of memory and time as people write them: `2GiB`, `500 MB`, `15m`, `1h`."""

from __future__ import annotations

import math
import re

from delineate.common.errors import DelineateError

__all__ = ["as_bytes", "as_seconds"]

_BYTES = {
    "": 1,
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)},
}
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_FORM = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")


def as_bytes(given: str | float, what: str) -> int:
    """Bytes of `2GiB`, `500MB` or a number; `what`: the option, for messages. Raises `DelineateError`."""
    return math.floor(_amount(given, _BYTES, what, "2GiB, 500MB or a number of bytes"))


def as_seconds(given: str | float, what: str) -> float:
    """Seconds of `15m`, `1h`, `30s` or a number. Raises `DelineateError` as `as_bytes`."""
    return _amount(given, _SECONDS, what, "15m, 30s, 1h or a number of seconds")


def _amount(given: str | float, units: dict[str, int] | dict[str, float], what: str, examples: str) -> float:
    found = _FORM.fullmatch(str(given))
    unit = None if found is None else units.get(found[2].lower())
    if found is None or unit is None or float(found[1]) * unit <= 0:
        raise DelineateError(f"{what} {given}: give {examples}")
    return float(found[1]) * unit
