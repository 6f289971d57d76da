"""Where a mask lies in a file of outlines: `FILE#KIND:WORDS`, which stands wherever a mask's path does.

    annotations/instances_train.json#coco:17      the outlines of the image 17; values are the ids of their categories
    annotations/instances_train.json#coco:17,1    the same, and 1 is added to each id, since a category has the id 0
    labels/train/a.txt#yolo:640x480               width and height of the image, whose fractions the file holds; class 0 is value 1
    a.json#labelme:polyp=1,wall=2                 the values of the names that the file has
    a.geojson#geojson:640x480,polyp=1             the same, and the size of the image, which the file does not tell
    annotations.xml#cvat:a.png,polyp=1            the same for one image of several: by its name, as it is written
    a.json#image:                                 the image inside of the file
    a.json#nothing:640x480                        no file, and nothing marked on the image

Words are percent-encoded, so that an address is one name in a path.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

__all__ = ["NOTHING", "AnnotationAddress", "size_word"]

_ADDRESS = re.compile(r"(?P<file>.+\.(?:json|geojson|txt|xml))#(?P<kind>[a-z]+):(?P<words>[^#/\\]*)", re.IGNORECASE)
_SIZE = re.compile(r"(\d+)x(\d+)")


NOTHING = "nothing"
"""The kind of an empty mask, of the size that a word tells: of an image that nobody has marked anything on."""


@dataclass(frozen=True)
class AnnotationAddress:
    """A mask in a file of outlines. `words`: what the kind of file needs to know, decoded."""

    file: Path
    kind: str
    words: tuple[str, ...] = ()
    values: tuple[tuple[str, int], ...] = ()
    """Name of a class in the file → its value in the mask; behind the words."""

    def __str__(self) -> str:
        values = (f"{quote(name, safe='')}={value}" for name, value in self.values)
        return (
            f"{self.file.as_posix()}#{self.kind}:{','.join([*(quote(word, safe='') for word in self.words), *values])}"
        )

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width, where a word tells them."""
        found = (_SIZE.fullmatch(word) for word in self.words)
        return next(((int(match[2]), int(match[1])) for match in found if match), None)

    @classmethod
    def parse(cls, path: Path | str) -> AnnotationAddress | None:
        """The address that a path is; None for the path of a file."""
        match = _ADDRESS.fullmatch(str(path))
        if match is None:
            return None
        words, values = [], []
        for part in filter(None, match["words"].split(",")):
            name, sign, value = part.rpartition("=")
            if sign and value.isdecimal():
                values.append((unquote(name), int(value)))
            else:
                words.append(unquote(part))
        return cls(Path(match["file"]), match["kind"], tuple(words), tuple(values))


def size_word(size: tuple[int, int]) -> str:
    """Height and width as a word of an address: `640x480` is 640 wide."""
    return f"{size[1]}x{size[0]}"
