"""`delineate weights`: the local store of encoder weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from delineate.cli.made import taking
from delineate.cli.verb import Verb
from delineate.requests.weights import AddWeightsOptions

if TYPE_CHECKING:
    from delineate.nn.encoders.store import StoredRecord

__all__ = ["add", "app", "list_", "remove", "show"]

app = typer.Typer(no_args_is_help=True, help="Keep pretrained weights of encoders: add files, list them.")


@app.command("list", cls=Verb)
def list_(as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False) -> None:
    """List the encoder weights of the local store: name, encoder, license, hash, input statistics.

    \b
    delineate weights list
    delineate train polyps/ --method unet --set method.encoder.pretrained=NAME --out runs/unet
    """
    from delineate.api import list_weights

    records = list_weights()
    if as_json:
        _print_json([record.to_json() for record in records])
        return
    from delineate.cli.console import make_console
    from delineate.cli.tables import print_table

    console = make_console()
    if not records:
        console.print("the store is empty; `delineate weights add FILE` puts weights into it")
        return
    head = ("name", "encoder", "license", "sha256", "mean", "std")
    rows = []
    for one in records:
        mean, std = (
            ", ".join(f"{value:g}" for value in values) for values in (one.statistics.mean, one.statistics.std)
        )
        rows.append([one.name, one.encoder, one.license, f"{one.sha256[:12]}…", mean, std])
    print_table(console, head, rows, words=len(head))


@app.command(cls=Verb)
@taking(AddWeightsOptions)
def add(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A .safetensors file, or a torch file (.pth, .pt) of plain tensors.")
    ],
    **given: Any,
) -> None:
    """Put a file of weights into the local store, for training to start from.

    The file is read weights-only: nothing in it is executed. Names of timm,
    torchvision, efficientnet_pytorch and DINOv2 are made timm's, and each
    tensor is compared with the network; the first that does not fit is named.
    Name, license and hash go with models that start from the weights, the
    place of the file does not.

    \b
    delineate weights add resnet50-11ad3fa6.pth --encoder resnet50 --license bsd-3-clause --name tv-resnet50
    delineate weights add mine.safetensors --encoder convnext_tiny --license "our own" --mean 0.5,0.5,0.5 --std 0.5,0.5,0.5
    """
    from delineate.api import add_weights

    record = add_weights(file, **given)
    _print(record)
    typer.echo(
        f"use them with --set method.encoder.name={record.encoder} --set method.encoder.pretrained={record.name}"
    )


@app.command(cls=Verb)
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `delineate weights list` has it.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say all that is known of weights in the local store.

    \b
    delineate weights show tv-resnet50
    """
    from delineate.api import list_weights

    (record,) = list_weights(name)
    if as_json:
        _print_json(record.to_json())
    else:
        _print(record)


@app.command(cls=Verb)
def remove(name: Annotated[str, typer.Argument(metavar="NAME", help="As `delineate weights list` has it.")]) -> None:
    """Remove weights from the local store. Models that started from them stay as they are.

    \b
    delineate weights remove tv-resnet50
    """
    from delineate.api import remove_weights

    record = remove_weights(name)
    typer.echo(f"removed {record.name} ({record.encoder}, {record.values / 1e6:.2f} M numbers)")


def _print(record: StoredRecord) -> None:
    from delineate.cli.console import make_console

    console = make_console()
    console.print(record.name)
    sure = {"assumed": "assumed: nothing tells", "stated": "as stated"}.get(
        record.statistics_from, f"as {record.statistics_from} has it"
    )
    for line in (
        f"encoder {record.encoder}",
        f"license {record.license}",
        f"input {record.statistics.words} ({sure})",
        f"{record.values / 1e6:.2f} M numbers, named as {record.names} does",
        f"sha256 of the file {record.sha256}",
        f"added {record.date}",
    ):
        console.print(f"  {line}")


def _print_json(content: Any) -> None:
    import json

    typer.echo(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False))
