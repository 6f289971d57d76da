"""Predicted probability maps: found by name, read as float32 in [0, 1].

    FOLDER/NAME.png                    one foreground class
    FOLDER/0_background/NAME.png …     several: a folder for each class, its index first
    FOLDER/NAME.npy|.npz|.nii.gz       arrays: H×W of the foreground, or K×H×W of all classes (volumes likewise)

Beside masks that `predict` wrote, its list (`predictions.json`) says which maps are of that model; others are not read.

PNG and TIFF hold whole numbers: 65535 (16 bits, as `predict --probabilities` writes) or 255 (8 bits) stand for 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.common.files import sha256
from delineate.data.core.findings import count, some
from delineate.data.core.manifest import Case, ClassTable
from delineate.data.formats.registry import file_stem, image_suffix, open_image, read_geometry, read_mask, reads_volume
from delineate.data.formats.regrid import regrid
from delineate.evaluation.inputs.prediction_list import PredictionList

__all__ = [
    "FOLDER_NAME",
    "Probabilities",
    "ProbabilityMaps",
    "find_probabilities",
    "listed_probabilities",
    "open_probabilities",
    "read_map",
    "unlisted_maps",
]

FOLDER_NAME = "probabilities"
"""Where `predict` puts them, inside its output folder."""

_ARRAYS = (".npy", ".npz")
_CLASS_FOLDER = re.compile(r"^(\d+)_")
_AGAIN = "predict again with --probabilities and --overwrite"
_NPZ_KEYS = ("probabilities", "softmax")
"""Looked for in an archive of several arrays."""

Probabilities = NDArray[np.float32]
"""In [0, 1]: H×W (D×H×W) of the foreground for one foreground class, else K×H×W (K×D×H×W) of all K classes, background first, or of
all K regions."""


@dataclass(frozen=True)
class ProbabilityMaps:
    """The probability maps of a folder."""

    classes: ClassTable
    """Its `channels` are what the maps are of."""
    files: Mapping[str, tuple[Path, ...]]
    """Name → one file, or a file for each class."""
    hashes: Mapping[Path, str] = field(default_factory=dict)
    """SHA-256 of the files as they were written, where that is known."""

    def read(self, name: str, reference: Path | None = None) -> Probabilities:
        """The map of one case, in the order of axes of its reference. Raises `DataError` naming the file: damaged, of other
        classes, not a number, outside 0…1, on another grid."""
        paths = self.files[name]
        for path in paths:
            self._check(path)
        if len(paths) == 1:
            return _channels(_placed(read_map(paths[0]), paths[0], reference), self.classes, paths[0])
        planes = [_placed(read_map(path), path, reference) for path in paths]
        odd = next((index for index, plane in enumerate(planes) if plane.shape != planes[0].shape), None)
        if odd is not None:
            raise DataError(f"{paths[0]} and {paths[odd]} differ in size: {planes[0].shape} and {planes[odd].shape}")
        return np.stack(planes)

    def of_structures(self, values: Probabilities, scored: ClassTable) -> list[Probabilities]:
        """The probability of each thing that is scored (`ClassTable.structures`), from a map of this folder: of a region, from maps
        of classes, the sum over its classes. Raises `DataError` for what maps of other regions do not tell."""
        if self.classes.outputs == 1:
            return [values]
        if not self.classes.regions:
            return [values[list(members)].sum(0) for members in scored.structures.values()]
        places = {region.classes: at for at, region in enumerate(self.classes.regions)}
        untold = [name for name, members in scored.structures.items() if members not in places]
        if untold:
            raise DataError(
                f"the probability maps are of {', '.join(self.classes.channels)}, which does not tell the probability of "
                f"'{untold[0]}'; leave out ece and brier"
            )
        return [values[places[members]] for members in scored.structures.values()]

    def _check(self, path: Path) -> None:
        """Raise `DataError` for a map that is gone, or is not the one that was written."""
        if path not in self.hashes:
            return
        if not path.is_file():
            raise DataError(f"{path} is gone; {_AGAIN}")
        if sha256(path) != self.hashes[path]:
            raise DataError(
                f"{path} is not the map that was written with the masks: it was changed or replaced; {_AGAIN}"
            )

    def need(self, names: Sequence[str]) -> None:
        """Raise `DataError` that lists those of `names` which have no map."""
        missing = [name for name in names if name not in self.files]
        if missing:
            raise DataError(
                f"{count(len(missing), 'case')} without probability map: {some(missing)}; predict them all again"
            )


def listed_probabilities(
    folder: Path, classes: ClassTable, listed: PredictionList, pairs: Sequence[tuple[Path, Case]]
) -> ProbabilityMaps | None:
    """The maps that the list names for the predictions of these pairs; None where it names none.

    Raises `DataError` for maps of another number of channels than `classes` ask for.
    """
    known = {folder / file.mask: file.maps or {} for file in listed.files}
    files: dict[str, tuple[Path, ...]] = {}
    hashes: dict[Path, str] = {}
    for prediction, case in pairs:
        maps = known.get(prediction, {})
        if not maps:
            continue
        paths = [folder / name for name in sorted(maps, key=_class_index)]
        if len(paths) not in (1, classes.outputs):
            raise DataError(f"{prediction} has {count(len(paths), 'probability map')}, not {classes.outputs}; {_AGAIN}")
        files[case.id] = tuple(paths)
        hashes |= {folder / name: digest for name, digest in maps.items()}
    return ProbabilityMaps(classes, files, hashes) if files else None


def unlisted_maps(folder: Path, listed: PredictionList) -> list[str]:
    """The files in `folder/probabilities` that the list does not name: of an earlier model, or of no model at all."""
    inner = folder / FOLDER_NAME
    named = set(listed.outputs())
    there = (path.relative_to(folder).as_posix() for path in sorted(inner.rglob("*")) if path.is_file())
    return [name for name in there if name not in named and not Path(name).name.startswith(".")]


def find_probabilities(folder: Path, classes: ClassTable) -> ProbabilityMaps | None:
    """The maps in `folder/probabilities`, or in `folder` itself when it is called so or holds arrays; None where there are none.

    Raises `DataError` for two maps of one name, and class folders that are not those of `classes`.
    """
    inner = folder / FOLDER_NAME
    if inner.is_dir():
        return open_probabilities(inner, classes)
    is_one = folder.name == FOLDER_NAME or any(path.suffix in _ARRAYS for path in folder.glob("*"))
    return open_probabilities(folder, classes) if is_one else None


def open_probabilities(folder: Path, classes: ClassTable) -> ProbabilityMaps:
    """The maps of a folder. Raises `DataError`: none there, two of one name, class folders that are not those of `classes`."""
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; give the folder of probability maps")
    parts = {
        int(match[1]): path for path in folder.iterdir() if path.is_dir() and (match := _CLASS_FOLDER.match(path.name))
    }
    if not parts:
        files: dict[str, tuple[Path, ...]] = {name: (path,) for name, path in _maps(folder).items()}
    elif sorted(parts) != list(range(classes.outputs)):
        found = ", ".join(parts[index].name for index in sorted(parts))
        raise DataError(f"{folder} has maps of {found}, not of {', '.join(classes.channels)}")
    else:
        planes = [_maps(parts[index]) for index in sorted(parts)]
        odd = sorted({name for plane in planes for name in plane if any(name not in other for other in planes)})
        if odd:
            raise DataError(f"{folder} lacks maps of some classes for {count(len(odd), 'case')}: {some(odd)}")
        files = {name: tuple(plane[name] for plane in planes) for name in planes[0]}
    if not files:
        raise DataError(f"{folder} holds no probability maps (PNG, TIFF, .npy, .npz or NIfTI)")
    return ProbabilityMaps(classes, files)


def read_map(path: Path) -> NDArray[np.float32]:
    """One file's numbers as they are stored, checked: finite and in 0…1. Raises `DataError` naming the file and the value."""
    values = _read(path)
    if values.dtype.kind not in "uif" or not values.size or values.ndim < 2:
        raise DataError(f"{path} holds {values.dtype} of shape {values.shape}; probabilities are numbers in 0…1")
    if not np.isfinite(values).all():
        raise DataError(
            f"{path} has {int((~np.isfinite(values)).sum())} probabilities that are not numbers (NaN or infinite)"
        )
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 1:
        raise DataError(f"{path} has probabilities outside 0…1 ({low:g} … {high:g}); are these logits or percentages?")
    return values.astype(np.float32)


def _placed(values: NDArray[np.float32], path: Path, reference: Path | None) -> NDArray[np.float32]:
    """Arrays and images are in the reference's order; volumes tell where they lie."""
    if reference is None or not (reads_volume(path) and reads_volume(reference)):
        return values
    way = regrid(read_geometry(path), path, read_geometry(reference), reference)
    if way.kind == "resampled":
        raise DataError(
            f"{path} is a probability map on another grid than its reference {reference}; leave out ece and brier"
        )
    turned: NDArray[np.float32] = way.apply(values)
    return turned


def _read(path: Path) -> NDArray[Any]:
    if image_suffix(path) and path.suffix.lower() not in _ARRAYS:
        raw = read_mask(path)
        return raw / np.float32(np.iinfo(raw.dtype).max)
    if reads_volume(path):
        return open_image(path).read()
    try:
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return content
        with content:
            keys = [key for key in _NPZ_KEYS if key in content] or list(content)
            if len(keys) == 1 or keys[0] in _NPZ_KEYS:
                return content[keys[0]]
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path} is damaged or holds no plain array ({reason}); save it again") from error
    raise DataError(f"{path} holds the arrays {', '.join(keys) or 'none'}; call one of them '{_NPZ_KEYS[0]}'")


def _class_index(name: str) -> int:
    """Of a map in a folder for each class."""
    match = _CLASS_FOLDER.match(Path(name).parts[1]) if len(Path(name).parts) > 1 else None
    return int(match[1]) if match else 0


def _channels(values: NDArray[np.float32], classes: ClassTable, path: Path) -> Probabilities:
    """A file of one or all classes, or regions → the form of `Probabilities`."""
    if classes.outputs > 1:
        if values.ndim > 2 and values.shape[0] == classes.outputs:
            return values
        what = f"{classes.outputs} {'regions' if classes.regions else 'classes'}"
        raise DataError(f"{path} has the shape {values.shape}; of {what} it is {classes.outputs}×height×width")
    if values.ndim > 2 and values.shape[0] == 2:
        return values[1]
    return values[0] if values.ndim > 2 and values.shape[0] == 1 else values


def _maps(folder: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_file():
            continue
        if image_suffix(path) or path.suffix.lower() in _ARRAYS or reads_volume(path):
            if file_stem(path) in files:
                raise DataError(f"{files[file_stem(path)]} and {path} are both maps of '{file_stem(path)}'; keep one")
            files[file_stem(path)] = path
    return files
