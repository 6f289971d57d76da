"""Files and folders for a model of named channels → images with these channels, as nnU-Net, the Medical Segmentation Decathlon and
BraTS keep them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from delineate.common.errors import DataError
from delineate.common.names import did_you_mean
from delineate.data.core.findings import count, some
from delineate.data.core.naming import unique_names
from delineate.data.core.words import Role, channel_of, normal
from delineate.data.formats.registry import file_stem, reads_image, reads_volume
from delineate.data.layouts.channel_files import ChannelFiles, by_channels
from delineate.data.layouts.description import FILE, description_near
from delineate.data.layouts.roles import assign
from delineate.data.layouts.tree import File, image_files, volume_files, walk
from delineate.inference.inputs import Input, Inputs, Names, expand, find_inputs

__all__ = ["check_channels", "check_no_channels", "find_channel_inputs", "find_for"]


def find_for(channels: str | Sequence[str], inputs: Iterable[Path | str], names: Names = "numbered") -> Inputs:
    """The images of files, folders and patterns for a model of these channels (`InputSpec.channels`).

    `names`: of outputs of DICOM images. Raises `DataError` as `find_inputs` and `find_channel_inputs`.
    """
    if not isinstance(channels, str):
        return find_channel_inputs(inputs, channels)
    found = find_inputs(inputs, names)
    return replace(found, notes=(*found.notes, *check_no_channels(found.images)))


def find_channel_inputs(inputs: Iterable[Path | str], wanted: Sequence[str]) -> Inputs:
    """The images of files, folders and patterns, each with the channels `wanted`; of a folder without images, those in its folders.
    Masks beside the images are left out.

    Raises `DataError` in one line that names the image and both lists of channels, where they differ.
    """
    notes: list[str] = []
    found: list[ChannelFiles] = []
    for given in inputs:
        folder = Path(given)
        files = _files(folder) if folder.is_dir() else []
        files = files or [File(path, (path.parent.name,), _stem(path)) for path in expand([given], notes)]
        found += [_called(one, wanted, notes) for one in by_channels(files, description_near(files[0].path.parent))]
    if not found:
        raise DataError(
            f"no image has its channels in files of their own; the model takes {', '.join(wanted)}: give cases as in training, or "
            "a table with a column for each"
        )
    images = [
        Input(one.files[0][1], name, one.files)
        for one, name in zip(found, unique_names([one.key for one in found]), strict=True)
    ]
    check_channels(images, wanted)
    return Inputs(images, tuple(dict.fromkeys(notes)))


def check_channels(images: Sequence[Input], wanted: str | Sequence[str]) -> None:
    """Raise `DataError` for the first image whose named channels are not those of the model (`InputSpec.channels`)."""
    for image in images:
        given = [name for name, _ in image.channels]
        if not given:
            continue
        if isinstance(wanted, str):
            raise DataError(f"{image.image} is one of the channels {', '.join(given)}; the model takes {wanted} images")
        if set(given) != set(wanted):
            raise DataError(f"{image.name} ({image.image.parent}): {_difference(given, wanted)}")


def check_no_channels(images: Sequence[Input]) -> list[str]:
    """Whether volumes for a model of one unnamed channel are the channels of fewer cases (`a_0000`, `a_0001`): a note where their
    names alone look like it. Raises `DataError` where a `dataset.json` says so."""
    held: dict[str, list[Input]] = defaultdict(list)
    for image in images:
        found = channel_of(_stem(image.image)) if reads_volume(image.image) else None
        if found is not None:
            held[found[0]].append(image)
    several = [case for case in held.values() if len(case) > 1]
    if not several:
        return []
    names = some([image.image.name for image in several[0]])
    told = description_near(several[0][0].image.parent)
    if told is not None and len(told.channels) > 1:
        raise DataError(
            f"{names} are channels of one case ({told.in_words}), and the model takes images of one channel, which has no "
            f"name: give the files of the channel that it was trained on, such as '{several[0][0].image.parent}/*_0000.nii.gz'"
        )
    if len(several) < len(held):  # rather cases with numbers
        return []
    return [f"by their names {names} could be channels of one case; each is segmented as an image of its own"]


def _files(folder: Path) -> list[File]:
    """The images in a folder; where it has none itself, those in its folders. Raises `DataError` for a data set with a folder of
    masks: which part of it is meant, only the user knows."""
    own = sorted([*image_files(folder), *filter(reads_volume, volume_files(folder))])
    if own:
        name = folder.resolve().name
        return [File(path, (name,), _stem(path)) for path in own]
    tree = walk(folder.resolve())
    files = [file for file in (*tree.images, *tree.volumes) if reads_image(file.path)]
    masks = next((item.folder for item in assign(files) if item.role is Role.MASK and item.folder), None)
    if masks is not None:
        raise DataError(
            f"{folder} holds a data set with masks ({masks}): say which part of it to predict, such as --split all, or give its "
            "folder of images"
        )
    return files


def _stem(path: Path) -> str:
    return normal(file_stem(path))


def _called(image: ChannelFiles, wanted: Sequence[str], notes: list[str]) -> ChannelFiles:
    """The image, its channels called as the model's: upper and lower case do not matter, and bare numbers count its channels."""
    if image.counted:
        numbers = [f"{number:04d}" for number in range(len(wanted))]
        pairs = some([f"_{number} {name}" for number, name in zip(numbers, wanted, strict=True)])
        if image.names != tuple(numbers):
            raise DataError(
                f"{image.key[0]} ({image.files[0][1].parent}): the model takes {count(len(wanted), 'channel')}, without a {FILE} "
                f"by their numbers ({pairs}), and this image has {some([f'_{number}' for number in image.names])}"
            )
        notes.append(f"without a {FILE}, files are the model's channels by their numbers: {pairs}")
        return ChannelFiles(image.key, tuple(zip(wanted, (path for _, path in image.files), strict=True)))
    known = {name.casefold(): name for name in wanted}
    return ChannelFiles(
        image.key, tuple((known.get(name.casefold(), name), path) for name, path in image.files), image.counted
    )


def _difference(given: Sequence[str], wanted: Sequence[str]) -> str:
    lacking = [name for name in wanted if name not in given]
    extra = [name for name in given if name not in wanted]
    said = f"the model takes the channels {', '.join(wanted)}, and this image has {', '.join(given)}"
    parts = []
    if lacking:
        parts.append(f"{', '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} missing")
    if extra and lacking:
        parts.append(f"{extra[0]} is not known ({did_you_mean(extra[0], lacking)}): channels are found by their names")
    elif extra:
        parts.append(f"leave out {', '.join(extra)}, such as by a pattern for each file")
    return f"{said}: {'; '.join(parts)}"
