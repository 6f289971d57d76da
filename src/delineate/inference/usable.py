"""Whether a model can predict, and by which verb."""

from __future__ import annotations

from pathlib import Path

from delineate.artefact.format import Artefact
from delineate.artefact.header import read_header
from delineate.common.errors import ArtefactError
from delineate.methods.contract import Method
from delineate.methods.registry import method_class

__all__ = ["check_usable", "check_usable_file"]


def check_usable(artefact: Artefact, kind: str) -> None:
    """Raise `ArtefactError` for a model that is only partly trained, or whose method is of another kind than `kind`."""
    _check(type(artefact.method), artefact.complete, kind)


def check_usable_file(path: Path | str, kind: str) -> None:
    """The same by the header of a model's file, before weights and images are read."""
    header = read_header(path)
    _check(method_class(header.method), header.complete, kind)


def _check(method: type[Method], complete: bool, kind: str) -> None:
    if not complete:
        raise ArtefactError(
            f"this {method.info.name} model is only partly trained (an early stage or an encoder): train from it "
            f"with --init, then predict with the result"
        )
    if method.kind != kind:
        raise ArtefactError(_right_verb(method))


def _right_verb(method: type[Method]) -> str:
    if method.kind == "dense":
        return f"method '{method.info.name}' segments an image alone, without examples; use `delineate predict`"
    return f"method '{method.info.name}' segments by examples; use `delineate fewshot predict` with --support"
