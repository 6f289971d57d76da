"""What to predict: files, folders, glob patterns or a split of a data set → images, each with the name of its outputs."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from delineate.common.errors import DataError
from delineate.common.files import sha256
from delineate.data.core.findings import some
from delineate.data.core.input_spec import PixelSpacing
from delineate.data.core.manifest import Case, Manifest, Split
from delineate.data.core.words import Role, normal, printable
from delineate.data.formats.archives import Address
from delineate.data.formats.containers import is_archive
from delineate.data.formats.dicom.address import DicomAddress
from delineate.data.formats.dicom.files import is_dicom
from delineate.data.formats.frames import frame_address
from delineate.data.formats.packed_volume import as_volume
from delineate.data.formats.registry import and_faults, file_stem, pairs_named, reads_image, reads_volume
from delineate.data.layouts.roles import assign
from delineate.data.layouts.source import DataSource
from delineate.data.layouts.tree import File, image_files, lost_links, volume_files, walk
from delineate.data.layouts.unpacked import unpacked
from delineate.data.splits.run_splits import run_manifest, with_run_splits
from delineate.inference.dicom_inputs import dicom_of_files, dicom_of_folder, is_dicom_file
from delineate.inference.folder_hints import where_images_are

__all__ = [
    "Channel",
    "Input",
    "Inputs",
    "Names",
    "SplitChoice",
    "expand",
    "find_inputs",
    "find_split",
    "name_outputs",
    "of_cases",
]

SplitChoice = Split | Literal["all"]
Names = Literal["numbered", "keep"]
Channel = tuple[str, Path]
"""Name and file of a channel."""


@dataclass(frozen=True)
class Input:
    """One image to predict. `name`: of its outputs, relative to the output folder, without suffix, in POSIX form."""

    image: Path
    name: str
    channels: tuple[Channel, ...] = ()
    """Where the image lies in several files, all of them; `image` is the first."""
    spacing: PixelSpacing | None = None
    """Of its pixels in mm, where its data set tells."""


@dataclass(frozen=True)
class Inputs:
    """What is to be predicted, and what its owner should know of it."""

    images: list[Input]
    notes: tuple[str, ...] = ()
    folders: frozenset[Path] = frozenset()
    """Those that the images and masks of data sets lie in."""


def find_inputs(inputs: Iterable[Path | str], names: Names = "numbered") -> Inputs:
    """The images of files, folders and patterns, as `expand` finds them; masks that lie beside their images are left out.

    `names`: of outputs of DICOM images (`name_outputs`).
    """
    notes: list[str] = []
    return Inputs(name_outputs(expand(inputs, notes), names), tuple(notes))


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


def expand(inputs: Iterable[Path | str], notes: list[str] | None = None) -> list[Path]:
    """Image files in the order of the inputs, each once: a file as it is, a folder's images (not those of its sub-folders), a
    glob pattern's images (`**` for sub-folders). DICOM files are put together to series.

    Masks that lie beside their images in a folder are left out, which is added to `notes`. Raises `DataError` for an input that
    does not exist or gives no image, and for a name that is not UTF-8.
    """
    notes = [] if notes is None else notes
    found = _joined([path for given in inputs for path in _expand(str(given), notes)], notes)
    if not found:
        raise DataError("nothing to predict: give files, folders or patterns")
    strange = [path for path in found if printable(path) != str(path)]
    if strange:
        raise DataError(f"the name of {printable(strange[0])} is not UTF-8; rename it: tables are written in UTF-8")
    return list({os.path.realpath(path): path for path in reversed(found)}.values())[::-1]


def name_outputs(images: Sequence[Path], names: Names = "numbered") -> list[Input]:
    """Stems as names where all differ; else the path from the images' common folder. Raises `DataError` when those clash too.

    DICOM images are numbered unless their names are to be kept: they often tell who the patient is.
    """
    numbered = [image for image in images if DicomAddress.parse(image) is not None] if names == "numbered" else []
    if numbered:
        others = [image for image in images if image not in numbered]
        called = {image: f"case_{number:04d}" for number, image in enumerate(numbered, 1)}
        called |= {each.image: each.name for each in (name_outputs(others) if others else ())}
        return [Input(image, called[image]) for image in images]
    stems = Counter(map(_name_of, images))
    if max(stems.values()) == 1:
        return [Input(image, _name_of(image)) for image in images]
    absolute = [Path(os.path.abspath(image)) for image in images]  # noqa: PTH100 - links stay what they are called
    common = Path(os.path.commonpath([path.parent for path in absolute]))
    named = [
        Input(image, path.relative_to(common).with_name(_name_of(image)).as_posix())
        for image, path in zip(images, absolute, strict=True)
    ]
    counts = Counter(each.name for each in named)
    for name, count in counts.items():
        if count > 1:
            same = [str(each.image) for each in named if each.name == name]
            raise DataError(
                f"{' and '.join(same)} would both be predicted as '{name}'; predict them into different folders"
            )
    return named


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


def _name_of(image: Path) -> str:
    """What an image is called, in a file of its own, in a packed one, or in DICOM: there by its place and its key."""
    inside = DicomAddress.parse(image)
    if inside is not None:
        return f"{inside.place.name if inside.place.is_dir() else inside.place.stem}_{inside.key}"
    address = Address.parse(image)
    return file_stem(image) if address is None else address.name


def _joined(paths: Sequence[Path], notes: list[str]) -> list[Path]:
    """The paths, DICOM files among them put together to series."""
    files = [path for path in paths if is_dicom_file(path)]
    if not files:
        return list(paths)
    images, left = dicom_of_files(files, notes), set(files)
    return [image for path in paths for image in (images.pop(path, []) if path in left else [path])]


def _expand(given: str, notes: list[str]) -> list[Path]:
    path = Path(given)
    if path.is_dir():
        return _of_folder(path, notes)
    if is_archive(path) and path.is_file():
        folder = unpacked(path)
        notes.append(f"{path.name} was unpacked into {folder}")
        return _of_folder(folder, notes)
    if path.suffix.lower() in (".csv", ".json") and path.is_file():
        raise DataError(f"{given} lists a data set; say which part of it to predict, such as --split all")
    if is_dicom_file(path):
        return [path]
    if (address := Address.parse(path)) is not None:
        return [Path(str(as_volume(address) or address))]
    if path.exists() or DicomAddress.parse(path) is not None or frame_address(path)[0].is_file():
        return [path]
    if path.is_symlink():
        raise DataError(
            f"input {given} is a link that leads nowhere ({printable(path.readlink())}); restore its target"
        )
    if glob.has_magic(given):
        matches = [Path(match) for match in sorted(glob.glob(given, recursive=True))]  # noqa: PTH207 - absolute patterns
        images = [match for match in matches if match.is_file() and (reads_image(match) or is_dicom(match))]
        if not images:
            what = f", only {some([match.name for match in matches], 3)}" if matches else ""
            raise DataError(f"pattern '{given}' matches no images{what}; check the folder and the suffix")
        return images
    raise DataError(f"input {given} does not exist; give image files, folders or patterns like 'scans/*.png'")


def _of_folder(folder: Path, notes: list[str]) -> list[Path]:
    lost = lost_links(folder)
    if lost:
        raise DataError(f"{lost[0]} is a link that leads nowhere; restore its target, or remove it")
    files = sorted([*image_files(folder), *filter(reads_volume, volume_files(folder))])
    items = assign([File(path, (), normal(file_stem(path))) for path in files])
    images = [item.path for item in items if item.role in (Role.NONE, Role.IMAGE)]
    if images:
        left = sorted(set(files) - set(images))
        if left:
            notes.append(
                f"{len(left)} masks beside their images left out of {folder}: {some([p.name for p in left], 3)}"
            )
        return images + dicom_of_folder(folder, notes, deep=False)
    if found := dicom_of_folder(folder, notes):
        return found
    tree = walk(folder.resolve())
    tree.images += [file for file in tree.volumes if reads_volume(file.path)]
    if tree.images:
        raise DataError(f"folder {folder} itself holds no images, {where_images_are(folder, tree)}")
    seen = sorted(path.name for path in folder.iterdir())
    raise DataError(
        f"folder {folder} holds no images ({f'found {some(seen, 3)}{and_faults()}{pairs_named(seen)}' if seen else 'it is empty'})"
    )
