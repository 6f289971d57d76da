"""`delineate fewshot`: train on episodes, then segment what a few annotated images show."""

from __future__ import annotations

from typing import Any

import typer

from delineate.cli import fewshot_episodes, fewshot_evaluate, fewshot_predict, options
from delineate.cli.made import taking
from delineate.cli.train import refuse_early, rehearse, start
from delineate.cli.verb import Verb
from delineate.requests.data import DataOptions
from delineate.requests.train import TrainOptions

__all__ = ["app", "train"]

app = typer.Typer(no_args_is_help=True, help="Few-shot segmentation: train on episodes, segment by a few examples.")
app.command("predict", cls=Verb)(fewshot_predict.predict)
app.command("episodes", cls=Verb)(fewshot_episodes.episodes)
app.command("evaluate", cls=Verb)(fewshot_evaluate.evaluate)


@app.command(cls=Verb)
@taking(TrainOptions, DataOptions)
def train(data: options.Slices, dry_run: options.DryRun = False, **given: Any) -> None:
    """Train a few-shot method on episodes. The same as `delineate train`, for few-shot methods only.

    \b
    delineate fewshot train slices/ --method alpnet --preset small --out runs/alpnet
    delineate fewshot train slices/ --method alpnet --preset small --exclude-classes 1 --out runs/without-class-1
    delineate fewshot train volumes/ --method panet --preset small --episodes supervoxel --out runs/panet
    delineate fewshot train slices/ --method alpnet --preset small --out runs/alpnet --resume
    """
    refuse_early(data, given)
    if dry_run:
        rehearse(data, given)
        return
    from delineate.api import fewshot_train as run

    start(run, data, given)
