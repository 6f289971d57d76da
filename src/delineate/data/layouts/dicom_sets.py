"""DICOM in a data set's folder: each series is one image, called as the folder or file that it lies in, and paired like any other.

Cases are numbered and grouped by a hash of the patient's ID, so that nothing that is written of them tells who the patients are.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from delineate.common.errors import DataError, DelineateError
from delineate.common.files import write_bytes
from delineate.common.state_folder import user_state_folder
from delineate.data.core.findings import Finding, count, some
from delineate.data.core.manifest import Case
from delineate.data.core.words import Role, ending, mask_base, normal
from delineate.data.formats.dicom.address import DicomAddress
from delineate.data.formats.dicom.files import is_dicom
from delineate.data.formats.dicom.scan import Found, scan
from delineate.data.formats.dicom.series import Series
from delineate.data.formats.registry import read_geometry
from delineate.data.formats.regrid import regrid
from delineate.data.layouts.dicom_people import people_findings
from delineate.data.layouts.roles import assign
from delineate.data.layouts.tree import File, Tree

__all__ = ["LAYOUT", "DicomSet", "add_dicom", "folders_of", "patient_group"]

LAYOUT = "DICOM series"
"""The layout of DICOM without masks."""
_SALT = "salt"
_TOLD = 3


@dataclass
class DicomSet:
    """The DICOM images of a tree."""

    place: Path
    """The folder."""
    files: dict[Path, Series]
    """Address → what it is; those with a fault, and scouts, are left out."""
    masks: Mapping[Path, str]
    """Segmentations and structure sets, each with the line that it is no image."""
    refused: dict[Path, frozenset[str]]
    """Address of a series with a fault → UIDs of its images."""
    findings: list[Finding]

    def cases(self, root: Path) -> list[Case]:
        """The images as cases without masks, paths relative to `root`."""
        return [Case(id=path.name, images=(path.relative_to(root).as_posix(),)) for path in self.files]

    def without_mask(self, root: Path, cases: Sequence[Case]) -> list[Path]:
        """The images that are of no case, where others are."""
        used = {root / file for case in cases for file in case.images}
        bare = [path for path in self.files if path not in used]
        return bare if len(bare) < len(self.files) else []

    def leave_out_masks(self) -> None:
        """Say that the DICOM masks are not used."""
        if self.masks:
            names = some([path.relative_to(self.place).as_posix() for path in self.masks], _TOLD)
            self.findings.append(Finding("warning", f"{count(len(self.masks), 'DICOM mask')} left out: {names}"))

    def leave_out(self, tree: Tree, paths: Sequence[Path]) -> None:
        """Take images out of the set, and say so."""
        tree.images = [file for file in tree.images if file.path not in paths]
        tree.volumes = [file for file in tree.volumes if file.path not in paths]
        names = some([path.relative_to(tree.root.parent).as_posix() for path in paths], _TOLD)
        number = count(len(paths), "DICOM image without mask is", "DICOM images without masks are")
        text = f"{number} left out: {names}"
        self.findings.append(Finding("warning", text))

    def numbered(self, root: Path, cases: Sequence[Case]) -> tuple[list[Case], str]:
        """Cases whose DICOM images are called by numbers and grouped by patients; and how these were found, in words."""
        found, patients = [], set()
        number = 0
        for case in sorted(cases, key=lambda one: one.images):
            series = self.files.get(root / case.images[0]) if case.images else None
            if series is not None:
                number += 1
                patient = series.frames[0].header.patient
                group = patient_group(patient) if patient else None
                patients.add(group)
                case = case.model_copy(update={"id": f"case_{number:04d}", "group": group})
            found.append(case)
        known = patients - {None}
        return found, f"{count(len(known), 'patient')}, by a salted hash of PatientID" if known else ""


def add_dicom(tree: Tree) -> DicomSet | None:
    """Put the DICOM series and pictures of a folder into its tree, in place of their files; None where there are none.

    Raises `DataError` where pydicom is missing.
    """
    inside = {file.path for file in tree.volumes if is_dicom(file.path)}
    inside |= {path for path in tree.others if path.suffix.lower() not in _OTHERS and is_dicom(path)}
    if not inside:
        return None
    found = scan(tree.root)
    tree.volumes = [file for file in tree.volumes if file.path not in inside]
    tree.others = [path for path in tree.others if path not in inside]
    whole = {Path(str(at)): series for at, series in found.series if not series.fault and not series.is_localizer}
    several = _shared_places(list(whole))
    holding = {_parts(tree.root, address.place) for address, _ in found.series}
    tree.folders = [parts for parts in tree.folders if parts not in holding]
    files = {path: _file(tree.root, path, several) for path in whole}
    _match_by_grid(tree, {path: file for path, file in files.items() if whole[path].geometry is not None}, files)
    for path, file in files.items():
        (tree.images if whole[path].kind != "series" else tree.volumes).append(file)
    findings = [Finding("error", f"{at}: {one.fault}", "restore or remove it") for at, one in found.series if one.fault]
    faults = [line for line in found.faults if line not in set(found.masks.values())]
    findings += _about(list(whole.values()), faults, found.directory)
    scouts = sum(series.is_localizer for _, series in found.series)
    if scouts:
        findings.append(Finding("note", f"{count(scouts, 'scout image')} (LOCALIZER) left out"))
    uids = {path: frozenset(frame.header.instance for frame in one.frames) for path, one in _faulty(found)}
    return DicomSet(tree.root, whole, found.masks, uids, findings)


def folders_of(root: Path, path: Path) -> tuple[str, ...]:
    """Names of the folders that an image lies in.

    Args:
        root: the data set's folder.
        path: address of the image.

    Returns:
        From the root to the innermost that holds all of its files.
    """
    address = DicomAddress.parse(path)
    assert address is not None, "made of an address"
    parts = _parts(root, address.place)
    return parts if address.place.is_dir() else parts[:-1]


def patient_group(patient: str) -> str:
    """A group's name made of a patient's ID, or of a hash of it; the same on one machine for one user, and no way back.

    Args:
        patient: what tells the patient.

    Returns:
        The name.

    Example:
        >>> from delineate.data.layouts.dicom_sets import patient_group
        >>> patient_group("a") == patient_group("a") != patient_group("b")
        True
    """
    return f"patient_{hashlib.sha256(_salt() + patient.encode()).hexdigest()[:10]}"


_OTHERS = frozenset({".txt", ".csv", ".tsv", ".json", ".md", ".yaml", ".yml", ".xml", ".html", ".pdf", ".xlsx", ".py"})
"""Endings of files that are not looked into."""


@cache
def _salt() -> bytes:
    """Random bytes of this user, made once; of this process alone where they cannot be kept."""
    folder = user_state_folder()
    fresh = secrets.token_bytes(16)
    if folder is None:
        return fresh
    try:
        return (folder / _SALT).read_bytes()
    except OSError:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_bytes(folder / _SALT, fresh)
        except (OSError, DelineateError):
            pass
        return fresh


def _faulty(found: Found) -> list[tuple[Path, Series]]:
    return [(Path(str(at)), one) for at, one in found.series if one.fault]


def _shared_places(paths: Sequence[Path]) -> set[Path]:
    """Places that hold several images."""
    places = [address.place for path in paths if (address := DicomAddress.parse(path)) is not None]
    return {place for place in places if places.count(place) > 1}


def _file(root: Path, path: Path, several: set[Path]) -> File:
    """An image as a file of the tree: it is called as its folder or file is, with its key where several lie there."""
    address = DicomAddress.parse(path)
    assert address is not None, "made of an address"
    place = address.place
    stem = place.name if place.is_dir() else place.name.removesuffix(place.suffix)
    name = f"{stem}_{address.key}" if place in several else stem
    return File(path, _parts(root, place)[:-1], normal(name))


def _parts(root: Path, place: Path) -> tuple[str, ...]:
    """Names of the folders from the root to a place, its own last."""
    return tuple(normal(part) for part in place.relative_to(root).parts)


def _match_by_grid(tree: Tree, placed: dict[Path, File], files: dict[Path, File]) -> None:
    """Where a label volume's name is that of no series, and its voxels are those of exactly one, call both alike."""
    items = assign([*tree.volumes, *placed.values()])
    masks = [item.file for item in items if item.role is Role.MASK or _is_called_mask(item.file.stem)]
    stems = {file.stem for file in files.values()}
    for mask in masks:
        if mask.path in placed or mask.stem in stems or mask_base(mask.stem) in stems:
            continue
        fitting = [path for path in placed if _is_on_grid(mask.path, path)]
        if len(fitting) != 1:
            continue
        address = DicomAddress.parse(fitting[0])
        assert address is not None, "made of an address"
        file = files[fitting[0]]
        name = file.stem if file.stem.endswith(address.key) else f"{file.stem}_{address.key}"
        files[fitting[0]] = File(file.path, file.parts, name)
        tree.volumes[tree.volumes.index(mask)] = File(mask.path, mask.parts, f"{name}_mask")


def _is_called_mask(stem: str) -> bool:
    end = ending(stem)
    return end is not None and end.role is Role.MASK


def _is_on_grid(mask: Path, image: Path) -> bool:
    try:
        return regrid(read_geometry(mask), mask, read_geometry(image), image).kind != "resampled"
    except DataError:
        return False


def _about(series: Sequence[Series], faults: Sequence[str], directory: bool) -> list[Finding]:
    """What the owner of DICOM files should know."""
    findings = []
    if directory:
        findings.append(Finding("note", "the DICOMDIR is not used: all files in the folder were looked at"))
    if faults:
        text = f"{count(len(faults), 'DICOM file')} without an image, or damaged, left out: {some(faults, _TOLD)}"
        findings.append(Finding("warning", text))
    headers = {frame.header.path: frame.header for one in series for frame in one.frames}.values()
    return [*findings, *people_findings(list(headers))]
