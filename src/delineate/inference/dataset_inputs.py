"""What to predict of data sets: a split, or some cases → images, each with the name of its outputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from delineate.common.errors import DataError
from delineate.common.files import sha256
from delineate.data.core.manifest import Case, Manifest, Split
from delineate.data.formats.archives import Address
from delineate.data.formats.dicom.address import DicomAddress
from delineate.data.layouts.source import DataSource
from delineate.data.splits.run_splits import run_manifest, with_run_splits
from delineate.inference.inputs import Input, Inputs, find_inputs

__all__ = ["SplitChoice", "find_split", "of_cases"]

SplitChoice = Split | Literal["all"]


def find_split(data: Sequence[DataSource], split: SplitChoice, model: Path | None = None) -> Inputs:
    """The images of one split of data sets: folders, tables or manifests. Outputs are named by the cases.

    Splits that a folder does not bring are those that the model's own run drew, where it was trained on the same files.
    Raises `DataError` when there are none.
    """
    images, notes, folders = [], [], set()
    for source in data:
        manifest, note = _divided(source, split, model)
        notes += note
        cases = [case for case in manifest.cases if split in (case.split, "all")]
        if not cases:
            known = sorted({case.split for case in manifest.cases if case.split})
            said = f"its splits are: {', '.join(known)}" if known else "it names none; give the manifest.json of a run"
            raise DataError(f"{source.path} has no images in split '{split}'; {said}")
        images += [_input(manifest, case) for case in cases]
        folders |= {manifest.path(file).parent for case in manifest.cases for file in case.images + case.masks}
    twice = next((name for name, number in Counter(found.name for found in images).items() if number > 1), None)
    if twice is not None:
        raise DataError(f"two of the data sets have a case '{twice}'; predict them into different folders")
    return Inputs(images, tuple(notes), frozenset(folders))


def of_cases(manifest: Manifest, cases: Sequence[Case]) -> Inputs:
    """The images of some cases, their files as they are. Outputs are named as `find_inputs` does, or by the cases where images lie
    in several files, or in packed ones."""
    if manifest.channels or any(_inside(case.images[0]) for case in cases):
        return Inputs([_input(manifest, case) for case in cases])
    return find_inputs(manifest.path(case.images[0]) for case in cases)


def _divided(source: DataSource, split: SplitChoice, model: Path | None) -> tuple[Manifest, list[str]]:
    """The data set, with the splits that the model's run drew where it has none; a note of that."""
    manifest = source.manifest()
    saved = run_manifest(model)
    if split == "all" or saved is None or any(case.split for case in manifest.cases if case.masks):
        return manifest, []
    return with_run_splits(manifest, saved), [f"{source.path} names no splits: split '{split}' as {saved} drew it"]


def _inside(image: str) -> bool:
    """Whether an image lies inside of a file or folder: then its name is that of its case."""
    return Address.parse(image) is not None or DicomAddress.parse(image) is not None


def _input(manifest: Manifest, case: Case) -> Input:
    files = [_checked(manifest, case, file) for file in case.images]
    channels = tuple(zip(manifest.channels, files, strict=True)) if manifest.channels else ()
    return Input(files[0], case.id, channels, case.pixel_spacing)


def _checked(manifest: Manifest, case: Case, file: str) -> Path:
    """A file of the case's image. Raises `DataError` where it is another one than the run knew."""
    path = manifest.path(file)
    expected = case.hashes.get(file)
    if expected is not None and Address.parse(path) is None and path.is_file() and sha256(path) != expected:
        raise DataError(f"{path} is not the file that the manifest was made from; restore it")
    return path
