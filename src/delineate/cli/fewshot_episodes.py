"""`delineate fewshot episodes`."""

from __future__ import annotations

from typing import Any

import typer

from delineate.cli import options
from delineate.cli.made import part, taking
from delineate.requests.data import DataOptions
from delineate.requests.fewshot import EpisodesOptions

__all__ = ["episodes"]


@taking(EpisodesOptions, DataOptions)
def episodes(
    data: options.Slices,
    **given: Any,
) -> None:
    """Draw the support and query slices of a test and save them, with the hashes of all files they use.

    Support and query never come from the same patient. chunk3 assumes that the
    labeled extent of the query is known, as is usual in the literature.

    \b
    delineate fewshot episodes slices/ --protocol chunk3 --out chunk3.json
    delineate fewshot episodes slices/ --protocol middle --shots 2 --seed 1 --support-split train --out middle.json
    delineate fewshot episodes polyps/ --protocol any2d --shots 5 --draws 3 --out polyps.json
    """
    from delineate.common.missing_paths import refuse_missing

    refuse_missing(data)
    from delineate.api import fewshot_episodes as run

    made = run(options.source(data, **part(DataOptions, given)), **part(EpisodesOptions, given))
    typer.echo(f"protocol {made.protocol}, {made.shots}-shot: {made.words}")
    for label in made.labels:
        of_class = [episode for episode in made.episodes if episode.label == label]
        shown = sorted({one.volume for episode in of_class for one in episode.support})
        typer.echo(
            f"{made.class_names[label]}: {len(of_class)} queries, {sum(len(one.scored) for one in of_class)} slices; support from "
            f"{', '.join(shown)}"
        )
    typer.echo(f"{len(made.episodes)} episodes over {len(made.files)} files, named {made.digest}, in {given['out']}")
