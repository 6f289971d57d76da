"""The folds of a benchmark. In each, one fold is the test set, and the weights are chosen on cases of the other folds.

Choosing the weights on the fold that is scored would flatter every method, and most those whose scores jump about most.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from delineate.common.errors import DataError
from delineate.data.cases.census import Census, inspect
from delineate.data.core.manifest import Case, Manifest
from delineate.data.layouts.source import DataSource
from delineate.data.loading.open_data import open_data
from delineate.data.splits.folds import split_data
from delineate.data.splits.seeded import complete

__all__ = ["Folds", "open_folds"]


@dataclass(frozen=True)
class Folds:
    """A data set and how it is divided."""

    manifest: Manifest
    count: int
    """1: its own train, val and test lists."""
    empty: frozenset[str]
    """Ids of cases without foreground."""
    census: Census
    joined: bool = False
    """Whether copies of a picture are in one fold, so that nobody need look for them again."""

    def training(self) -> list[Manifest]:
        """For each fold the manifest of its runs: that fold is the split `test`, a tenth of the other groups is `val`.

        A test split that the data set keeps apart takes no part.
        """
        if self.count == 1:
            return [self.manifest]
        return [self._completed(fold) for fold in range(self.count)]

    def scored(self) -> Manifest:
        """The cases that the benchmark scores, each by a model that has not seen it."""
        scored = (
            case for case in self.manifest.cases if (case.split == "test" if self.count == 1 else case.fold is not None)
        )
        return self.manifest.model_copy(update={"cases": tuple(case for case in scored if case.masks)})

    def _completed(self, fold: int) -> Manifest:
        try:
            return complete(self._outer(fold), self.empty)
        except DataError as error:
            raise DataError(f"without fold {fold}, {error}; give fewer --folds") from error

    def _outer(self, fold: int) -> Manifest:
        def placed(case: Case) -> Case:
            return case.model_copy(update={"split": "test" if case.fold == fold else "train", "fold": None})

        def is_bare(case: Case) -> bool:
            return not case.masks and case.split == "train"

        everywhere = self.manifest.cases
        cases = tuple(
            case if is_bare(case) else placed(case) for case in everywhere if is_bare(case) or case.fold is not None
        )
        origin = f"{self.manifest.split_origin}; fold {fold} tests"
        return self.manifest.model_copy(
            update={"cases": cases, "split_origin": origin, "leaks": () if self.joined else None}
        )


def open_folds(source: DataSource, folds: int | None, announce: Callable[[str], None] = lambda _: None) -> Folds:
    """Read a data set's folder or a manifest.json (with or without folds) and divide it.

    Raises `DataError`: too few groups for the folds, a manifest with another number of folds, or neither folds nor a test list.
    """
    data = source.path
    given = Manifest.load(data) if source.is_manifest else None
    if given is not None and folds not in (None, given.folds):
        has = f"{given.folds} folds" if given.folds else "no folds"
        raise DataError(f"{data} has {has}, not {folds}; leave --folds out, or give the data set's folder")
    if source.group_by is not None and given is not None and given.folds:
        raise DataError(f"{data} has folds, which were dealt by their groups; leave --group-by out")
    joined = False
    if given is not None and given.folds:
        manifest, census = inspect(given)
    elif folds is not None:
        folding = split_data(source, folds=folds)
        for finding in folding.findings:
            announce(finding.text)
        manifest, census = inspect(folding.manifest)
        joined = source.join == "near"
    else:
        manifest, census = open_data(source, watch=True)
        for leak in manifest.leaks or ():
            announce(f"warning: {leak}")
    if not manifest.folds and not manifest.split("test"):
        raise DataError(f"{data} has no test list; give --folds")
    return Folds(manifest, manifest.folds or 1, frozenset(census.empty), census, joined)
