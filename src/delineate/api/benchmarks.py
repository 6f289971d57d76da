"""`benchmark`: many runs under one setup, with their pages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from delineate.api.arguments import path, spacing
from delineate.requests.benchmark import BenchmarkOptions
from delineate.requests.signature import takes

if TYPE_CHECKING:
    from delineate.data.layouts.source import DataSource
    from delineate.engine.reporting import Reporter
    from delineate.studies.leaderboard import Leaderboard

__all__ = ["benchmark"]


@takes(BenchmarkOptions)
def benchmark(
    data: Path | str | DataSource,
    *,
    announce: Callable[[str], None] = lambda _: None,
    reporter: Reporter | None = None,
    **options: Unpack[BenchmarkOptions],
) -> Leaderboard:
    """Train methods on the same splits with the same budget, score and compare them. Write everything and a report to `out`.

    The same call continues a benchmark that was stopped, and repeats the runs that failed. Masks that other software made
    (`predictions`) are scored and compared by the same rules; the table says that they were made elsewhere.

    Args:
        data: As for `train`.
        announce: Called with lines worth showing.
        reporter: Receives the progress of each run; default: a progress bar on stderr.

    Returns:
        The table of methods. Runs that failed are in its `failures`.

    Raises:
        DelineateError: The data, the methods or `out` cannot be used.
        Interrupted: Ctrl-C or SIGTERM. What was done is kept.

    Example:
        ```python
        board = delineate.benchmark("polyps/", methods="unet,resenc,condseg", folds=3, epochs=20, out="bench")
        ```
    """
    from delineate.common.folder_lock import hold_folder
    from delineate.data.core.manifest import Manifest
    from delineate.data.layouts.source import as_source
    from delineate.engine.signals import raise_on_signals
    from delineate.report.pages.comparison import write_comparison_report
    from delineate.report.pages.evaluation import write_evaluation_report
    from delineate.studies import benchmark as study
    from delineate.studies.leaderboard import make_leaderboard, write_leaderboard
    from delineate.studies.page import write_benchmark_report

    folder = Path(options["out"])
    typed: dict[str, Any] = {"out": folder, "spacing": spacing(options["spacing"])}
    typed["cache_folder"] = path(options["cache_folder"])
    request = study.BenchmarkRequest(data=as_source(data), **{**options, **typed})
    kept = "what was done is kept; the same command goes on"
    with hold_folder(folder, announce), raise_on_signals(kept):
        setup = study.prepare(request, announce)
        result = study.run(folder, setup, reporter, announce, request.cache_folder, request.predictions)
        for scores_file in result.evaluations.values():
            write_evaluation_report(scores_file.folder, Manifest.load(folder / study.SCORED))
        if result.comparison is not None:
            write_comparison_report(result.comparison, folder / study.COMPARISON)
        board = make_leaderboard(result)
        write_leaderboard(folder, board)
        write_benchmark_report(result, board)
    return board
