"""What to predict: files, folders or glob patterns → images, each with the name of its outputs (`dataset_inputs`: of data sets)."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from delineate.artefact.header import MODEL_FILE
from delineate.common.errors import DataError
from delineate.data.core.findings import some
from delineate.data.core.input_spec import PixelSpacing
from delineate.data.core.words import Role, normal, printable
from delineate.data.formats.archives import Address
from delineate.data.formats.containers import is_archive
from delineate.data.formats.dicom.address import DicomAddress
from delineate.data.formats.dicom.files import is_dicom
from delineate.data.formats.frames import frame_address
from delineate.data.formats.packed_volume import as_volume
from delineate.data.formats.registry import (
    and_faults,
    file_stem,
    is_picture_folder,
    pairs_named,
    reads_image,
    reads_volume,
)
from delineate.data.layouts.roles import assign
from delineate.data.layouts.tree import File, image_files, lost_links, volume_files, walk
from delineate.data.layouts.unpacked import unpacked
from delineate.inference.dicom_inputs import dicom_of_files, dicom_of_folder, is_dicom_file
from delineate.inference.folder_hints import where_images_are

__all__ = [
    "Channel",
    "Input",
    "Inputs",
    "Names",
    "expand",
    "find_inputs",
    "name_outputs",
]

_MODELS = (".safetensors", ".onnx")
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
    if (path.suffix in _MODELS and path.is_file()) or (path / MODEL_FILE).is_file():
        raise DataError(
            f"{given} is a model, not images; models that predict together with another are given by --ensemble"
        )
    if path.is_dir() and not is_picture_folder(path):
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
    place = frame_address(path)[0]
    if path.exists() or DicomAddress.parse(path) is not None or place.is_file() or is_picture_folder(place):
        return [path]
    if path.is_symlink():
        raise DataError(
            f"input {given} is a link that leads nowhere ({printable(path.readlink())}); restore its target"
        )
    if glob.has_magic(given):
        matches = [Path(match) for match in sorted(glob.glob(given, recursive=True))]  # noqa: PTH207 - absolute patterns
        images = [match for match in matches if match.is_file() and (reads_image(match) or is_dicom(match))]
        images = sorted([*images, *filter(is_picture_folder, matches)])
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
