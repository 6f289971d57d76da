"""DICOM masks that lie in several objects, one for each class: among predictions and references they are one mask."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.formats.dicom_masks.codes import CodeTable
from delineate.data.layouts.dicom_classes import label_key
from delineate.data.layouts.dicom_joined import JoinedObjects, MaskObject
from delineate.evaluation.inputs.dicom_masks import called_by_codes, file_of, is_dicom_mask

__all__ = ["joined_masks"]


def joined_masks(files: Sequence[Path], codes: CodeTable | None = None) -> list[Path]:
    """Masks of a folder, those of the same DICOM images joined.

    Args:
        files: masks of one folder, files and addresses.
        codes: what tells classes by codes; None: labels do.

    Returns:
        Them, in the order of the first object of each; files of other formats as they are.

    Raises:
        DataError: two objects of the same images hold the same class and differ in others, or as `called_by_codes`.
    """
    if len(files) < 2 or not all(map(is_dicom_mask, files)):
        return list(files)
    objects = [MaskObject.read(file_of(file)) for file in files]
    if codes is not None:
        names = called_by_codes(files, [one.names for one in objects], codes)
        objects = [
            MaskObject(one.file, own, one.codes, one.references, one.notes)
            for one, own in zip(objects, names, strict=True)
        ]
    groups: list[list[int]] = []
    for at, one in enumerate(objects):
        known = next((group for group in groups if any(_same_images(objects[other], one) for other in group)), None)
        if known is None:
            groups.append([at])
        else:
            known.append(at)
    found: list[Path] = []
    for group in groups:
        mask = JoinedObjects(tuple(objects[at] for at in group))
        whole = mask.twice is not None and _are_whole(mask.objects)
        found += [files[at] for at in group] if len(group) == 1 or whole else [_address(mask)]
    return found


def _are_whole(objects: Sequence[MaskObject]) -> bool:
    """Whether each holds all classes: then they are masks of several readers, which names tell apart, or nothing does."""
    return len({frozenset(map(label_key, one.names.keys(), one.names.values())) for one in objects}) == 1


def _address(mask: JoinedObjects) -> Path:
    if (same := mask.twice) is not None:
        name, one, other = same
        raise DataError(f"{one} and {other} both hold the class '{name}' of the same images; keep one of them there")
    return Path(str(mask.address({})))


def _same_images(one: MaskObject, other: MaskObject) -> bool:
    """By the images that both refer to; of files of several phases, by the frames of these, where classes are the same."""
    ours, theirs = one.references, other.references
    if not ours.instances or not theirs.instances:
        return bool(ours.series & theirs.series)
    if not ours.instances & theirs.instances:
        return False
    parted = bool(ours.frames and theirs.frames) and not ours.frames & theirs.frames
    return not parted or JoinedObjects((one, other)).twice is None
