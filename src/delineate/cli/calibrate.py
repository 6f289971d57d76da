"""`delineate calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from delineate.cli.made import taking
from delineate.cli.progress import progress
from delineate.requests.calibrate import CalibrateOptions

if TYPE_CHECKING:
    from delineate.engine.calibrate import Calibration

__all__ = ["calibrate"]


@taking(CalibrateOptions)
def calibrate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    **given: Any,
) -> None:
    """Choose the post-processing of a model's masks on its validation cases: threshold, components, holes.

    Tried are the threshold (one foreground class, or regions), and for each
    class or region: all components or the largest, none below a size, holes
    filled. A step is adopted where it raises the mean Dice of the validation
    cases (column all) by more than 0.001 and more than its standard error. No
    training or test case is looked at. The choice is stored in the model, where predict finds it; probability
    maps stay as they are.

    \b
    delineate calibrate runs/liver
    delineate predict runs/liver scans/ --out masks
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
    from delineate.cli.tables import print_table
    from delineate.data.core.findings import count

    console = make_console()
    if result.before is not None and result.after is not None:
        rows = [
            [one.what, one.best, f"{one.gain:+.4f} ± {one.error:.4f}", "yes" if one.adopted else "no"]
            for one in result.trials
        ]
        print_table(
            console,
            ("step", "best", "Dice", "adopted"),
            rows,
            title="steps, each with what it gains ± its standard error over the cases",
            words=2,
        )
        rows = [[name, f"{dice:.4f}", f"{result.after[name]:.4f}"] for name, dice in result.before.items()]
        title = f"mean Dice, column all, {count(result.cases, 'validation case')}"
        print_table(console, ("class or region", "before", "after"), rows, title=title)
        if not result.predicted:
            console.print("the masks are those that the run keeps; nothing was predicted", soft_wrap=True)
    if result.remark is not None:
        console.print(result.remark, soft_wrap=True, markup=False)
    if result.postprocessing is None and result.before is not None:
        console.print("no step gains enough: the model has no post-processing")
    else:
        console.print(f"post-processing of the model: {result.words}", soft_wrap=True, markup=False)
