"""`delineate serve`, and the keys of those who may use it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from delineate.cli.made import taking
from delineate.cli.verb import Verb
from delineate.common.errors import DelineateError
from delineate.requests.serve import ServeOptions

__all__ = ["add", "keys", "list_", "remove", "serve"]


@taking(ServeOptions)
def serve(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]MODEL...",
            help="A model.safetensors, a run folder or an exported .onnx file; NAME is its part of the address, else that of "
            "its folder or file.",
        ),
    ],
    **given: Any,
) -> None:
    """Serve models over HTTP: segmentation, jobs, metrics. Needs the package's extra `serve`.

    Listens to this machine alone unless --host says otherwise. Uploads are kept
    in memory, and nothing of them is logged. Ctrl-C or SIGTERM finishes what was
    accepted, then stops. docs/how-to/serve.md has examples with curl.

    \b
    delineate serve runs/polyps
    curl --data-binary @image.png 'http://127.0.0.1:8000/v1/models/polyps:segment' -o mask.png
    delineate serve polyps=runs/polyps hearts=hearts.onnx --port 9000
    delineate serve-keys add ward3 --keys keys.txt
    delineate serve runs/polyps --host 0.0.0.0 --keys keys.txt
    """
    from delineate.api.serving import named, serve_models
    from delineate.common.missing_paths import refuse_missing_model

    pairs = [_pair(text) for text in models]
    for _, path in pairs:
        refuse_missing_model(path)
    _log_ours_alone()
    sys.setswitchinterval(0.001)  # the loop of events waits no longer for threads that decode
    serve_models(named(pairs), told=lambda line: typer.echo(line, err=True), **given)


def _log_ours_alone() -> None:
    """Readers of formats warn of what they find in headers, which may tell who a patient is: it goes nowhere."""
    import logging
    import warnings

    logging.getLogger().addHandler(logging.NullHandler())
    log, handler = logging.getLogger("delineate.serve"), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    warnings.simplefilter("ignore")


def _pair(text: str) -> tuple[str, Path]:
    """Name, which may be '', and path; a path that is there is no name with one."""
    name, found, path = text.partition("=")
    if not found or Path(text).exists():
        return "", Path(text)
    if not path:
        raise DelineateError(f"'{text}' names no model: give {text}MODEL, a run folder or a model's file")
    return name, Path(path)


keys = typer.Typer(no_args_is_help=True, help="Keys of those who may use `delineate serve`.")

_File = Annotated[Path, typer.Option("--keys", metavar="FILE", help="The file of keys. It holds hashes alone.")]
_Name = Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is; the server's log has it.")]


@keys.command(cls=Verb)
def add(name: _Name, file: _File) -> None:
    """Make a key, print it once, and add its hash to the file (made if absent).

    A server that runs reads the file again on SIGHUP.

    \b
    delineate serve-keys add ward3 --keys keys.txt
    """
    from delineate.serve.auth import add_key

    key = add_key(file, name)
    typer.echo(key)
    typer.echo(f"this is the only time that the key is shown: {file} has its hash alone", err=True)


@keys.command("list", cls=Verb)
def list_(file: _File) -> None:
    """List whose keys there are, and since when.

    \b
    delineate serve-keys list --keys keys.txt
    """
    from delineate.serve.auth import list_keys

    for key in list_keys(file):
        typer.echo(f"{key.name}  {key.added}  sha256 {key.sha256[:12]}…")


@keys.command(cls=Verb)
def remove(name: _Name, file: _File) -> None:
    """Remove a key: who has it is refused from the server's next SIGHUP or start on.

    \b
    delineate serve-keys remove ward3 --keys keys.txt
    """
    from delineate.serve.auth import remove_key

    remove_key(file, name)
    typer.echo(f"removed {name}")
