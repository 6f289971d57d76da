"""What predictions may overwrite: files of earlier predictions, and nothing else.

`predictions.json` lists the masks of a folder. It is removed while masks are written, so that an incomplete set is never taken for
a complete one. Meanwhile `predictions.unfinished.json` lists what is being written; it remains if the process is killed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from delineate.common.errors import DataError
from delineate.common.files import read_json, write_json
from delineate.common.output_checks import check_results_folder
from delineate.data.formats.archives import Address
from delineate.data.layouts.tree import image_files, volume_files
from delineate.evaluation.inputs.prediction_list import PREDICTIONS_FILE, PredictionList

__all__ = ["begin", "check_existing", "check_places", "finish"]

_UNFINISHED = "predictions.unfinished.json"


def check_places(targets: Mapping[Path, Path], more: Iterable[Path] = ()) -> None:
    """Raise `DataError` when an output would lie in a folder that an input comes from, or in one of `more`: there it would be
    taken for an image, or for a reference, the next time. `targets`: output → its image."""
    sources = {_file(image).parent for image in targets.values()} | set(more)
    resolved = {folder.resolve() for folder in sources}
    for folder in {target.parent for target in targets}:
        if folder.resolve() in resolved:
            raise DataError(f"masks would lie among the images or masks of the data in {folder}; give another --out")


def check_existing(folder: Path, targets: Mapping[Path, str], lists: Iterable[Path], overwrite: bool) -> None:
    """Raise `DataError` when an output is there, unless it may be replaced. `targets`: output → the mask of the same image,
    relative to `folder`; `lists`: tables that are written beside the masks. Raises `DelineateError` for a folder of other results,
    such as a run."""
    check_results_folder(folder, PREDICTIONS_FILE, ())
    made = _earlier_masks(folder)
    known = any((folder / name).exists() for name in (PREDICTIONS_FILE, _UNFINISHED))
    there = [path for path in (folder / PREDICTIONS_FILE, *targets) if path.exists()]
    foreign = [path for path in there if path in targets and targets[path] not in made]
    if not known:  # also images of other names: in a folder of references, masks would be taken for references
        foreign += [path for path in lists if path.exists()]
        foreign += [*image_files(folder), *volume_files(folder)] if folder.is_dir() else []
    if foreign:
        raise DataError(f"{foreign[0]} exists already and is no earlier prediction; give another --out")
    if there and not overwrite:
        raise DataError(f"{there[0]} exists already; give another --out, or --overwrite to replace earlier predictions")


def _earlier_masks(folder: Path) -> set[str]:
    """The masks that predictions made in a folder, relative to it, also those of a prediction that was stopped."""
    listed = PredictionList.find(folder)
    masks = set() if listed is None else {file.mask for file in listed.files}
    try:
        content = read_json(folder / _UNFINISHED)
        return masks | {str(mask) for mask in content["masks"]}
    except (OSError, ValueError, KeyError, TypeError):
        return masks


def begin(folder: Path, masks: Iterable[str]) -> None:
    """List what is going to be written, then remove the list of what was there."""
    write_json(folder / _UNFINISHED, {"masks": sorted(_earlier_masks(folder) | set(masks))})
    (folder / PREDICTIONS_FILE).unlink(missing_ok=True)


def finish(folder: Path) -> None:
    """Remove the list of unfinished masks; the list of finished ones is there now."""
    (folder / _UNFINISHED).unlink(missing_ok=True)


def _file(image: Path) -> Path:
    address = Address.parse(image)
    return image if address is None else address.file
