"""What images were to a run: labeled, in training without masks, or kept for validation and tests."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from delineate.data.core.known import KnownPictures
from delineate.data.core.manifest import Case, Manifest

__all__ = ["PastUse", "Trained"]

PastUse = Literal["labeled", "bare", "held out", "trained"]
"""labeled: trained on with its mask. bare: in the training split without one. held out: for validation or tests. trained: in the
training split, and whether it had a mask is not known (a model without its run)."""
_OF_ROLE: dict[str, PastUse] = {"train": "trained", "val": "held out", "test": "held out"}
_FIRST: tuple[PastUse, ...] = ("held out", "labeled", "bare")
"""Of several uses of one picture, the first counts."""


@dataclass(frozen=True)
class Trained:
    """The images of a run by its manifest, or, of a model on its own, by what the model knows of them."""

    known: KnownPictures
    manifest: Manifest | None

    def use(self, root: str, case: Case) -> PastUse | None:
        """What an image that was read (`Case.pixels`) was to the run; None for a new one. By its pixels, or, where a picture of one
        value has no digest, by its file."""
        if self.manifest is None:
            role = None if case.pixels is None else self.known.role_of_digest(case.pixels)
            return _OF_ROLE.get(role or "")
        if case.pixels is not None:
            return self._by_pixels.get(case.pixels)
        same = os.path.realpath(root) == os.path.realpath(self.manifest.root)
        return self._by_files.get(case.images) if same else None

    @property
    def labeled(self) -> list[Case]:
        """The training cases with masks."""
        return [] if self.manifest is None else [case for case in self.manifest.split("train") if case.masks]

    @cached_property
    def _by_pixels(self) -> dict[str, PastUse]:
        assert self.manifest is not None
        return _uses([(case.pixels, case) for case in self.manifest.cases if case.pixels is not None])

    @cached_property
    def _by_files(self) -> dict[tuple[str, ...], PastUse]:
        assert self.manifest is not None
        return _uses([(case.images, case) for case in self.manifest.cases])

    @classmethod
    def of(cls, known: KnownPictures, manifest: Path | None) -> Trained:
        """Of a run's `manifest.json`; None: of the model alone. Raises `DataError` for one that is damaged."""
        return cls(known, None if manifest is None else Manifest.load(manifest))


def _uses(pairs: list[tuple[Any, Case]]) -> dict[Any, PastUse]:
    found: dict[Any, PastUse] = {}
    for key, case in pairs:
        use = _use(case)
        if use is not None and (key not in found or _FIRST.index(use) < _FIRST.index(found[key])):
            found[key] = use
    return found


def _use(case: Case) -> PastUse | None:
    if case.split is None:
        return None
    if case.split != "train":
        return "held out"
    return "labeled" if case.masks else "bare"
