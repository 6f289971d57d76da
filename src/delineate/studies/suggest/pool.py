"""The pool: which images may be labeled next, and which are labeled already."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.core.findings import count, some
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.joins import is_known, sharing
from delineate.data.core.manifest import Case
from delineate.data.core.opencv_threads import single_threaded_opencv
from delineate.data.layouts.source import DataSource
from delineate.data.loading.open_data import NEAR_LIMIT
from delineate.data.splits.near_duplicates import find_near_duplicates
from delineate.studies.suggest.images import ImageSet, in_model_order, list_images, read_images
from delineate.studies.suggest.trained import PastUse, Trained

__all__ = ["LabelPool", "open_pool"]

_Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class LabelPool:
    """What there is to choose from."""

    candidates: ImageSet
    covered: tuple[ImageSet, ...]
    """The labeled images that could be read: those in the pool, and those that lie elsewhere."""
    labeled: tuple[str, ...]
    """Ids of the labeled images in the pool."""
    elsewhere: int
    """Labeled images of the run that are not in the pool."""
    twins: Mapping[str, Collection[str]]
    """Candidate → its copies and near duplicates among the candidates."""
    notes: tuple[str, ...]
    """What was left out."""
    messages: tuple[str, ...]
    """The same in words that name files and folders, for the user alone: those of DICOM images often tell who the patient is."""


def open_pool(
    source: DataSource, trained: Trained, spec: InputSpec, max_pixels: int, progress: _Progress = lambda *_: None
) -> LabelPool:
    """Find the images and read them once.

    `progress`: called with (images read, images in all). Raises `DataError`: no images, images of other channels than the model's,
    none that may be labeled, a model that does not tell which images are labeled.
    """
    listed, messages = list_images(source, spec)
    own = {case.id for case in listed.cases if case.split in ("val", "test")}
    asked = listed.model_copy(update={"cases": tuple(case for case in listed.cases if case.id not in own)})
    total = len(asked.cases)
    read, said = read_images(asked, spec, max_pixels, lambda done: progress(done, total))
    messages += said
    uses = {case.id: trained.use(read.manifest.root, case) for case in read.manifest.cases}
    _check_told(source.path, uses)
    labeled = [name for name, use in uses.items() if use == "labeled"]
    covered, elsewhere, said = _covered(read, labeled, trained, spec, max_pixels)
    messages += said

    held = {case.group for case in listed.cases if case.id in own or uses.get(case.id) == "held out"}
    left = [case for case in read.manifest.cases if uses[case.id] in (None, "bare")]
    open_ = [case for case in left if not (is_known(case.group) and case.group in held)]
    out = len(own) + sum(use == "held out" for use in uses.values())
    notes = _left_out(len(labeled), out, len(left) - len(open_))
    bare, said = _without_masks(open_, {case.id for case in listed.cases if case.masks})
    notes += said
    twins, like, said = _alike(read.of({case.id for case in bare}), covered)
    notes += said
    chosen = {case.id for case in bare} - like
    if not chosen:
        raise DataError(f"{source.path}: no image is left to label ({'; '.join([*messages, *notes]) or 'it has none'})")
    return LabelPool(read.of(chosen), tuple(covered), tuple(labeled), elsewhere, twins, tuple(notes), tuple(messages))


def _check_told(path: Path, uses: Mapping[str, PastUse | None]) -> None:
    """Raise `DataError` where images were in the training split of a model that comes without its run."""
    trained = [name for name, use in uses.items() if use == "trained"]
    if trained:
        raise DataError(
            f"{path}: {count(len(trained), 'image')} ({some(trained, 2)}) were in the model's training split, and the model alone "
            "does not tell which had masks; give its run folder"
        )


def _covered(
    read: ImageSet, labeled: Sequence[str], trained: Trained, spec: InputSpec, max_pixels: int
) -> tuple[list[ImageSet], int, list[str]]:
    """The labeled images, how many are not in the pool, and what is worth knowing of these."""
    found = [read.of(labeled)] if labeled else []
    here = {case.pixels for case in read.manifest.cases}
    away = [case for case in trained.labeled if case.pixels is not None and case.pixels not in here]
    if not away or trained.manifest is None:
        return found, 0, []
    manifest = trained.manifest.model_copy(update={"cases": tuple(away)})
    elsewhere, _ = read_images(in_model_order(manifest, spec, Path(manifest.root)), spec, max_pixels, lambda _: None)
    there = len(elsewhere.manifest.cases)
    notes = [f"{count(there, 'labeled image')} of the run read from {manifest.root}"] if there else []
    if there < len(away):
        notes.append(
            f"{count(len(away) - there, 'labeled image')} of the run not found in {manifest.root}, so they are not taken for "
            "covered; restore that folder"
        )
    return [*found, *([elsewhere] if there else [])], len(away), notes


def _left_out(labeled: int, held: int, of_held: int) -> list[str]:
    notes = []
    if labeled:
        notes.append(f"{count(labeled, 'image is', 'images are')} labeled already")
    if held:
        notes.append(f"{count(held, 'image')} for validation or tests left out")
    if of_held:
        notes.append(f"{count(of_held, 'image')} of patients in validation or tests left out")
    return notes


def _without_masks(cases: Sequence[Case], masked: Collection[str]) -> tuple[list[Case], list[str]]:
    """Those without masks; where all have one, all: then labels are held back on purpose, as in a study."""
    bare = [case for case in cases if case.id not in masked]
    if not bare:
        said = f"all {len(cases)} images have masks in the pool, which are not read"
        return list(cases), [said] if cases else []
    labeled = len(cases) - len(bare)
    return bare, [f"{count(labeled, 'image')} with masks left out"] if labeled else []


def _alike(candidates: ImageSet, covered: Sequence[ImageSet]) -> tuple[dict[str, set[str]], set[str], list[str]]:
    """Candidate → its copies and near duplicates; the candidates that look like a labeled image; what is worth knowing."""
    twins: dict[str, set[str]] = defaultdict(set)
    for members in sharing(candidates.manifest.cases, lambda case: case.pixels):
        for case in members:
            twins[case.id] |= {other.id for other in members if other is not case}
    sets = [candidates, *covered]
    number = sum(len(one.manifest.cases) for one in sets)
    if number > NEAR_LIMIT:
        return twins, set(), [f"near duplicates were not looked for among {number} images, equal ones were"]
    hashes = {f"{at}/{name}": one for at, each in enumerate(sets) for name, one in each.hashes.items()}
    like: set[str] = set()
    with single_threaded_opencv():
        pairs = find_near_duplicates(hashes)
    for pair in pairs:
        (first, one), (second, other) = (name.split("/", 1) for name in (pair.first, pair.second))
        if first == second == "0":
            twins[one].add(other)
            twins[other].add(one)
        elif "0" in (first, second):
            like.add(one if first == "0" else other)
    number = len(like)
    said = f"{count(number, 'image looks', 'images look')} like a labeled one and {'is' if number == 1 else 'are'} left out"
    return twins, like, [f"{said}: {some(sorted(like), 3)}"] if like else []
