"""The verbs together, and the entry point that turns errors into one line and an exit code."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import typer

from delineate.cli import (
    benchmark,
    calibrate,
    compare,
    data,
    demo,
    drift,
    evaluate,
    export,
    fewshot,
    importing,
    info,
    methods,
    metrics,
    predict,
    serve,
    strategies,
    study,
    train,
    weights,
)
from delineate.cli.verb import Verb
from delineate.common.errors import DelineateError
from delineate.common.terminal import make_printable, one_line

__all__ = ["app", "main"]

app = typer.Typer(
    name="delineate",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train, compare and run networks for medical image segmentation.",
    epilog="Start with [bold]delineate demo[/bold], or: [bold]delineate data check DIR[/bold], "
    "[bold]delineate train DIR --method condseg --preset small --out RUN[/bold], "
    "[bold]delineate predict RUN image.png --out masks[/bold].",
)
app.command("demo", cls=Verb)(demo.demo)
app.command("methods", cls=Verb)(methods.methods)
app.command("strategies", cls=Verb)(strategies.strategies)
app.command("metrics", cls=Verb)(metrics.metrics)
app.add_typer(data.app, name="data")
app.command("train", cls=Verb)(train.train)
app.command("info", cls=Verb)(info.info)
app.command("calibrate", cls=Verb)(calibrate.calibrate)
app.command("drift", cls=Verb)(drift.drift)
app.command("predict", cls=Verb)(predict.predict)
app.command("evaluate", cls=Verb)(evaluate.evaluate)
app.command("compare", cls=Verb)(compare.compare)
app.command("benchmark", cls=Verb)(benchmark.benchmark)
app.add_typer(study.app, name="study")
app.command("export", cls=Verb)(export.export)
app.command("serve", cls=Verb)(serve.serve)
app.add_typer(serve.keys, name="serve-keys")
app.add_typer(fewshot.app, name="fewshot")
app.add_typer(weights.app, name="weights")
app.command("import", cls=Verb)(importing.import_checkpoint)


def _version(wanted: bool) -> None:
    if wanted:
        from delineate.common.versions import version as of_this

        typer.echo(f"delineate {of_this()}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """One line for the user, without the place in the code."""
    print(f"warning: {one_line(str(message))}", file=sys.stderr)


def main() -> None:
    """Entry point: a `DelineateError`, or what no verb takes, becomes one line on stderr and its exit code (2; 130 after an
    interruption)."""
    make_printable()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            code = app(standalone_mode=False)
        raise SystemExit(code or 0)
    except DelineateError as error:
        if error.told_elsewhere:
            raise SystemExit(0) from None  # a code other than 0 would make the launcher kill the process that tells it
        prefix = "" if error.exit_code == 130 else "error: "
        print(f"{prefix}{one_line(str(error))}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        raise SystemExit(_tell_misuse(error)) from None


def _tell_misuse(error: Any) -> int:
    """What was typed is no command of ours: one line. The parser's errors have no public name that all versions of Typer share."""
    if type(error).__name__ != "NoArgsIsHelpError":  # of that one the help was shown
        where = f" (see {error.ctx.command_path} --help)" if getattr(error, "ctx", None) is not None else ""
        print(f"error: {one_line(error.format_message()).rstrip('.')}{where}", file=sys.stderr)
    return int(error.exit_code)
