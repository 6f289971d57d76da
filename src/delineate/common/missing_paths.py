"""Files that are not there are named at once, before anything that takes time is loaded."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from delineate.common.errors import ArtefactError, DataError

__all__ = ["refuse_missing", "refuse_missing_inputs", "refuse_missing_model"]

_SHOWN = 5


def refuse_missing(*paths: Path | str | None) -> None:
    """Raise `DataError` for the first path that is not there, naming what is beside it. None is no path."""
    for path in (Path(given) for given in paths if given is not None):
        if not path.exists():
            what = "file" if path.suffix else "folder"
            raise DataError(f"there is no {what} {path}{_beside(path)}")


def refuse_missing_model(path: Path) -> None:
    """Raise `ArtefactError` when a model's file or run folder is not there."""
    if not path.exists():
        raise ArtefactError(f"model {path} does not exist; give a model.safetensors or a run folder that holds one")


def refuse_missing_inputs(inputs: Iterable[Path | str]) -> None:
    """Raise `DataError` for the first image or folder that is not there; patterns and pictures in packed files are left alone."""
    for given in map(str, inputs):
        if not set("*?[#") & set(given) and not Path(given).exists():
            raise DataError(f"input {given} does not exist; give image files, folders or patterns like 'scans/*.png'")


def _beside(path: Path) -> str:
    if not path.parent.is_dir():
        return ""
    names = sorted(one.name for one in path.parent.iterdir())
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    return f"; {path.parent} has {shown}" if names else f"; {path.parent} is empty"
