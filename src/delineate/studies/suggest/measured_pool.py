"""A pool that a model has looked at: how much it doubts each image, and where each lies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from delineate.artefact import format as artefact_format
from delineate.common.errors import ArtefactError, DataError
from delineate.data.cases.volumes import is_volume
from delineate.data.core.findings import count, some
from delineate.data.splits.run_splits import run_manifest
from delineate.inference.features import FeatureKind, FeatureReader
from delineate.inference.predictor import Predictor
from delineate.studies.suggest.measure import Measure, measure_images
from delineate.studies.suggest.pool import LabelPool, open_pool
from delineate.studies.suggest.request import SuggestRequest
from delineate.studies.suggest.trained import Trained

__all__ = ["MeasuredPool", "measure_pool"]

_Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class MeasuredPool:
    """What any choice is made from."""

    predictor: Predictor
    pool: LabelPool
    measures: list[Measure]
    """Of the candidates."""
    covered: list[Measure]
    """Of the labeled images."""
    features: FeatureKind
    notes: tuple[str, ...]
    messages: tuple[str, ...]
    """As those of `LabelPool`."""


def measure_pool(request: SuggestRequest, progress: _Progress = lambda *_: None) -> MeasuredPool:
    """Read the pool and run the model on it. Nothing is written.

    `progress`: called with (images read or predicted, twice the images). Raises `DelineateError`.
    """
    request.check()
    artefact = artefact_format.load(request.run)
    if artefact.method.kind != "dense":
        raise ArtefactError(
            f"{request.run}: '{artefact.method.info.name}' segments by examples, and has no doubt without them; give a run of a "
            "method that segments an image alone"
        )
    located = artefact_format.locate(request.run)
    predictor = Predictor(artefact, request.device, "32", located)
    reader = FeatureReader(predictor, request.features, request.batch_size)
    trained = Trained.of(predictor.known, run_manifest(located))
    pool = open_pool(
        request.pool, trained, predictor.spec, request.max_pixels, lambda done, total: progress(done, 2 * total)
    )
    _check_count(request, pool)
    found, failures = _measured(request, pool, predictor, reader, progress)
    if not found[0]:
        raise DataError(f"no image of {request.pool.path} could be predicted: {failures[0]}")
    notes = (*pool.notes, *_notes(request, pool, predictor, reader, found[0]))
    lost = f"{count(len(failures), 'image')} left out that cannot be predicted: {some(failures, 2)}"
    messages = (*pool.messages, *([lost] if failures else []))
    covered = [measure for good in found[1:] for measure in good]
    return MeasuredPool(predictor, pool, found[0], covered, reader.kind, notes, messages)


def _check_count(request: SuggestRequest, pool: LabelPool) -> None:
    there = len(pool.candidates.manifest.cases)
    if request.count > there:
        left = f" ({'; '.join(pool.notes)})" if pool.notes else ""
        raise DataError(
            f"--count {request.count}: {request.pool.path} has {count(there, 'image')} to choose from; give fewer{left}"
        )
    if request.with_labeled and pool.elsewhere:
        are = "is" if pool.elsewhere == 1 else "are"
        raise DataError(
            f"--with-labeled: {count(pool.elsewhere, 'labeled image')} of the run {are} not in {request.pool.path}, so one list "
            "cannot name all; leave it out"
        )


def _measured(
    request: SuggestRequest, pool: LabelPool, predictor: Predictor, reader: FeatureReader, progress: _Progress
) -> tuple[list[list[Measure]], list[str]]:
    """Of the candidates, then of each set of labeled images; and why some could not be predicted."""
    sets = (pool.candidates, *pool.covered)
    total, done = sum(len(one.manifest.cases) for one in sets), 0
    found: list[list[Measure]] = []
    failures: list[str] = []
    for one in sets:
        good = []
        for measure in measure_images(one, predictor, reader, request.doubt, request.max_pixels):
            done += 1
            progress(total + done, 2 * total)
            if measure.failure is None:
                good.append(measure)
            else:
                failures.append(measure.failure)
        found.append(good)
    return found, failures


def _notes(
    request: SuggestRequest,
    pool: LabelPool,
    predictor: Predictor,
    reader: FeatureReader,
    measures: Sequence[Measure],
) -> list[str]:
    """What the choice rests on."""
    remarks = Counter(one.remark for one in measures if one.remark)
    notes = [f"{text} ({number} of {count(len(measures), 'image')})" for text, number in remarks.items()]
    if reader.kind == "pooled" and request.features is None:
        notes.append(
            f"method '{predictor.method.info.name}' does not tell its encoder's feature maps: distances are between images and "
            "probability maps, pooled to 4×4"
        )
    manifest = pool.candidates.manifest
    if any(is_volume(manifest, case) for case in manifest.cases):
        notes.append("a volume is chosen as a whole: its doubt is that of all its slices")
    if predictor.spec.all_axes:
        notes.append("only slices across one axis were predicted, although the model takes all three")
    return notes
