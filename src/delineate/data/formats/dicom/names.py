"""What is shown of DICOM images in tables, pages, cards and models: no names of folders and files.

They often tell who the patient is. Only lists that must find the files again hold them: manifests, `predictions.json`, `run.json`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from delineate.data.core.findings import count
from delineate.data.core.group_words import names_no_patient
from delineate.data.core.manifest import Manifest
from delineate.data.formats.dicom.address import DicomAddress

__all__ = ["CoveredNames", "cover_of", "data_name", "holds_dicom", "short_address", "shown_folder"]

_DEPTH = 12
_SHORT = 2
"""Names of so many characters tell of nobody: CT, MR, p1."""
_PLAIN = re.compile(
    "case|data|dataset|dcm|dicom|dicomdir|file|folder|mask|note|patient|readme|scan|serie|series|slice|stud(y|ie)|volume"
)
"""Words of messages, which are no names."""
_KEY_FOLLOWS = r"(?=_[0-9a-f]{10})"
"""A series is called as its folder and its key where several lie in one folder."""


def holds_dicom(manifest: Manifest) -> bool:
    """Whether there are DICOM images in a data set.

    Args:
        manifest: of the data set.

    Returns:
        True for one at least.

    Example:
        >>> from delineate.data.core.manifest import Manifest
        >>> from delineate.data.formats.dicom.names import holds_dicom
        >>> holds_dicom(Manifest(root="polyps", layout="", split_origin=""))
        False
    """
    return any(DicomAddress.parse(image) is not None for case in manifest.cases for image in case.images)


def data_name(manifest: Manifest) -> str:
    """What cards, pages, tables and models call a data set.

    Args:
        manifest: of the data set.

    Returns:
        The name of its folder; of DICOM images, how many there are.

    Example:
        >>> from delineate.data.core.manifest import Case, Manifest
        >>> from delineate.data.formats.dicom.names import data_name
        >>> data_name(Manifest(root="sets/polyps", layout="", split_origin=""))
        'polyps'
        >>> case = Case(id="case_0001", images=("DOE_JANE#series-0123456789",))
        >>> data_name(Manifest(root="DOE_JANE", layout="", split_origin="", cases=(case,)))
        '1 DICOM image'
    """
    if not holds_dicom(manifest):
        return Path(manifest.root).name
    return count(len(manifest.cases), "DICOM image")


def shown_folder(manifest: Manifest, folder: str | None = None) -> str:
    """What pages say of the folder that a data set lies in.

    Args:
        manifest: of the data set.
        folder: its path; None: the manifest's root.

    Returns:
        The path; of DICOM images, where to find it.
    """
    if not holds_dicom(manifest):
        return manifest.root if folder is None else folder
    return "not shown, since names of folders may tell who a patient is; manifest.json has it"


def short_address(image: Path) -> str:
    """An image in a table that others may see.

    Args:
        image: path or address.

    Returns:
        Of a DICOM address, the part that says nothing of the place; else the path.

    Example:
        >>> from pathlib import Path
        >>> from delineate.data.formats.dicom.names import short_address
        >>> short_address(Path("DOE_JANE/ct#series-0123456789"))
        '#series-0123456789'
    """
    address = DicomAddress.parse(image)
    return str(image) if address is None else f"#{address.kind}-{address.key}"


class CoveredNames:
    """Replaces the names of a place, and of the folders and files in it, by numbers; the same name by the same number.

    Example:
        >>> from pathlib import Path
        >>> from delineate.data.formats.dicom.names import CoveredNames
        >>> Path("DOE_JANE/images").mkdir(parents=True)
        >>> _ = Path("DOE_JANE/images/doe.dcm").write_bytes(b"")
        >>> CoveredNames(Path("DOE_JANE"), "DATA")("DOE_JANE/images/doe.dcm is truncated")
        'DATA/images/name-1.dcm is truncated'
    """

    def __init__(self, place: Path, called: str, keep: Iterable[str] = ()) -> None:
        """`called`: what stands for the place; `keep`: words that are no names, such as those of classes."""
        self._places = sorted({str(place), str(place.absolute()), str(place.resolve()), place.as_posix()}, key=len)[
            ::-1
        ]
        self._called = called
        kept = {word.lower() for word in keep}
        names = dict.fromkeys([place.resolve().name, *_names(place, _DEPTH)])
        shown = [name for name in names if _tells(name) and name.lower() not in kept]
        self._names = sorted(shown, key=len, reverse=True)
        self._numbers: dict[str, int] = {}

    def __call__(self, text: str) -> str:
        for place in self._places:
            text = text.replace(place, self._called)
        lower = text.lower()
        for name in self._names:
            if name.lower() in lower:
                text = _whole(name).sub(self._number(name), text)
        return text

    def _number(self, name: str) -> str:
        number = self._numbers.setdefault(_stem(name).lower(), len(self._numbers) + 1)
        return f"name-{number}{_ending(name)}"


def cover_of(manifest: Manifest) -> Callable[[str], str]:
    """What hides the names of a data set's folders and files in texts.

    Args:
        manifest: of the data set.

    Returns:
        `CoveredNames`, in which `DATA` is the set's folder; of other than DICOM images, what leaves texts as they are.
    """
    return CoveredNames(Path(manifest.root), "DATA", manifest.classes.names) if holds_dicom(manifest) else str


def _names(place: Path, depth: int) -> Iterator[str]:
    """Of all folders and files below, and those of files without their endings."""
    try:
        entries = sorted(os.scandir(place), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        yield entry.name
        if entry.is_dir(follow_symlinks=False):
            if depth:
                yield from _names(Path(entry.path), depth - 1)
        else:
            yield _stem(entry.name)


def _ending(name: str) -> str:
    found = re.search(r"(\.[A-Za-z]{1,6})?\.[A-Za-z0-9]{1,6}$", name)
    if found is None or found.start() == 0:
        return ""
    return found[0] if found[0].lower().endswith(".gz") else f".{found[0].rpartition('.')[2]}"


def _stem(name: str) -> str:
    ending = _ending(name)
    return name[: len(name) - len(ending)] if ending else name


def _tells(name: str) -> bool:
    stem = _stem(name)
    return (
        len(name) > _SHORT and _PLAIN.fullmatch(stem.lower().removesuffix("s")) is None and not names_no_patient(stem)
    )


def _whole(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(name)}(?:(?!\w)|{_KEY_FOLLOWS})", re.IGNORECASE)
