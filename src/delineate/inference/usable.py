"""Whether a model can predict, and by which verb."""

from __future__ import annotations

from delineate.artefact.format import Artefact
from delineate.common.errors import ArtefactError
from delineate.methods.contract import Method

__all__ = ["check_usable"]


def check_usable(artefact: Artefact, kind: str) -> None:
    """Raise `ArtefactError` for a model that is only partly trained, or whose method is of another kind than `kind`."""
    info = artefact.method.info
    if not artefact.complete:
        raise ArtefactError(
            f"this {info.name} model is only partly trained (an early stage or an encoder): train from it "
            f"with --init, then predict with the result"
        )
    if artefact.method.kind != kind:
        raise ArtefactError(_right_verb(artefact.method))


def _right_verb(method: Method) -> str:
    if method.kind == "dense":
        return f"method '{method.info.name}' segments an image alone, without examples; use `delineate predict`"
    return f"method '{method.info.name}' segments by examples; use `delineate fewshot predict` with --support"
