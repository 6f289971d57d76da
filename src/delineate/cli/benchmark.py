"""`delineate benchmark`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from delineate.cli import options
from delineate.cli.made import part, taking
from delineate.common.names import listed
from delineate.requests.benchmark import BenchmarkOptions
from delineate.requests.data import DataOptions

if TYPE_CHECKING:
    from delineate.data.layouts.source import DataSource
    from delineate.studies.leaderboard import Leaderboard
    from delineate.studies.speed import Speed

__all__ = ["benchmark"]


@taking(BenchmarkOptions, DataOptions)
def benchmark(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Folder of images and masks, a CSV file of them, or a manifest.json; with --status, a benchmark folder.",
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Benchmark folder; a benchmark that is there is continued.")] = None,
    status: Annotated[bool, typer.Option("--status", help="Only show the progress of the benchmark in DATA.")] = False,
    speed: Annotated[
        bool, typer.Option("--speed", help="Only measure, in two minutes, what limits training speed on this machine.")
    ] = False,
    **given: Any,
) -> None:
    """Train methods on the same splits with the same budget, score and compare them in one table.

    A benchmark can be stopped at any time: the same command continues it and
    repeats failed runs. The exit code is 1 if a run failed. Each fold is
    scored by models that were not trained on it and whose weights were chosen
    on other cases. Folds and seeds are numbered from 0. Masks that other
    software made are scored and compared along (--predictions); of those the
    table shows scores alone, as made elsewhere.

    \b
    delineate benchmark polyps/ --methods unet,resenc,condseg --epochs 20 --out bench
    delineate benchmark hearts/ --folds 3 --seeds 2 --group-by 'patient\\d+' --stack auto --budget-minutes 10 --out bench
    delineate benchmark split.json --methods unet,resenc --predictions nnunet=nnunet_masks/ --out bench
    delineate benchmark bench --status
    delineate benchmark polyps/ --methods condseg --speed
    """
    from delineate.common.errors import DelineateError
    from delineate.common.missing_paths import refuse_missing
    from delineate.engine.typo_checks import refuse_typos

    names = listed(given["methods"])
    for name in names:
        method, _, own_preset = name.partition("@")
        refuse_typos(method, own_preset or given["preset"], given["settings"])
    refuse_missing(data)
    from delineate.api import benchmark as run

    if status:
        _print_status(data)
        return
    source = options.source(data, **part(DataOptions, given))
    if speed:
        _print_speed([_speed(source, name, given) for name in names])
        return
    if out is None:
        raise DelineateError("--out is missing: name the folder of the benchmark")
    board = run(source, **part(BenchmarkOptions, given), out=out, announce=_say)
    _print_board(board, out)
    if board.failures:
        raise typer.Exit(1)


def _speed(data: DataSource, method: str, given: dict[str, Any]) -> Speed:
    from delineate.studies.speed import measure_speed

    told = {name: given[name] for name in ("preset", "size", "settings", "cache_folder")}
    return measure_speed(data, method, **told, announce=_say)


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _print_board(board: Leaderboard, out: Path) -> None:
    from delineate.cli.console import make_console
    from delineate.cli.tables import print_table
    from delineate.report.parts.first_weights import briefly

    titles = [f"{about['title']} ({board.columns[name]})" for name, about in board.metrics.items()]
    rows = []
    for row in board.rows:
        cells = [_interval(interval) for interval in row.means.values()]
        costs = ["–"] * 5
        if row.cost is not None:
            peak = "–" if row.cost.peak_mib is None else f"{row.cost.peak_mib:.0f}"
            minutes = "–" if row.cost.minutes is None else f"{row.cost.minutes:.1f}"
            costs = [
                minutes,
                f"{row.cost.parameters / 1e6:.2f}",
                f"{row.cost.gigaflops:.2f}",
                f"{row.cost.milliseconds:.0f}",
                peak,
            ]
        rows.append(
            [
                row.label,
                "made elsewhere" if row.made_elsewhere else briefly(row.first_weights),
                str(next(iter(row.means.values())).n),
                "–" if row.made_elsewhere else str(row.seeds),
                *cells,
                *costs,
            ]
        )
    console = make_console()
    head = ("method", "first weights", "n", "seeds", *titles, "min", "M par.", "GFLOP", "ms", "MiB")
    print_table(console, head, rows, title="mean over cases and seeds [95 % interval]")
    for words in board.cautions:
        console.print(f"note: {words}")
    for words in board.words:
        console.print(f"• {words}")
    for name, error in board.failures.items():
        typer.echo(f"failed: {name}: {error}", err=True)
    if board.failures:
        typer.echo("the same command tries them again", err=True)
    console.print(f"report: {out / 'report.html'}; tables: leaderboard.csv, comparison/pairs.csv")


def _interval(interval: object) -> str:
    mean, low, high = (getattr(interval, name) for name in ("mean", "low", "high"))
    if mean is None:
        return "–"
    return f"{mean:.3f}" if low is None or high is None else f"{mean:.3f} [{low:.3f}, {high:.3f}]"


def _print_status(folder: Path) -> None:
    from delineate.cli.console import make_console
    from delineate.cli.tables import print_table
    from delineate.data.core.findings import count
    from delineate.studies.jobs import all_jobs, time_left
    from delineate.studies.setup import BenchmarkSetup

    setup = BenchmarkSetup.load(folder)
    jobs = all_jobs(folder, setup)
    parts = (count(len(setup.entrants), "method"), count(setup.folds, "fold"), count(setup.seeds, "seed"))
    rows = []
    for job in jobs:
        state = job.state
        minutes = f"{float(job.result()['minutes']):.1f}" if state == "done" else ""
        rows.append([job.entrant.label, state, str(job.fold), str(job.seed), minutes])
    console = make_console()
    title = f"{count(len(jobs), 'run')}: {' × '.join(parts)}"
    print_table(console, ("method", "state", "fold", "seed", "min"), rows, title=title, words=2)
    for job in jobs:
        if job.state == "failed":
            console.print(f"failed: {job.name}: {job.result()['error']}", markup=False)
    left = any(job.state != "done" for job in jobs)
    console.print(time_left(jobs, jobs) if left else "nothing is left to do")


def _print_speed(speeds: list[Speed]) -> None:
    from delineate.cli.console import make_console
    from delineate.cli.tables import print_table

    console = make_console()
    for speed in speeds:
        rows = []
        for what, rates in (("loader alone", speed.loader), ("network alone", speed.network)):
            rows += [[what, rate.setting or "as set", f"{rate.images_per_second:.1f}"] for rate in rates]
        title = f"{speed.method} on {speed.device}, batch {speed.batch_size}"
        print_table(console, ("what", "setting", "images/s"), rows, title=title, words=2)
        for line in speed.advice():
            console.print(f"• {line}")
