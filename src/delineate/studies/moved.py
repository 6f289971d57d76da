"""A study whose data were moved goes on with them where they are now, if they are the same files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from delineate.common.errors import DataError
from delineate.data.cases.moved import moved
from delineate.data.core.manifest import Manifest
from delineate.data.layouts.source import DataSource
from delineate.studies.setup import StudySetup

__all__ = ["move_data"]

_Setup = TypeVar("_Setup", bound=StudySetup)


def move_data(
    folder: Path, setup: _Setup, source: DataSource, manifests: Sequence[Path], announce: Callable[[str], None]
) -> _Setup:
    """The setup with the data where `source` says that they are, as are then all `manifests` of the study, the first of which holds
    all files.

    Raises `DataError` where they are other data.
    """
    manifest = Manifest.load(manifests[0])
    root = Path(source.manifest().root) if source.is_manifest else source.folder
    try:
        there = moved(manifest, root)
    except DataError as error:
        raise DataError(
            f"{folder} holds a {setup.study} on {setup.data}, and {source.path} holds other data (in {root}, {error}); give "
            "another --out"
        ) from error
    for path in manifests:
        Manifest.load(path).model_copy(update={"root": there.root}).save(path)
    changed = setup.model_copy(update={"data": str(source.path.resolve())})
    changed.save(folder)
    announce(f"the data are in {there.root} now (before: {manifest.root}); all files are the same")
    return changed
