"""`delineate calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from delineate.cli.made import taking
from delineate.cli.progress import progress
from delineate.requests.calibrate import CalibrateOptions

if TYPE_CHECKING:
    from rich.console import Console

    from delineate.artefact.calibration import CalibrationRecord
    from delineate.engine.calibrate import Calibration

__all__ = ["calibrate"]


@taking(CalibrateOptions)
def calibrate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    **given: Any,
) -> None:
    """Calibrate a model on its validation cases: temperature, threshold, post-processing, expected Dice.

    Temperatures are adopted where they lower the negative log-likelihood of held-out
    cases. Then the threshold is tried (one foreground class, or regions), and for each
    class or region: all components or the largest, none below a size, holes
    filled. A step is adopted where it raises the mean Dice of the validation
    cases (column all) by more than 0.001 and more than its standard error. At last a
    regression tells the Dice of a mask by how sure the model is of it. No
    training or test case is looked at. All is stored in the model, where predict
    finds it, and told in calibration.html beside it.

    \b
    delineate calibrate runs/liver
    delineate predict runs/liver scans/ --out masks --calibrated --review review.csv
    delineate predict runs/liver scans/ --out raw --no-postprocess
    delineate calibrate runs/liver --remove
    """
    from delineate.common.missing_paths import refuse_missing_model

    refuse_missing_model(run)
    from delineate.api import calibrate as choose

    with progress("predicting") as report:
        result = choose(run, **given, progress=report)
    _print(result)


def _print(result: Calibration) -> None:
    from delineate.cli.console import make_console

    console = make_console()
    if result.record is not None:
        _print_record(console, result, result.record)
        _print_masks(console, result)
    if result.remark is not None:
        console.print(result.remark, soft_wrap=True, markup=False)
    if result.record is None:
        return
    for line in result.record.remarks:
        console.print(line, soft_wrap=True, markup=False)
    console.print(f"temperatures of the model: {result.record.words}", markup=False)
    if result.postprocessing is None:
        console.print("no step of the post-processing gains enough: the model has none")
    else:
        console.print(f"post-processing of the model: {result.words}", soft_wrap=True, markup=False)
    if result.record.expected_dice is not None:
        console.print(f"expected Dice: {result.record.expected_dice.words}", soft_wrap=True, markup=False)
    console.print(f"report: {result.run / 'calibration.html'}", soft_wrap=True, markup=False)


def _print_record(console: Console, result: Calibration, record: CalibrationRecord) -> None:
    from delineate.cli.tables import print_table
    from delineate.data.core.findings import count

    if record.figures is None:
        return
    rows = [
        [one.what, one.found, f"{one.gain:+.4f} ± {one.error:.4f}", "yes" if one.adopted else "no"]
        for one in result.steps
    ]
    title = "temperatures: by how much they lower the NLL of held-out cases ± its standard error"
    print_table(console, ("step", "found", "NLL less by", "adopted"), rows, title=title, words=2)
    title = (
        f"probabilities of {count(record.cases, 'validation case')} of {count(record.groups, 'group')}, [95 % interval]; "
        f"after: {record.folds}-fold cross-validation"
    )
    print_table(console, ("measure", "before", "after", "change"), record.figures.rows, title=title)


def _print_masks(console: Console, result: Calibration) -> None:
    from delineate.cli.tables import print_table
    from delineate.data.core.findings import count

    if result.before is None or result.after is None:
        return
    rows = [
        [one.what, one.best, f"{one.gain:+.4f} ± {one.error:.4f}", "yes" if one.adopted else "no"]
        for one in result.trials
    ]
    title = "post-processing: steps, each with what it gains ± its standard error over the cases"
    print_table(console, ("step", "best", "Dice", "adopted"), rows, title=title, words=2)
    rows = [[name, f"{dice:.4f}", f"{result.after[name]:.4f}"] for name, dice in result.before.items()]
    title = f"mean Dice, column all, {count(result.cases, 'validation case')}"
    print_table(console, ("class or region", "before", "after"), rows, title=title)
