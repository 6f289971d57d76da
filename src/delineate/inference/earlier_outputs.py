"""Remove the files of an earlier `predict` before a new one writes into its folder: those of its list, and nothing else."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from delineate.common.errors import DataError, DelineateError
from delineate.common.files import remove
from delineate.evaluation.inputs.prediction_list import PredictionList

__all__ = ["remove_earlier_outputs"]


def remove_earlier_outputs(folder: Path, inputs: Collection[Path]) -> None:
    """Remove the masks, probability maps and overlays that the list in `folder` names, and folders that this leaves empty.

    What the list does not name stays. A list that cannot be read names nothing. `inputs`: images that are about to be predicted,
    with links resolved. Raises `DataError`, before anything is removed, when one of them is such an earlier output.
    """
    earlier = _earlier(folder)
    used = next((path for path in earlier if path.resolve() in inputs), None)
    if used is not None:
        raise DataError(f"{used} is an earlier output in {folder} and an image to predict; give another --out")
    for path in earlier:
        try:
            remove(next((one for one in path.parents if one.suffix == ".zarr" and folder in one.parents), path))
        except OSError as error:
            raise DelineateError(f"cannot remove {path}, an earlier output: {error.strerror}") from error
    for inner in {parent for path in earlier for parent in path.parents if folder in parent.parents}:
        _remove_empty(inner, folder)


def _earlier(folder: Path) -> list[Path]:
    """The listed files that exist. Names that lead out of the folder, or to a folder, are not ours."""
    try:
        listed = PredictionList.find(folder)
    except DataError:
        return []
    root = folder.resolve()
    named = [folder / name for name in (listed.outputs() if listed is not None else ())]
    return [path for path in named if path.is_file() and root in path.parent.resolve().joinpath(path.name).parents]


def _remove_empty(inner: Path, folder: Path) -> None:
    """Remove a folder and those around it, below `folder`, as long as they are empty."""
    while inner != folder and inner.is_dir() and not any(inner.iterdir()):
        inner.rmdir()
        inner = inner.parent
