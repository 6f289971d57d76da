"""`delineate info`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from delineate.common.errors import DelineateError

if TYPE_CHECKING:
    from delineate.inference.model_info import ModelInfo

__all__ = ["info"]


def info(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A model.safetensors, a run folder, or an exported .onnx file.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    card: Annotated[bool, typer.Option("--card", help="Print the model's card (Markdown) instead of tables.")] = False,
) -> None:
    """Say what a model is: classes, input, training data, scores with intervals, licenses.

    All of it is in the model file. No weights are loaded, nothing in the file is
    executed, and no folder of the machine it was made on is shown.

    \b
    delineate info runs/condseg
    delineate info model.safetensors --json
    delineate info model.safetensors --card
    """
    from delineate.common.missing_paths import refuse_missing_model

    if as_json and card:
        raise DelineateError("--json and --card are two answers; give one of them")
    refuse_missing_model(model)
    from delineate.api import info as read

    found = read(model)
    if as_json:
        import json

        typer.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False, allow_nan=False))
    elif card:
        from delineate.inference.model_card import model_card

        typer.echo(model_card(found), nl=False)
    else:
        _print(found)


def _print(found: ModelInfo) -> None:
    from delineate.cli.console import make_console, warn
    from delineate.cli.tables import print_table
    from delineate.inference.model_card import class_rows, facts, score_table

    console = make_console()
    for section, lines in facts(found).items():
        console.print(section)
        for line in lines:
            console.print(f"  {line}")
        if section == "Model":
            head, rows = class_rows(found)
            print_table(console, head, rows, words=len(head))
    if (table := score_table(found)) is not None:
        print_table(console, table.head, table.rows, title=f"validation scores: {table.title}")
    for line in found.remarks:
        warn(line)
