"""Sets of pictures in arrays, told by the arrays' names: all pictures of a split in one, and their masks in another.

    train_images  N×H×W, N×H×W×3 or N×3×H×W     train_label  N×H×W      (MedSegBench; also val_…, test_…)
    X_train, y_train                            images, masks           (no splits: all pictures)

The arrays lie in one .npz or HDF5 file, or each is a .npy file. Splits are those that the names tell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from delineate.data.core.findings import some
from delineate.data.core.manifest import Split
from delineate.data.core.words import SPLIT_NAMES, UNLABELED
from delineate.data.formats.archives import trailing_dropped

__all__ = ["Shape", "find_arrays", "unused_arrays"]

Shape = tuple[int, ...]

_IMAGES = frozenset({"image", "images", "img", "imgs", "data", "x", "picture", "pictures", "scan", "scans"})
_LABELS = frozenset(
    {"label", "labels", "mask", "masks", "gt", "seg", "segs", "y", "target", "targets", "annotation", "annotations"}
    | {"segmentation", "segmentations"}
)
_MANY = frozenset({"images", "imgs", "x", "pictures", "scans"})
"""Names of an array of several pictures, where nothing else tells it from a volume."""
_SPLITS: dict[str, Split] = {**SPLIT_NAMES, "tr": "train", "ts": "test", "te": "test"}
_WORDS = re.compile(r"[\W_]+")
_COLORS = (3, 4)


@dataclass(frozen=True)
class _PictureArrays:
    """An array of pictures, and that of their masks."""

    image: str
    label: str | None
    number: int
    """Of pictures."""
    split: Split | None


@dataclass(frozen=True)
class _Name:
    """What an array's name says."""

    is_image: bool
    split: Split | None
    bare: bool
    """Whether its pictures are for training without masks."""


def find_arrays(shapes: Mapping[str, Shape]) -> list[_PictureArrays] | str | None:
    """The sets that arrays make; what is wrong with them; None where they are no sets, but a picture or a volume."""
    names = {name: said for name in shapes if (said := _said(name)) is not None}
    divided = {name: said for name, said in names.items() if said.split or said.bare}
    if not any(said.is_image for said in divided.values()):
        return _undivided(shapes, names)
    found = []
    for name, said in divided.items():
        if not said.is_image:
            continue
        label = None if said.bare else _label_of(said, divided)
        if label is None and not said.bare:
            if said.split == "test":
                continue
            wanted = f"{said.split}_label (or {said.split}_masks)"
            return f"'{name}' has no masks beside it: {wanted} is missing among {some(sorted(shapes))}"
        made = _paired(name, label, shapes, said.split or "train")
        if isinstance(made, str):
            return made
        found.append(made)
    return found


def unused_arrays(shapes: Mapping[str, Shape], found: Sequence[_PictureArrays]) -> list[str]:
    """Names of the arrays that are in none of the sets."""
    used = {name for one in found for name in (one.image, one.label)}
    return sorted(set(shapes) - used)


def _said(name: str) -> _Name | None:
    tokens = [token for token in _WORDS.split(name.lower()) if token]
    roles = [token for token in tokens if token in _IMAGES | _LABELS]
    splits = [_SPLITS[token] for token in tokens if token in _SPLITS]
    bare = [token for token in tokens if token in UNLABELED]
    if len(roles) != 1 or len(roles) + len(splits) + len(bare) != len(tokens) or len(splits) > 1:
        return None
    return _Name(roles[0] in _IMAGES, splits[0] if splits else None, bool(bare))


def _label_of(said: _Name, names: Mapping[str, _Name]) -> str | None:
    return next((name for name, one in names.items() if not one.is_image and one.split == said.split), None)


def _undivided(shapes: Mapping[str, Shape], names: Mapping[str, _Name]) -> list[_PictureArrays] | str | None:
    """All pictures in one array; None where it may as well be a volume."""
    images = [name for name, said in names.items() if said.is_image]
    labels = [name for name, said in names.items() if not said.is_image]
    if len(images) != 1 or len(labels) != 1:
        return None
    image, label = images[0], labels[0]
    shape, masks = trailing_dropped(shapes[image]), trailing_dropped(shapes[label])
    if len(shape) < 3 or len(masks) == 2 < len(shape) < 4 or shape[0] == 1:
        return None
    made = _paired(image, label, shapes, None)
    if image.lower() not in _MANY and (isinstance(made, str) or len(shape) == 3):
        return None
    return made if isinstance(made, str) else [made]


def _paired(image: str, label: str | None, shapes: Mapping[str, Shape], split: Split | None) -> _PictureArrays | str:
    """Two arrays whose shapes fit, or what is wrong with them."""
    shape = trailing_dropped(shapes[image])
    if len(shape) == 1:
        return (
            f"'{image}' is a list of {shape[0]} things, as pictures of different sizes are kept; lists of Python objects are never "
            "opened: save each picture as a file"
        )
    if not 3 <= len(shape) <= 4:
        return f"'{image}' is {_size(shapes[image])}; an array of pictures is N×H×W, N×H×W×3 or N×3×H×W"
    if len(shape) == 4 and shape[3] not in _COLORS and shape[1] not in (1, *_COLORS):
        return f"'{image}' is {_size(shape)}: pictures of {shape[3]} channels; only gray, RGB and RGBA are readable in this form"
    if label is None:
        return _PictureArrays(image, None, shape[0], split)
    marked = shapes[label]
    if len(marked) == 1 or (len(marked) == 2 and marked[1] == 1):
        return f"'{label}' has one number for each picture ({_size(marked)}): that is a classification, and masks are needed"
    masks = trailing_dropped(marked)
    if len(masks) == 4 and masks[1] == 1:
        masks = (masks[0], *masks[2:])
    planes = (shape[1:3], shape[2:]) if len(shape) == 4 else (shape[1:],)
    if len(masks) == 4 and masks[0] == shape[0]:
        return f"'{label}' is {_size(marked)}, a plane for each class: save the class of each pixel (argmax over that axis)"
    if len(masks) != 3 or masks[0] != shape[0] or masks[1:] not in planes:
        return f"'{image}' is {_size(shapes[image])} but '{label}' is {_size(marked)}; export both alike"
    return _PictureArrays(image, label, shape[0], split)


def _size(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
