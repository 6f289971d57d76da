"""Which predicted DICOM mask is of which reference: by the images that both refer to, whatever their files are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.core.findings import some
from delineate.data.core.manifest import Case, Manifest
from delineate.data.formats.dicom.address import DicomAddress
from delineate.data.formats.dicom.handle import DicomHandle
from delineate.data.formats.dicom.slide import DicomSlide
from delineate.data.formats.registry import open_image
from delineate.evaluation.inputs.dicom_masks import file_of, names_of
from delineate.evaluation.inputs.numbered_cases import file_names

__all__ = ["Fitting", "fitting_cases", "pair_by_images"]

Fitting = dict[Path, list[str]]
"""Prediction → ids of the cases that it may be of."""
_TOLD = 3


@dataclass(frozen=True)
class _Source:
    """The images that something is of, or that it is."""

    series: frozenset[str]
    instances: frozenset[str]
    frame: str | None


def fitting_cases(files: Sequence[Path], manifest: Manifest, cases: Sequence[Case]) -> Fitting:
    """Which cases the predictions may be of, by UIDs.

    Args:
        files: predicted masks.
        manifest: of the references.
        cases: those that are scored.

    Returns:
        Of each prediction the cases of the same images; empty where a prediction or a reference does not name its images.
    """
    if not files or not all(names_of(file) for file in files[:1]):
        return {}
    predicted = {file: _of_mask(file) for file in files}
    wanted = {case.id: _of_case(manifest, case) for case in cases} if all(predicted.values()) else {}
    known = {name: source for name, source in wanted.items() if source is not None}
    if len(known) < len(wanted) or not known:
        return {}
    return {file: _fitting(source, known) for file, source in predicted.items() if source is not None}


def pair_by_images(fitting: Fitting, cases: Sequence[Case]) -> dict[str, Path]:
    """The predictions of the cases.

    Args:
        fitting: as `fitting_cases` finds it.
        cases: all of them.

    Returns:
        Case → its prediction; some may have none.

    Raises:
        DataError: a prediction may be of several cases or is of none, or two are of one.
    """
    given: dict[str, Path] = {}
    called = {number: name for name, number in file_names(cases).items()}
    strangers = [file for file, names in fitting.items() if not names]
    if strangers:
        shown = some([str(file_of(file)) for file in strangers], _TOLD)
        raise DataError(
            f"{shown}: of images that no reference is of; leave such predictions out, or add their references"
        )
    for file, names in fitting.items():
        files = [called.get(name, name) for name in names]
        if len(names) > 1:
            raise DataError(
                f"{file_of(file)} is of the images of several references ({some(files, _TOLD)}); call it as its reference"
            )
        if names[0] in given:
            both = f"{file_of(given[names[0]])} and {file_of(file)}"
            raise DataError(f"{both} are both predictions of the same images ('{files[0]}'); keep one")
        given[names[0]] = file
    return given


def _fitting(source: _Source, wanted: Mapping[str, _Source]) -> list[str]:
    """Of the same series; of several such those with the same images. Where UIDs are lacking, of the same frame of reference."""
    found = [
        name for name, other in wanted.items() if source.series & other.series or source.instances & other.instances
    ]
    if len(found) > 1:
        found = [name for name in found if source.instances & wanted[name].instances] or found
    if found:
        return found
    bare = [
        name
        for name, other in wanted.items()
        if not (source.series | source.instances) or not (other.series | other.instances)
    ]
    return [name for name in bare if source.frame is not None and source.frame == wanted[name].frame]


def _of_mask(path: Path) -> _Source | None:
    if not names_of(path):
        return None
    references = open_image(path).references  # type: ignore[attr-defined]
    if not (references.series or references.instances or references.frame):
        return None
    return _Source(references.series, references.instances, references.frame)


def _of_case(manifest: Manifest, case: Case) -> _Source | None:
    image = manifest.path(case.images[0]) if case.images else None
    if image is None or DicomAddress.parse(image) is None:
        return _of_mask(manifest.path(case.masks[0]))
    handle = open_image(image)
    assert isinstance(handle, DicomHandle | DicomSlide), "an address of DICOM"
    headers = [frame.header for frame in handle.frames]
    series = frozenset({headers[0].series} - {""})
    return _Source(series, frozenset(header.instance for header in headers), headers[0].frame_of_reference)
