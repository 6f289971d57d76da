"""Identify a dataset and a class by their content: their names do not say what a model has seen."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from delineate.data.core.manifest import LabelRule, Manifest

__all__ = ["ClassIdentity", "data_digest", "excluded_section", "identity"]


@dataclass(frozen=True)
class ClassIdentity:
    """A class of a data set."""

    data: str | None
    """SHA-256 of the data set (`data_digest`)."""
    values: str
    """The raw values of its masks that mean the class (`raw_values`)."""


def data_digest(manifest: Manifest) -> str | None:
    """SHA-256 over the files of all cases, whatever their names, places and splits; None where their hashes are not known."""
    lines = []
    for case in manifest.cases:
        hashes = [case.hashes.get(name) for name in (*case.images, *case.masks)]
        if None in hashes:
            return None
        lines.append(" ".join(map(str, hashes)))
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest() if lines else None


def _raw_values(rule: LabelRule, label: int) -> str:
    """The raw values that a rule reads as a class, as text: "2", "1 255", "128-"; of colors `#ff0000`."""
    if rule.threshold is not None:
        return f"{rule.threshold}-" if label else f"-{rule.threshold - 1}"
    shown = "#{:06x}".format if rule.coding == "color" else str
    single = [shown(value) for value, index in sorted((rule.values or {}).items()) if index == label]
    spans = [f"{first}-{last}" for first, last, index in sorted(rule.ranges) if index == label]
    return " ".join([*single, *spans])


def identity(manifest: Manifest, label: int) -> ClassIdentity:
    """Of one class of a data set that was read."""
    return ClassIdentity(data_digest(manifest), _raw_values(manifest.labels, label))


def excluded_section(manifest: Manifest, labels: tuple[int, ...]) -> dict[str, Any]:
    """What an artefact keeps of the classes whose slices training left out."""
    return {
        "data_sha256": data_digest(manifest),
        "exclude_values": [_raw_values(manifest.labels, label) for label in labels],
    }
