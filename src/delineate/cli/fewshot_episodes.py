"""`delineate fewshot episodes`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from delineate.cli import options


class Protocol(StrEnum):
    """Which slices are shown and which are asked for."""

    chunk3 = "chunk3"
    middle = "middle"
    any2d = "any2d"


def episodes(
    data: options.Slices,
    protocol: Annotated[
        Protocol,
        typer.Option(
            help="chunk3: three slices of a scan, for the thirds of the query's labelled extent; middle: the middle slice, for all "
            "slices; any2d: slices and images by themselves."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="JSON file for the episodes.")],
    shots: Annotated[int, typer.Option(help="Annotated scans; any2d: images.", min=1)] = 1,
    seed: Annotated[int, typer.Option(help="Draws the supports.", min=0, callback=options.check_seed)] = 0,
    draws: Annotated[
        int, typer.Option(help="How often supports are drawn; each time all else is asked for.", min=1)
    ] = 1,
    split: Annotated[options.Split, typer.Option(help="Of the queries.")] = options.Split.test,
    support_split: Annotated[
        options.Split | None, typer.Option(help="Of the supports.", show_default="that of the queries")
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(metavar="CLASS", help="Test these classes (name or index) only; repeat it or separate by commas."),
    ] = None,
    stack: Annotated[
        str,
        typer.Option(
            metavar="REGEX",
            help="How slice names tell volume and position: auto, none, or groups `volume` and `slice`.",
        ),
    ] = "auto",
    axis: options.Axis = None,
    fold: options.Fold = None,
    images: options.DataImages = None,
    masks: options.DataMasks = None,
    labels: options.DataLabels = None,
    group_by: options.GroupBy = None,
    join: options.JoinCopies = options.Join.near,
) -> None:
    """Freeze which slices are shown and which are asked for, with the hashes of all files they use.

    Support and query are never of the same patient. chunk3 takes the
    query's labelled extent as known, as the literature does.

    \b
    delineate fewshot episodes slices/ --protocol chunk3 --out chunk3.json
    delineate fewshot episodes slices/ --protocol middle --shots 2 --seed 1 --support-split train --out middle.json
    delineate fewshot episodes polyps/ --protocol any2d --shots 5 --draws 3 --out polyps.json
    """
    from delineate.common.absent import refuse_absent

    refuse_absent(data)
    from delineate.api import fewshot_episodes as run
    from delineate.cli.show import names_of

    made = run(
        options.source(data, images, masks, labels, group_by, join),
        out=out,
        protocol=protocol.value,
        shots=shots,
        seed=seed,
        draws=draws,
        split=split.value,
        support_split=None if support_split is None else support_split.value,
        classes=names_of(classes),
        stack=stack,
        axis=axis,
        fold=fold,
    )
    typer.echo(f"protocol {made.protocol}, {made.shots}-shot: {made.words}")
    for label in made.labels:
        of_class = [episode for episode in made.episodes if episode.label == label]
        shown = sorted({one.volume for episode in of_class for one in episode.support})
        typer.echo(
            f"{made.class_names[label]}: {len(of_class)} queries, {sum(len(one.scored) for one in of_class)} slices; support from "
            f"{', '.join(shown)}"
        )
    typer.echo(f"{len(made.episodes)} episodes over {len(made.files)} files, named {made.digest}, in {out}")
