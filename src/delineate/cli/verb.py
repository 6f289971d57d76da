"""A verb that is stopped with Ctrl-C says what was kept, and what to do next."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from typer import BadParameter
from typer.core import TyperCommand

from delineate.common.class_fields import Place, fields_of
from delineate.common.errors import DelineateError, Interrupted
from delineate.common.names import name_here

__all__ = ["KEPT", "Verb"]

_TRAINING = "nothing was kept in --out; run the same command to start again"
_STARTED = "run the same command with --resume to continue from the last checkpoint"
_MASKS = "the masks written so far are in --out, which has no predictions.json; --overwrite makes all of them again"
KEPT = {
    "demo": "the results so far are in --out; remove that folder to start again",
    "methods": "nothing was written",
    "strategies": "nothing was written",
    "metrics": "nothing was written",
    "data check": "nothing was changed, and no clean copy was made",
    "data split": "no manifest was written",
    "data convert": "nothing was written to --out",
    "train": _TRAINING,
    "info": "nothing was written",
    "drift": "the model is as it was",
    "calibrate": "the model is as it was",
    "predict": _MASKS,
    "evaluate": "no new scores were written",
    "export": "no file was written",
    "compare": "no new comparison was written",
    "benchmark": "finished runs are kept; run the same command to continue",
    "study labels": "finished runs are kept; run the same command to continue",
    "study suggest": "no list was written",
    "fewshot train": _TRAINING,
    "fewshot predict": _MASKS,
    "fewshot evaluate": "no new scores were written",
    "fewshot episodes": "no file of episodes was written",
    "weights list": "nothing was written",
    "weights add": "no weights were added",
    "weights show": "nothing was written",
    "weights remove": "the store may still have the weights",
    "serve": "nothing of the requests was kept",
    "serve-keys add": "no key was made",
    "serve-keys list": "nothing was written",
    "serve-keys remove": "the key may still be there",
    "import": "no model was written",
}
"""Verb → what a stop at any moment leaves. Where more is known (training, benchmarks), the verb says it itself."""


_OUT_OF_RANGE = re.compile(r"should be (greater|less) than or equal to (\S+)")
_ENGINE = Place("delineate.engine.recipe", "EngineSection")
_WITH_ENGINE = ("train", "benchmark", "labels")
"""Commands whose `--set` reaches that section."""


class Verb(TyperCommand):
    """A command of ours."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except BadParameter as error:
            if (bound := _OUT_OF_RANGE.search(error.message)) and error.param is not None:
                asked = "or more" if bound[1] == "greater" else "or less"
                raise DelineateError(f"{error.param.opts[0]}: give {bound[2]} {asked}") from None
            error.message = error.message.removeprefix("Value error, ")
            raise
        except Exception as error:  # Typer's NoSuchOption, which has no public name in every version
            if (setting := self._setting_called(getattr(error, "option_name", ""))) is not None:
                error.message = f"{error.option_name} is a setting of the recipe: --set {setting}=VALUE"  # type: ignore[attr-defined]
                error.possibilities = None  # type: ignore[attr-defined]
            raise

    def _setting_called(self, option: str) -> str | None:
        """The key of the recipe's `engine` for an unknown option such as `--lr`, in commands that train."""
        if self.name not in _WITH_ENGINE:
            return None
        key = name_here(option.lstrip("-").replace("-", "_"))
        return f"engine.{key}" if key in (fields_of(_ENGINE) or {}) else None

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted(f"stopped by Ctrl-C; {_kept(ctx)}") from None


def _kept(ctx: Any) -> str:
    kept = KEPT[_name(ctx)]
    out = ctx.params.get("out")  # a path, or with earlier versions of Typer still the word that was typed
    return _STARTED if kept == _TRAINING and out is not None and Path(out, "run.json").is_file() else kept


def _name(ctx: Any) -> str:
    """The words behind `delineate`."""
    return "" if ctx.parent is None else f"{_name(ctx.parent)} {ctx.info_name}".strip()
