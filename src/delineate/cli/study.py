"""`delineate study`: many runs that answer one question."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from delineate.cli import options
from delineate.cli.made import part, taking
from delineate.cli.progress import progress
from delineate.cli.verb import Verb
from delineate.common.names import listed
from delineate.requests.data import DataOptions, PoolOptions
from delineate.requests.study import LabelStudyOptions, SuggestOptions

if TYPE_CHECKING:
    from delineate.studies.labels.results import StudyTable
    from delineate.studies.suggest.suggest import LabelSuggestions

__all__ = ["app", "labels", "suggest"]

_SHOWN = 20
"""Rows of suggestions on the console; all are in the list."""

app = typer.Typer(
    no_args_is_help=True,
    help="Studies: what few labels are worth, what other training gains with them, what to label next.",
)


@app.callback()
def _group() -> None:
    pass


@app.command(cls=Verb)
@taking(LabelStudyOptions, DataOptions)
def labels(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Folder of images and masks, a CSV file of them, or a manifest.json; with --status, a study folder.",
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Study folder; a study that is there is continued.")] = None,
    method: Annotated[str | None, typer.Option(help="Method to train; `delineate methods` lists them.")] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only say which runs there would be and how long they take, and keep nothing."),
    ] = False,
    status: Annotated[bool, typer.Option("--status", help="Only show the progress of the study in DATA.")] = False,
    **given: Any,
) -> None:
    """Train one method with few labels in several ways: Dice against number of labels, and what each way gained.

    Labels are drawn by patient, the same for every way of training, and frozen
    in draws.json; no run reads the masks of the other training images. Steps
    and averaged weights are the same for all, and full supervision is trained
    along. Scored is the test split. A study can be stopped at any time: the
    same command continues it and repeats failed runs; strategies and draws may
    be added. The exit code is 1 if a run failed.

    \b
    delineate study labels polyps/ --method unet --strategies supervised,mean-teacher --labeled-cases 40,160 --steps 2000 --out few
    delineate study labels polyps/ --method unet --labeled-cases 40,160 --steps 2000 --out few --dry-run
    delineate study labels hearts/ --method unet --strategies mean-teacher,mean-teacher:weight=1 --labeled-groups 3,7 --out few
    delineate study labels polyps/ --method unet --fractions .05,.1,.2 --validation inside --draws 5 --out few
    delineate study labels few --status
    """
    from delineate.common.errors import DelineateError
    from delineate.common.missing_paths import refuse_missing

    refuse_missing(data)
    if status:
        _print_status(data)
        return
    for name, value in {"--method": method, "--out": out}.items():
        if value is None:
            raise DelineateError(f"{name} is missing")
    _refuse_typos(str(method), given)
    source = options.source(data, **part(DataOptions, given))
    asked: dict[str, Any] = {**part(LabelStudyOptions, given), "out": out, "method": method}
    if dry_run:
        from delineate.api import estimate_study_labels

        for line in estimate_study_labels(source, announce=_say, **asked).lines():
            typer.echo(line)
        return
    from delineate.api import study_labels

    table = study_labels(source, announce=_say, **asked)
    _print_table(table, Path(str(out)))
    if table.failures:
        raise typer.Exit(1)


@app.command(cls=Verb)
@taking(SuggestOptions, PoolOptions)
def suggest(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or a model.safetensors.")],
    pool: Annotated[
        Path,
        typer.Argument(
            metavar="POOL",
            help="Folder of images, a data set with images that have no masks, a CSV file of them, or a manifest.json.",
        ),
    ],
    **given: Any,
) -> None:
    """Suggest which images to label next: those that the model doubts, and those unlike all that is labeled.

    Masks in POOL are never read. Left out are images that the run had masks of,
    its validation and test images and their patients, and near duplicates of
    labeled images. Of a data set, images that have masks are left out; where
    all have some, none is. FILE.csv lists the images in the order chosen, a page
    beside it shows them with the model's mask and doubt. `train --labeled FILE`
    takes the list; with --with-labeled it names the images labeled before, too.

    \b
    delineate study suggest runs/first polyps/ --count 20 --out next.csv
    delineate study suggest runs/first new-images/ --by coverage --out next.csv
    delineate study suggest runs/first hearts/ --count 6 --per-group 2 --out next.csv
    delineate study suggest runs/20-labels polyps/ --with-labeled --out 40-labels.csv
    """
    from delineate.common.missing_paths import refuse_missing, refuse_missing_model

    refuse_missing_model(run)
    refuse_missing(pool)
    source = options.source(pool, **part(PoolOptions, given))
    from delineate.api import suggest_labels

    with progress("reading and predicting") as report:
        found = suggest_labels(run, source, progress=report, **part(SuggestOptions, given))
    _print_suggestions(found)


def _print_suggestions(found: LabelSuggestions) -> None:
    from delineate.cli.console import make_console
    from delineate.cli.tables import print_table

    def shown(value: float | None) -> str:
        return "" if value is None else f"{value:.3g}"

    console = make_console()
    suggested = [row for row in found.rows if row.rank is not None]
    rows = [
        [str(row.rank), row.case, row.group or "", shown(row.doubt), shown(row.distance), row.why]
        for row in suggested[:_SHOWN]
    ]
    print_table(console, ("rank", "case", "group", "doubt", "distance", "why"), rows)
    if len(suggested) > _SHOWN:
        console.print(f"… and {len(suggested) - _SHOWN} more in {found.file}", markup=False)
    for text in found.notes:
        typer.echo(f"note: {text}", err=True)
    console.print(f"list: {found.file}; page: {found.page}", markup=False)


def _refuse_typos(method: str, given: dict[str, Any]) -> None:
    """Before anything heavy is loaded."""
    from delineate.engine.typo_checks import refuse_typos

    names = [one.partition(":")[0] for one in listed(given["strategies"]) if "=" not in one.partition(":")[0]]
    for name in names:
        refuse_typos(method, given["preset"], given["settings"], name)


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _print_table(table: StudyTable, out: Path) -> None:
    from delineate.cli.console import make_console
    from delineate.cli.tables import print_table
    from delineate.report.html.elements import number
    from delineate.studies.labels.setup import LabelSetup
    from delineate.studies.labels.words import bought_words, cautions, conclusions, gap_words, range_words, signed

    title = table.metrics[table.headline]["title"]
    rows = []
    for row in table.rows:
        mean, gained = row.means[table.headline], row.differences.get(table.headline)
        rows.append(
            [
                row.asked,
                row.label,
                f"{row.cases:.0f}",
                f"{number(mean.value)} [{range_words(mean)}]",
                "" if gained is None else f"{signed(gained.value)} [{range_words(gained)}]",
                "" if gained is None else (row.verdict or "no claim"),
                "" if gained is None else gap_words(row),
                "" if gained is None else bought_words(row),
                number(row.passes),
                number(row.minutes),
            ]
        )
    console = make_console()
    head = (
        "labels",
        "way of training",
        "cases",
        title,
        "− supervised",
        "verdict",
        "of the gap",
        "more labels",
        "passes",
        "min",
    )
    print_table(console, head, rows, title="mean over cases, draws and seeds [95 % interval]", words=2)
    setup = LabelSetup.load(out)
    for line in cautions(setup, table):
        console.print(f"note: {line}", markup=False)
    for line in conclusions(setup, table):
        console.print(f"• {line}", markup=False)
    for name, error in table.failures.items():
        typer.echo(f"failed: {name}: {error}", err=True)
    if table.failures:
        typer.echo("the same command tries them again", err=True)
    console.print(f"report: {out / 'report.html'}; table: labels.csv; lists: draws.json")


def _print_status(folder: Path) -> None:
    from delineate.cli.console import make_console
    from delineate.cli.tables import print_table
    from delineate.data.core.findings import count
    from delineate.studies.jobs import time_left
    from delineate.studies.labels.jobs import all_jobs
    from delineate.studies.labels.setup import LabelSetup

    jobs = all_jobs(folder, LabelSetup.load(folder))
    rows = []
    for job in jobs:
        state = job.state
        minutes = f"{float(job.result()['minutes']):.1f}" if state == "done" else ""
        rows.append([job.entrant.label, state, job.words, str(job.draw), str(job.seed), minutes])
    console = make_console()
    head = ("way of training", "state", "labels", "draw", "seed", "min")
    print_table(console, head, rows, title=count(len(jobs), "run"), words=2)
    for job in jobs:
        if job.state == "failed":
            console.print(f"failed: {job.name}: {job.result()['error']}", markup=False)
    left = any(job.state != "done" for job in jobs)
    console.print(time_left(jobs, jobs) if left else "nothing is left to do")
