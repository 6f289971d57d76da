"""`delineate fewshot evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from delineate.cli import options
from delineate.cli.made import part, taking
from delineate.cli.progress import progress
from delineate.requests.data import LabeledOptions
from delineate.requests.fewshot import FewshotEvaluateOptions

__all__ = ["evaluate"]


@taking(FewshotEvaluateOptions, LabeledOptions)
def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A run folder or model file; copy-support-mask or nearest-color (baselines that learn nothing); or "
            "METHOD@PRESET:untrained (a method with its first weights).",
        ),
    ],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="The dataset from which the episodes were drawn.")],
    **given: Any,
) -> None:
    """Score a few-shot model on fixed episodes: Dice of the voxels of each query volume, means with 95 % intervals.

    Every table names the protocol. The folders can be compared by `delineate
    compare` if their episodes are the same.

    \b
    delineate fewshot evaluate runs/alpnet slices/ --episodes chunk3.json --out scores/alpnet
    delineate fewshot evaluate runs/without-rv slices/ --episodes chunk3.json --classes RV --setting 2 --out scores/rv
    delineate fewshot evaluate copy-support-mask slices/ --episodes chunk3.json --out scores/copy
    delineate fewshot evaluate alpnet@tiny:untrained slices/ --episodes chunk3.json --out scores/untrained
    delineate fewshot evaluate alpnet@small:untrained slices/ --episodes chunk3.json --set method.width=null --out scores/features
    """
    import json

    from delineate.common.missing_paths import refuse_missing
    from delineate.common.untrained_name import UNTRAINED, method_and_preset
    from delineate.engine.typo_checks import refuse_typos

    refuse_missing(data, given["episodes"])
    if model.endswith(UNTRAINED):
        refuse_typos(*method_and_preset(model), given["settings"])
    from delineate.api import fewshot_evaluate as run
    from delineate.cli.evaluate import print_evaluation

    source, out = options.source(data, **part(LabeledOptions, given)), given["out"]
    with progress("episodes") as report:
        evaluation = run(model, source, **part(FewshotEvaluateOptions, given), progress=report)
    about = json.loads((out / "scores.json").read_text(encoding="utf-8"))["fewshot"]
    settings = ", ".join(f"{name}: setting {which}" for name, which in about["settings"].items())
    print_evaluation(evaluation, out)
    typer.echo(f"{about['candidate']}: {about['training']}; {settings}")
