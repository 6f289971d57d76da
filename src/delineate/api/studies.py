"""`study labels`: many runs with few labels, with their page. `study suggest`: which images to label next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from delineate.api.arguments import path, spacing
from delineate.common.errors import DataError
from delineate.common.names import listed
from delineate.requests.signature import takes
from delineate.requests.study import LabelStudyOptions, SuggestOptions

if TYPE_CHECKING:
    from delineate.data.layouts.source import DataSource
    from delineate.engine.reporting import Reporter
    from delineate.studies.labels.estimate import StudyEstimate
    from delineate.studies.labels.results import StudyTable
    from delineate.studies.labels.study import LabelRequest
    from delineate.studies.suggest.suggest import LabelSuggestions

__all__ = ["estimate_study_labels", "study_labels", "suggest_labels"]

_Number = TypeVar("_Number", int, float)


@takes(LabelStudyOptions)
def study_labels(
    data: Path | str | DataSource,
    *,
    announce: Callable[[str], None] = lambda _: None,
    reporter: Reporter | None = None,
    **options: Unpack[LabelStudyOptions],
) -> StudyTable:
    """Train one method in several ways with several numbers of labels, and say what was gained. Write all and a report to `out`.

    Labels are drawn by group, the same for every way of training, and frozen in `out/draws.json`; no run reads the masks of the
    other images. Steps and averaged weights are the same for all. Full supervision is trained along. The same call continues a
    study that was stopped, and repeats the runs that failed.

    Args:
        data: As for `train`; it needs a test split, or none at all.
        announce: Called with lines worth showing.
        reporter: Receives the progress of each run; default: a progress bar on stderr.

    Returns:
        A row for each way of training and number of labels. Runs that failed are in its `failures`.

    Raises:
        DelineateError: The data, the options or `out` cannot be used.
        Interrupted: Ctrl-C or SIGTERM. What was done is kept.

    Example:
        ```python
        table = delineate.study_labels(
            "polyps/", method="unet", strategies="supervised,mean-teacher", labeled_cases=[40, 160], steps=2000, out="few"
        )
        ```
    """
    from delineate.common.folder_lock import hold_folder
    from delineate.engine.signals import raise_on_signals
    from delineate.studies.labels import study
    from delineate.studies.labels.estimate import estimate
    from delineate.studies.labels.page import write_label_report
    from delineate.studies.labels.results import make_table, write_table

    request = _request(data, options)

    def tell(prepared: study.Prepared) -> None:
        """What a new study will take; what cannot be trained at all is refused before anything is written."""
        for line in estimate(prepared, request.cache_folder).lines():
            announce(line)

    kept = "what was done is kept; the same command goes on"
    with hold_folder(request.out, announce), raise_on_signals(kept):
        setup = study.prepare(request, announce, tell)
        result = study.run(request.out, setup, reporter, announce, request.cache_folder)
        table = make_table(result)
        write_table(request.out, table)
        write_label_report(result, table)
    return table


@takes(LabelStudyOptions)
def estimate_study_labels(
    data: Path | str | DataSource,
    *,
    announce: Callable[[str], None] = lambda _: None,
    **options: Unpack[LabelStudyOptions],
) -> StudyEstimate:
    """Tell what `study_labels` with the same arguments would do, and how long it would train. Nothing is written to `out`.

    Args:
        data: As for `study_labels`.
        announce: Called with lines worth showing.

    Returns:
        The plan, with seconds per step measured by a few steps of each way of training.

    Raises:
        DelineateError: As `study_labels` before its first run.

    Example:
        ```python
        cost = delineate.estimate_study_labels("polyps/", method="unet", labeled_cases=[40, 160], steps=2000, out="few")
        for line in cost.lines():
            print(line)
        ```
    """
    from delineate.studies.labels import study
    from delineate.studies.labels.estimate import estimate

    request = _request(data, options)
    return estimate(study.plan(request, announce), request.cache_folder)


@takes(SuggestOptions)
def suggest_labels(
    run: Path | str,
    pool: Path | str | DataSource,
    *,
    progress: Callable[[int, int], None] = lambda *_: None,
    **options: Unpack[SuggestOptions],
) -> LabelSuggestions:
    """Suggest which images to label next: those that a trained model doubts, and those far from all that is labeled.

    No mask of the pool is read. Left out are images that the run had masks of, its validation and test images, those of the same
    patients, and near duplicates of labeled images; near duplicates of each other are not suggested twice. A volume is suggested
    as a whole. Writes the list to `out`, and a page with pictures beside it.

    Args:
        run: A run folder, or a `model.safetensors`, of a method that segments an image alone.
        pool: A folder of images, a data set (its training images without masks; where all have masks, all that the run did not
            learn from), or a manifest.
        progress: Called with (images read or predicted, twice their number).

    Returns:
        The suggestions in the order chosen.

    Raises:
        DelineateError: The model, the pool or `out` cannot be used; the pool has fewer images than `count`. Nothing was written.

    Example:
        ```python
        found = delineate.suggest_labels("runs/first", "polyps/", count=20, out="next.csv")
        print(found.cases)
        ```
    """
    from delineate.data.layouts.source import as_source
    from delineate.studies.suggest.measured_pool import measure_pool
    from delineate.studies.suggest.page import write_suggestions_page
    from delineate.studies.suggest.request import SuggestRequest
    from delineate.studies.suggest.suggest import suggest, write_list

    typed: dict[str, Any] = {"out": Path(options["out"])}
    request = SuggestRequest(run=Path(run), pool=as_source(pool), **{**options, **typed})
    found = suggest(request, measure_pool(request, progress))
    write_suggestions_page(found)
    write_list(found.result)
    return found.result


def _request(data: Path | str | DataSource, options: LabelStudyOptions) -> LabelRequest:
    from delineate.data.layouts.source import as_source
    from delineate.studies.labels.study import LabelRequest

    typed: dict[str, Any] = {"out": Path(options["out"]), "spacing": spacing(options["spacing"])}
    typed["cache_folder"] = path(options["cache_folder"])
    typed["fractions"] = _numbers("--fractions", options["fractions"], float)
    typed["labeled_cases"] = _numbers("--labeled-cases", options["labeled_cases"], int)
    typed["labeled_groups"] = _numbers("--labeled-groups", options["labeled_groups"], int)
    return LabelRequest(data=as_source(data), **{**options, **typed})


def _numbers(name: str, given: str | Sequence[_Number] | None, kind: type[_Number]) -> tuple[_Number, ...]:
    """Numbers one by one, or as a text with commas. Raises `DataError`."""
    texts = listed(given) if isinstance(given, str) else tuple(map(str, given or ()))
    try:
        return tuple(kind(text) for text in texts)
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise DataError(f"{name} {','.join(texts)}: expected {what}, separated by commas") from None
