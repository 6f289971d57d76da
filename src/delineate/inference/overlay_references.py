"""Reference masks of a dataset, which overlays show beside the predictions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.cases.volumes import labels_on
from delineate.data.core import labels
from delineate.data.core.findings import some
from delineate.data.core.manifest import Case, ClassTable, Manifest
from delineate.data.formats.canonical import Canonical
from delineate.data.layouts.source import DataSource
from delineate.evaluation.inputs.references import open_references, read_reference

__all__ = ["References"]


@dataclass(frozen=True)
class References:
    """Reference masks by the name of the output. Masks that cannot be drawn are left out and listed in `notes`."""

    known: dict[str, tuple[Manifest, Case]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    """Why the masks of a dataset are not drawn."""
    lost: list[str] = field(default_factory=list)
    """Names of images whose reference could not be read, or is of another size."""

    @classmethod
    def of(cls, data: Iterable[DataSource], classes: ClassTable) -> References:
        """All references of the data sets, read as `evaluate` would read them for a model of these classes."""
        found = cls()
        for source in data:
            try:
                opened = open_references(source, "all", classes)
            except DataError as error:
                found.refused.append(str(error))
                continue
            found.known.update({case.id: (opened.manifest, case) for case in opened.cases})
        return found

    def mask(self, name: str, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
        """Class indices H×W (255 = ignore); None where there is none that can be drawn."""
        if name not in self.known:
            return None
        try:
            mask = read_reference(*self.known[name])
        except DataError:
            mask = None
        if mask is None or mask.shape != shape:
            self.lost.append(name)
            return None
        return mask

    def volume(self, name: str, volume: Canonical) -> NDArray[np.uint8] | None:
        """The same of a volume, in the canonical order of its axes. Reference sets need not know their images."""
        if name not in self.known:
            return None
        manifest, case = self.known[name]
        paths = [manifest.path(mask) for mask in case.masks]
        try:
            read = [labels.apply(manifest.labels, labels_on(volume, path), path) for path in paths]
        except DataError:
            self.lost.append(name)
            return None
        return volume.turn.apply(labels.merge(read))

    @property
    def notes(self) -> tuple[str, ...]:
        """What is not drawn, and why; empty if all are."""
        lines = [f"references are not drawn: {reason}" for reason in self.refused]
        if self.lost:
            lines.append(
                f"references that cannot be read, or are of another size, are not drawn: {some(sorted(self.lost), 3)}"
            )
        return tuple(lines)
