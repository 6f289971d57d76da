"""Several raters of the same cases: the prediction against each of them and their majority, and the raters against each other.

What raters reach against each other is the human ceiling: a prediction that scores higher than they do is not better than
they are, it only agrees more with one of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.core.findings import count, some
from delineate.data.core.manifest import IGNORE, Case, Manifest
from delineate.data.layouts.source import DataSource, as_source
from delineate.evaluation.inputs.predictions import place_of
from delineate.evaluation.inputs.references import References, open_references, read_as, read_reference
from delineate.evaluation.metrics.pixel_counts import Labels

__all__ = [
    "MAJORITY",
    "OTHERS",
    "Kind",
    "RaterComparison",
    "Raters",
    "majority",
    "open_raters",
    "rater_comparisons",
    "raters_of_cases",
]

Kind = Literal["rater", "majority", "between raters", "rater against the others"]
MAJORITY = "majority"
OTHERS = "majority of the others"
_MAJORITY_RULE = (
    "a pixel has the class that more than half of the raters give it, else background (so a tie of an even number of raters is "
    "background, and of two raters both must agree); raters that ignore a pixel do not vote, where all do it is ignored"
)
_CEILING_RULE = (
    "raters against each other: each pair once, the later one scored against the earlier; with three raters or more also each "
    "against the majority of the others"
)


@dataclass(frozen=True)
class Raters:
    """The references of several raters; the first is the one that was given as REFERENCES."""

    names: tuple[str, ...]
    """Of their folders."""
    manifests: tuple[Manifest, ...]
    cases: tuple[Mapping[str, Case], ...]
    """Per rater: case id → case."""

    def read(self, case: str) -> dict[str, NDArray[np.uint8]]:
        """Rater → class indices of one case (255 = ignore), on the first one's grid. Raises `DataError` as `read_reference` and
        `place_of`, and for sizes that differ."""
        masks = {}
        first, place = self.names[0], self.manifests[0].path(self.cases[0][case].masks[0])
        for name, manifest, cases in zip(self.names, self.manifests, self.cases, strict=True):
            way = place_of(manifest.path(cases[case].masks[0]), place)
            mask = read_reference(manifest, cases[case])
            masks[name] = mask if way is None else way.apply(mask)
        odd = next((name for name in self.names if masks[name].shape != masks[first].shape), None)
        if odd is not None:
            sizes = [_size(masks[name]) for name in (first, odd)]
            raise DataError(f"the raters' masks of '{case}' differ in size: {first} {sizes[0]}, {odd} {sizes[1]}")
        return masks

    def describe(self) -> str:
        """One line for tables."""
        return f"{len(self.names)} raters ({', '.join(self.names)}); {_MAJORITY_RULE}; {_CEILING_RULE}"


@dataclass(frozen=True)
class RaterComparison:
    """Two masks to be scored, and who made them. Where one of them ignores a pixel, the reference is 255 there."""

    kind: Kind
    first: str
    """Whose mask takes the place of the prediction: 'prediction' or a rater."""
    second: str
    """Whose mask is the reference: a rater, `MAJORITY` or `OTHERS`."""
    prediction: Labels
    reference: Labels


def open_raters(given: Path | DataSource, others: Sequence[Path], found: References) -> Raters:
    """The further raters' folders beside the references `found` in `given`, matched by name and read by one class table.

    A folder may hold more cases than the references' split. Raises `DataError`: a rater who lacks cases, has other classes, or
    is given twice.
    """
    source = as_source(given)
    folders = [source.path, *others]
    twice = [path for path, number in Counter(path.resolve() for path in folders).items() if number > 1]
    if twice:
        raise DataError(f"{twice[0]} is given as two raters; give each rater's folder once")
    opened = [found, *(_open(DataSource(folder, labels=source.labels), found) for folder in others)]
    return Raters(
        names=_names(folders),
        manifests=tuple(each.manifest for each in opened),
        cases=tuple({case.id: case for case in each.cases} for each in opened),
    )


def raters_of_cases(found: References) -> Raters | None:
    """The second observers that a data set brings (`2nd_manual` …), beside its references; None unless all cases have them."""
    number = min((len(case.raters) for case in found.cases), default=0)
    if not number:
        return None
    names, manifests = ["references"], [found.manifest]
    cases = [{case.id: case for case in found.cases}]
    for at in range(number):
        own = {case.id: case.model_copy(update={"masks": case.raters[at], "raters": ()}) for case in found.cases}
        folders = {Path(case.masks[0]).parent.name for case in own.values()}
        one = folders.pop() if len(folders) == 1 else ""
        names.append(one if one and one not in names else f"observer {at + 2}")
        cases.append(own)
        manifests.append(read_as(found.manifest, tuple(own.values())))
    return Raters(tuple(names), tuple(manifests), tuple(cases))


def rater_comparisons(prediction: Labels | None, raters: Mapping[str, Labels]) -> Iterator[RaterComparison]:
    """All that is to be scored for one case, from class indices of equal shape.

    The prediction against each rater and (of two or more) their majority; then the raters against each other. Without a
    prediction only the latter. Raises `ValueError` for shapes that differ.
    """
    if prediction is not None:
        for name, mask in raters.items():
            yield _comparison("rater", "prediction", name, prediction, mask)
        if len(raters) > 1:
            yield _comparison("majority", "prediction", MAJORITY, prediction, majority(list(raters.values())))
    for earlier, later in combinations(raters, 2):
        yield _comparison("between raters", later, earlier, raters[later], raters[earlier])
    if len(raters) > 2:
        for name, mask in raters.items():
            others = majority([other for who, other in raters.items() if who != name])
            yield _comparison("rater against the others", name, OTHERS, mask, others)


def majority(masks: Sequence[Labels]) -> NDArray[np.uint8]:
    """The class that more than half of the raters give each pixel, else 0; see `_MAJORITY_RULE`.

    Class indices of any one shape, 255 = no vote. Raises `ValueError` for no masks or shapes that differ.
    """
    stack = np.stack(masks)
    votes = (stack != IGNORE).sum(0)
    chosen = np.zeros(stack.shape[1:], np.uint8)
    for label in np.unique(stack):
        if label not in (0, IGNORE):
            chosen[2 * (stack == label).sum(0) > votes] = label
    chosen[votes == 0] = IGNORE
    return chosen


def _comparison(kind: Kind, first: str, second: str, prediction: Labels, reference: Labels) -> RaterComparison:
    if prediction.shape != reference.shape:
        raise ValueError(f"{first} {prediction.shape} and {second} {reference.shape} differ in shape")
    ignored = prediction == IGNORE
    if ignored.any():
        prediction, reference = np.where(ignored, 0, prediction), np.where(ignored, IGNORE, reference)
    return RaterComparison(kind, first, second, prediction, reference)


def _open(rater: DataSource, found: References) -> References:
    folder = rater.path
    opened = open_references(rater, "all", found.manifest.table)
    there = {case.id for case in opened.cases}
    missing = [case.id for case in found.cases if case.id not in there]
    if missing:
        raise DataError(
            f"the rater in {folder} has no mask of {count(len(missing), 'reference')} ({some(missing)}); "
            "all raters must have marked all cases that are scored"
        )
    return opened


def _names(folders: Sequence[Path]) -> tuple[str, ...]:
    """The folders' names; with their parent's where two are alike."""
    names = [path.resolve().name for path in folders]
    if len(set(names)) < len(names):
        names = [f"{path.resolve().parent.name}/{path.resolve().name}" for path in folders]
    return tuple(names)


def _size(mask: Labels) -> str:
    return "×".join(map(str, mask.shape))
