"""COCO's JSON: images, categories and annotations in one file; polygons, run lengths as numbers or as text, crowds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.formats.annotations import run_lengths
from delineate.data.formats.annotations.address import AnnotationAddress
from delineate.data.formats.annotations.drawing import LARGEST, Drawing
from delineate.data.formats.annotations.outlines import Mark, Outline, Part, Region, Segment, Size, outline
from delineate.data.formats.annotations.parsed import Parsed, as_written_by, read_json_file

__all__ = ["KIND", "Category", "CocoFile", "NotCocoError", "Picture", "Runs", "coco_drawing", "parse_coco", "read_coco"]

KIND = "coco"


@dataclass(frozen=True)
class Category:
    """A class as the file has it."""

    id: int
    name: str
    above: str = ""
    """Its supercategory."""


@dataclass(frozen=True)
class Picture:
    """An image that the file lists."""

    id: str
    file: str
    size: Size


@dataclass(frozen=True)
class CocoFile:
    """What a COCO file holds."""

    path: Path
    categories: Sequence[Category]
    pictures: Mapping[str, Picture]
    marks: Mapping[str, Sequence[Mark]]
    """Image → its marks, crowds first, else in the order of the file. Values are ids of categories."""
    crowds: int = 0
    boxes: Sequence[str] = ()
    """The annotations that are boxes without an outline."""
    flat: int = 0
    """Outlines with fewer than three corners, which mark no area."""
    others: int = 0
    """Annotations without outline and box: captions, tags."""
    annotated: bool = True
    """Whether there is a list of annotations at all; a test set may have none."""

    @property
    def used(self) -> set[int]:
        """The categories of which there are marks."""
        return {mark.value for marks in self.marks.values() for mark in marks}


@dataclass(frozen=True, eq=False)
class Runs:
    """A mask of the whole picture as run lengths, which fill it."""

    lengths: NDArray[np.int64]

    def on(self, size: Size, part: Part | None = None) -> Region:
        top, left, bottom, right = part or (0, 0, *size)
        return Region(top, left, run_lengths.drawn(self.lengths, size)[top:bottom, left:right])

    def box(self, size: Size) -> tuple[float, float, float, float]:
        return 0, 0, *size

    def content(self) -> bytes:
        return b"runs" + self.lengths.tobytes()


@dataclass
class _Found:
    """What is gathered from the annotations."""

    marks: dict[str, list[Mark]] = field(default_factory=dict)
    crowds: dict[str, list[Mark]] = field(default_factory=dict)
    boxes: list[str] = field(default_factory=list)
    flat: int = 0
    others: int = 0


class NotCocoError(DataError):
    """A JSON file that holds something else."""


def _looks_like_coco(content: Any) -> bool:
    """Whether a JSON's content is that of a COCO file: it lists images, and annotations or categories."""
    if not isinstance(content, Mapping) or not isinstance(content.get("images"), list):
        return False
    return isinstance(content.get("annotations"), list) or isinstance(content.get("categories"), list)


def parse_coco(path: Path) -> CocoFile:
    """Read a file. Raises `DataError` naming it, and the annotation that is wrong; `NotCocoError`: it holds something else."""
    content = read_json_file(path)
    if not _looks_like_coco(content):
        raise NotCocoError(f"{path} is no COCO file: it has no list of images with one of annotations")
    found = _Found()
    with as_written_by("COCO", path):
        try:
            categories = [_category(one) for one in content.get("categories") or []]
            pictures = _pictures(content["images"])
            annotations = content.get("annotations")
            for one in annotations or []:
                _add(found, one, {each.id for each in categories}, pictures)
        except _WrongError as fault:
            raise DataError(f"{path}: {fault}") from fault
    marks = {name: [*found.crowds.get(name, []), *found.marks.get(name, [])] for name in pictures}
    return CocoFile(
        path,
        categories,
        pictures,
        {name: own for name, own in marks.items() if own},
        crowds=sum(map(len, found.crowds.values())),
        boxes=found.boxes,
        flat=found.flat,
        others=found.others,
        annotated=annotations is not None,
    )


read_coco = Parsed(parse_coco)
"""`parse_coco`, once for each file."""


def coco_drawing(address: AnnotationAddress) -> Drawing:
    """The marks of one image. Raises `DataError` as `parse_coco`, and where the file does not list the image."""
    name, shift = address.words[0], int(address.words[1]) if len(address.words) > 1 else 0
    file = read_coco(address.file)
    if name not in file.pictures:
        raise DataError(
            f"{address.file} lists no image with the id {name}; restore the file or start from the folder anew"
        )
    marks = file.marks.get(name, ())
    return Drawing(
        file.pictures[name].size, [replace(mark, value=mark.value + shift) for mark in marks] if shift else marks
    )


class _WrongError(Exception):
    """What is wrong in a file, and what to do."""


def _category(one: Any) -> Category:
    number, name = (_number(one.get("id")), one.get("name")) if isinstance(one, Mapping) else (None, None)
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < LARGEST or not name:
        raise _WrongError(f"a category is {one}; each has a name and an id from 0 to {LARGEST - 1}")
    return Category(number, str(name), str(one.get("supercategory") or ""))


def _number(given: Any) -> Any:
    """A number that some tools write as text."""
    return int(given) if isinstance(given, str) and given.isdecimal() else given


def _pictures(images: Sequence[Any]) -> dict[str, Picture]:
    found: dict[str, Picture] = {}
    for one in images:
        if not isinstance(one, Mapping) or one.get("id") is None or not isinstance(one.get("file_name"), str):
            raise _WrongError(f"an image is {str(one)[:80]}; each has an id and a file_name")
        name = str(one["id"])
        size = _size(one.get("height"), one.get("width"))
        if size is None:
            raise _WrongError(f"the image {one['file_name']} has no height and width; add them, in pixels")
        if name in found:
            raise _WrongError(
                f"two images have the id {name}: {found[name].file} and {one['file_name']}; give each its own"
            )
        found[name] = Picture(name, one["file_name"], size)
    return found


def _size(height: Any, width: Any) -> Size | None:
    """Height and width as whole numbers of pixels; None where they are none."""
    both = [int(each) for each in (height, width) if isinstance(each, int | float) and each == each // 1 > 0]
    return (both[0], both[1]) if len(both) == 2 else None


def _add(found: _Found, one: Any, categories: set[int], pictures: Mapping[str, Picture]) -> None:
    if not isinstance(one, Mapping):
        raise _WrongError(f"an annotation is {str(one)[:80]}; each has an image_id, a category_id and a segmentation")
    name = str(one.get("id", "without id"))
    if not one.get("segmentation") and not one.get("bbox"):
        found.others += 1
        return
    picture = pictures.get(str(one.get("image_id")))
    if picture is None:
        raise _WrongError(
            f"the annotation {name} is of the image {one.get('image_id')}, which is not listed; add or remove it"
        )
    if _number(one.get("category_id")) not in categories:
        raise _WrongError(
            f"the annotation {name} has the category {one.get('category_id')}, which is not listed; add or remove it"
        )
    try:
        segments = _segments(one.get("segmentation"), picture.size)
    except (ValueError, TypeError, OverflowError) as error:
        raise _WrongError(f"the annotation {name} of {picture.file} has {error}; mend it") from error
    if segments is None:
        found.boxes.append(name)
        return
    area = [each for each in segments if not isinstance(each, Outline) or len(each.points) > 2]
    found.flat += len(segments) - len(area)
    place = found.crowds if one.get("iscrowd") else found.marks
    place.setdefault(picture.id, []).append(Mark(_number(one["category_id"]), tuple(area), name))


def _segments(given: Any, size: Size) -> list[Segment] | None:
    """The shapes of an annotation; None where it has none, as boxes have. Raises `ValueError` for what is no shape."""
    if given is None or given == []:
        return None
    if isinstance(given, Mapping):
        own = given.get("size")
        if not isinstance(own, list) or tuple(own) != size:
            raise ValueError(f"run lengths of the size {own}, but its image is {size[1]}×{size[0]}")
        counts = given.get("counts")
        if not isinstance(counts, str | list):
            raise _no_shape(counts)
        return [Runs(run_lengths.checked(counts, size))]
    if not isinstance(given, list):
        raise _no_shape(given)
    nested = any(isinstance(part, list) for part in given)
    return [_outline(part) for part in (given if nested else [given])]


def _outline(part: Any) -> Outline:
    try:
        numbers = np.asarray(part, np.float64)
    except (ValueError, TypeError):
        raise _no_shape(part) from None
    if numbers.ndim != 1:
        raise _no_shape(part)
    return outline(numbers)


def _no_shape(given: Any) -> ValueError:
    return ValueError(f"a segmentation that is no list of outlines and no run lengths ({str(given)[:40]})")
