"""What `--images` and `--masks` name among DICOM series and masks: a folder, a file, or a pattern; several with commas."""

from __future__ import annotations

import glob
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.core.findings import some
from delineate.data.core.words import normal
from delineate.data.formats.dicom.address import DicomAddress
from delineate.data.formats.dicom.series import Series
from delineate.data.formats.dicom_masks.objects import is_mask_object, mask_objects

__all__ = ["chosen_masks", "chosen_series"]


def chosen_masks(root: Path, files: Sequence[Path], what: str) -> list[Path]:
    """The segmentations and structure sets that are named.

    Args:
        root: the data set's folder.
        files: those that lie in it.
        what: a folder inside, or elsewhere; a file; or a pattern.

    Returns:
        Them; none where what is named are no such files.

    Raises:
        DataError: folders are named for single classes, and hold such files, which bring the names of classes themselves.
    """
    found: list[Path] = []
    for part in _parts(what):
        name, sign, place = part.partition("=")
        those = _masks(root, files, place if sign else part)
        if sign and those:
            raise DataError(
                f"--masks {name}={place}: DICOM masks ({those[0].name}, …) bring the names of their classes; name the folder alone"
            )
        found += those
    return list(dict.fromkeys(found))


def chosen_series(root: Path, series: Mapping[Path, Series], what: str | None) -> dict[Path, Series]:
    """The series that are named.

    Args:
        root: the data set's folder.
        series: address → series, all of them.
        what: a folder, a file or a pattern inside of the folder; None: all.

    Returns:
        Them, by their addresses in order.

    Raises:
        DataError: nothing of that name holds a series.
    """
    series = dict(sorted(series.items()))
    if what is None:
        return series
    found: dict[Path, Series] = {}
    for part in _parts(what):
        is_named = _named(root, part)
        found |= {path: one for path, one in series.items() if is_named(_place(path))}
    if not found:
        places = some(sorted({_place(path).relative_to(root).as_posix() for path in series}), 3)
        raise DataError(f"--images: {what} holds no DICOM series in {root}; there are {places}")
    return found


def _parts(what: str) -> list[str]:
    return [part.strip() for part in what.split(",") if part.strip()]


def _masks(root: Path, files: Sequence[Path], what: str) -> list[Path]:
    inside = [file for file in files if _named(root, what)(file)]
    if inside:
        return inside
    place = next((path for path in (root / what, Path(what)) if path.exists()), None)
    if place is None or place.resolve() == root:
        return []
    place = place.resolve()
    if place.is_dir():
        return mask_objects(place, deep=True)
    return [place] if is_mask_object(place) else []


def _named(root: Path, what: str) -> Callable[[Path], bool]:
    """Whether a file, or a folder of a series, is called so, or lies in a folder that is."""
    if glob.has_magic(what) and not (root / what).exists():
        base = Path(glob.escape(str(root)))
        patterns = [what] if Path(what).is_absolute() else [str(base / what), str(base / "**" / what)]
        matched = {Path(path) for pattern in patterns for path in glob.glob(pattern, recursive=True)}  # noqa: PTH207
        return lambda path: path in matched or bool(matched & set(path.parents))
    parts = tuple(part.casefold() for part in normal(what.replace("\\", "/")).split("/") if part not in ("", "."))

    def is_named(path: Path) -> bool:
        if not path.is_relative_to(root) or Path(what).is_absolute():
            return path.is_relative_to(Path(what)) if Path(what).is_absolute() else False
        own = tuple(normal(part).casefold() for part in path.relative_to(root).parts)
        return any(own[at : at + len(parts)] == parts for at in range(len(own))) if parts else True

    return is_named


def _place(path: Path) -> Path:
    address = DicomAddress.parse(path)
    assert address is not None, "made of an address"
    return address.place
