"""`delineate data`: look at a data set before training on it, clean it, and deal it into folds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from delineate.cli import options
from delineate.cli.made import part, taking
from delineate.cli.progress import progress
from delineate.cli.verb import Verb
from delineate.requests.data import ConvertOptions, DataOptions, LabeledOptions, ReadOptions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rich.console import Console

    from delineate.data.core.findings import Finding
    from delineate.data.core.manifest import Manifest
    from delineate.data.doctor.check import CheckReport

__all__ = ["app", "check", "convert", "split"]

app = typer.Typer(no_args_is_help=True, help="Check a dataset before training, clean it, split it into folds.")

_OF_SETS = ("images", "masks", "labels", "codes", "group_by", "unmarked")
"""Options that say something of images with masks."""
_COLORS = {"error": "bold red", "warning": "yellow", "note": "cyan"}
_NAMES = re.compile(r"\S*[/\\]\S*|\d\S*")
"""What differs between findings of one kind: paths and numbers."""
_MOST_ALIKE, _SHOWN_ALIKE = 8, 5
"""Of more findings of one kind than these, so many are printed."""


@app.command(cls=Verb)
@taking(DataOptions, ReadOptions)
def check(
    data: Annotated[
        list[Path],
        typer.Argument(
            metavar="DATA...",
            help="Folder of images and masks, a CSV file, or a manifest.json; or files of images, as `predict` takes them.",
        ),
    ],
    fix: Annotated[
        Path | None,
        typer.Option(metavar="OUT", help="Write a clean copy and a log of every change into this new folder."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page (HTML) with pictures of what was found.")
    ] = None,
    **given: Any,
) -> None:
    """Check a dataset: matched files, label values, duplicates, splits and balance; list every problem and how to fix it.

    The exit code is 2 if training could not use the data.

    Examples:

        delineate data check polyps/ --report polyps.html

        delineate data check polyps/ --fix polyps-clean/

        delineate data check slides/ --max-megapixels 1000

        delineate data check studies/ --masks '*_liver.dcm'

    DICOM studies are read as archives export them: SEG and RTSTRUCT files are masks of the series that they refer to.

        delineate data check study/*.dcm

    Several files, and single DICOM files, are looked at as images alone: which there are, and whether each can be predicted.
    """
    from rich.console import Console

    from delineate.common.missing_paths import refuse_missing

    refuse_missing(*data)
    from delineate.inference.dicom_inputs import is_dicom_file

    if len(data) > 1 or is_dicom_file(data[0]):
        _check_files(data, fix, report, given)
        return
    (folder,) = data
    from delineate.data.doctor.check import check as examine_folder
    from delineate.data.doctor.fix import check_target, write_fixed

    if fix is not None:
        check_target(folder, fix)
    if report is not None:
        from delineate.common.output_checks import check_result_file
        from delineate.report.html.document import SIGNATURE

        check_result_file(report, [SIGNATURE], "page")
    pixels = given["max_pixels"]
    source = options.source(folder, **part(DataOptions, given))
    with progress("reading") as told:
        found = examine_folder(source, max_pixels=pixels, progress=told)
    console = Console()
    _show(found, console)
    if report is not None:
        from delineate.report.pages.data_check import write_data_report

        console.print(f"report: {write_data_report(found, report)}", highlight=False, soft_wrap=True, markup=False)
    if fix is not None:
        from delineate.data.core.findings import count

        fixed = write_fixed(found, fix, max_pixels=pixels)
        changes = count(len(fixed.changes), "change")
        words = (
            f"clean copy: {count(fixed.cases, 'case')} in {fixed.folder}; {changes} in {fixed.folder / 'changes.csv'}"
        )
        console.print(words, highlight=False, soft_wrap=True, markup=False)
    elif not found.usable:
        raise typer.Exit(2)


@app.command(cls=Verb)
@taking(DataOptions, ReadOptions)
def split(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Folder with images and masks; for --list and --labeled, a manifest too."),
    ],
    out: Annotated[Path, typer.Option(metavar="MANIFEST", help="JSON file to write.")],
    folds: Annotated[int | None, typer.Option(metavar="K", help="Number of folds.")] = None,
    published: Annotated[
        str | None,
        typer.Option("--list", metavar="NAME", help="Published split by patient: synapse-transunet or acdc-mtunet."),
    ] = None,
    labeled: Annotated[
        str | None,
        typer.Option(
            metavar="F|FILE",
            help="Fraction of the training groups that keep their masks, or a file that lists the cases; the others become "
            "unlabeled.",
        ),
    ] = None,
    labeled_cases: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="The same as a number of cases, drawn by whole groups.")
    ] = None,
    labeled_groups: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="The same as a number of groups.")
    ] = None,
    test_fraction: Annotated[
        float | None,
        typer.Option(
            metavar="F",
            help="Fraction of the cases to hold out for testing; default: the test list of the dataset, if any.",
            callback=options.finite,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed.", min=0, callback=options.check_seed)] = 0,
    **given: Any,
) -> None:
    """Split a dataset into K folds and a test split: by group, with copies kept together, stratified by class and foreground size.

    Or, without folds: apply a division that a paper has published (--list), and take the masks of most training cases away
    (--labeled), to study methods that learn from images without. With none of these, the division that `train` would use (the
    lists of the dataset, or what --seed draws) is written down, so that others can train on it.

    The manifest holds the hash of every file, so that the same folds are found again on the same files only.

    Examples:

        delineate data split heart/ --folds 5 --group-by 'patient[0-9]+' --test-fraction 0.2 --out heart.json

        delineate train heart.json --fold 0 --method unet --out runs/heart-0

        delineate data split ACDC/ --list acdc-mtunet --labeled 0.1 --out acdc-7-patients.json
    """
    from rich.console import Console

    from delineate.common.errors import DataError
    from delineate.common.missing_paths import refuse_missing

    refuse_missing(folder)
    from delineate.data.splits.folds import split_data
    from delineate.data.splits.label_budget import parse_budget
    from delineate.data.splits.resplit import resplit

    budget = parse_budget(labeled, labeled_cases, labeled_groups, seed)
    if folds is not None and not (published is None and budget is None):
        raise DataError(
            "data split: --folds deals all cases anew; --list and --labeled are for a division without folds"
        )
    if folds is None and test_fraction is not None:
        raise DataError("--test-fraction draws a test split beside folds; give --folds with it")
    if out.exists():
        raise DataError(
            f"{out} exists already; a manifest of splits is never overwritten: give another --out or remove it"
        )
    with progress("reading") as told:
        pixels = given["max_pixels"]
        source = options.source(folder, **part(DataOptions, given))
        if folds is None:
            found = resplit(
                source,
                published=published,
                labeled=budget,
                seed=seed,
                max_pixels=pixels,
                progress=told,
            )
        else:
            found = split_data(
                source,
                folds=folds,
                test_fraction=test_fraction,
                seed=seed,
                max_pixels=pixels,
                progress=told,
            )
    found.manifest.save(out)
    console = Console()
    _show_parts(found.manifest, console)
    _show_findings(found.findings, console)
    console.print(f"manifest: {out}", highlight=False, soft_wrap=True, markup=False)


@app.command(cls=Verb)
@taking(ConvertOptions, LabeledOptions)
def convert(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Folder, packed file, zip or tar file, CSV file, or a manifest.json.")
    ],
    **given: Any,
) -> None:
    """Write a data set in a form that other tools read: the same masks bit for bit, names of classes and splits kept.

    Images are copied byte for byte where the form allows. What it has no place for is told; masks that it cannot express
    are refused. The folder appears when it is complete.

    Examples:

        delineate data convert kvasirseg_128.npz --to folders --out polyps/

        delineate data convert heart/ --to nnunet --out nnUNet_raw/Dataset501_Heart

        delineate data convert cells.zip --to coco --instances object --out cells-coco/
    """
    from rich.console import Console

    from delineate.common.missing_paths import refuse_missing

    refuse_missing(data)
    from delineate.api.data import convert_data
    from delineate.data.core.findings import count

    source = options.source(data, **part(LabeledOptions, given))
    with progress("converting") as told:
        made = convert_data(source, progress=told, **part(ConvertOptions, given))
    console = Console()
    parts = ", ".join(f"{number} {name}" for name, number in made.splits.items() if name != "none")
    words = f"{count(made.cases, 'case')} ({made.layout}) written to {made.folder} as {made.to}"
    console.print(f"{words}: {parts}" if parts else words, highlight=False, soft_wrap=True, markup=False)
    for note in made.notes:
        console.print(f"note: {note}", highlight=False, soft_wrap=True, markup=False)


def _check_files(files: list[Path], fix: Path | None, report: Path | None, given: Mapping[str, Any]) -> None:
    """Images without masks. Exits with 2 where one cannot be predicted."""
    from rich.console import Console

    from delineate.cli.tables import print_table
    from delineate.common.errors import DataError
    from delineate.inference.check_inputs import check_images

    said = {"--fix": fix, "--report": report, **{f"--{name.replace('_', '-')}": given[name] for name in _OF_SETS}}
    if wrong := [name for name, value in said.items() if value is not None]:
        raise DataError(f"data check: {wrong[0]} is for a data set; give its folder, or leave {wrong[0]} out")
    with progress("reading") as told:
        found = check_images(files, max_pixels=given["max_pixels"], progress=told)
    console = Console()
    _show_findings(found.findings, console)
    if found.rows:
        print_table(console, ("mask", "image"), found.rows, words=2)
    if not found.usable:
        raise typer.Exit(2)


def _show(report: CheckReport, console: Console) -> None:
    from rich.markup import escape
    from rich.table import Table

    _show_findings(report.findings, console, "; --report FILE lists all of them")
    if report.rows:
        table = Table(title=escape(str(report.folder)), show_header=False, title_justify="left")
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in report.rows:
            table.add_row(name, escape(value))
        console.print(table)
    if report.usable:
        console.print("[green]ready to train on[/]")


def _show_findings(findings: Iterable[Finding], console: Console, where_all: str = "") -> None:
    """All kinds of findings; of many that differ in names and numbers alone, the first ones, and `where_all` of them are."""
    from rich.markup import escape

    kinds: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        kinds.setdefault((finding.severity, _NAMES.sub("", finding.text)), []).append(finding)
    for alike in kinds.values():
        shown = alike if len(alike) <= _MOST_ALIKE else alike[:_SHOWN_ALIKE]
        for finding in shown:
            color = _COLORS[finding.severity]
            console.print(f"[{color}]{finding.severity}:[/] {escape(finding.text)}", highlight=False, soft_wrap=True)
            if finding.mend:
                console.print(f"  → {escape(finding.mend)}", highlight=False, soft_wrap=True)
        if more := len(alike) - len(shown):
            console.print(f"  … and {more} more like these{where_all}", highlight=False, soft_wrap=True)


def _show_parts(manifest: Manifest, console: Console) -> None:
    """Folds, or else splits, and the unlabeled cases apart."""
    from delineate.cli.tables import print_table

    console.print(manifest.split_origin, highlight=False, soft_wrap=True, markup=False)
    rows = []
    parts = [(f"fold {fold}", [case for case in manifest.cases if case.fold == fold]) for fold in range(manifest.folds)]
    if not parts:
        parts = [(name, [case for case in manifest.split(name) if case.masks]) for name in ("train", "val")]
    if bare := [case for case in manifest.split("train") if not case.masks]:
        parts.append(("unlabeled", bare))
    for name, cases in [*parts, ("test", list(manifest.split("test")))]:
        groups = {case.group or f"case {case.id}" for case in cases}
        rows.append([name, str(len(cases)), str(len(groups))])
    print_table(console, ("part", "cases", "groups"), rows)
