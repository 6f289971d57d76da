"""The files that are written of one image: its mask, an overlay, probability maps. Each file is whole or absent.

Which format a file has is told by its name (`data.formats.registry`): pictures get PNG, volumes NIfTI on their own grid.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delineate.common.files import sha256
from delineate.data.core.input_spec import Pixels
from delineate.data.core.known import Role
from delineate.data.core.manifest import ClassTable
from delineate.data.formats.canonical import Canonical
from delineate.data.formats.contract import FULL, ImageHandle
from delineate.data.formats.images import write_image
from delineate.data.formats.ome_zarr_labels import ATTRIBUTES
from delineate.data.formats.registry import write_map, write_mask
from delineate.evaluation.inputs.prediction_list import PredictedFile
from delineate.inference.doubt import CaseDoubt
from delineate.inference.overlay import draw, palette
from delineate.inference.plan import Item, relative
from delineate.inference.segmenter import Probabilities

__all__ = [
    "fractions",
    "listed",
    "mask_labels",
    "mask_values",
    "value_names",
    "volume_mask_name",
    "volume_values",
    "write_class_map",
    "write_class_volume",
    "write_map_volume",
    "write_maps",
    "write_overlay",
]


def mask_values(classes: ClassTable) -> tuple[int, ...]:
    """The value of each class in the masks that are written: 0 and 255 for one foreground class, else class indices."""
    return (0, 255) if len(classes.names) == 2 else tuple(range(len(classes.names)))


def mask_labels(classes: ClassTable) -> str:
    """What the values of a picture's mask mean, as text for its file."""
    return value_names(classes, mask_values(classes))


def volume_values(classes: ClassTable) -> tuple[int, ...]:
    """The same in label volumes: class indices, which viewers of volumes expect."""
    return tuple(range(len(classes.names)))


def write_class_map(path: Path, indices: NDArray[np.uint8], classes: ClassTable) -> None:
    """Write class indices H×W as a PNG mask, with what its values mean and, of several classes, their colors."""
    values = mask_values(classes)
    write_mask(path, np.array(values, np.uint8)[indices], labels=value_names(classes, values), palette=palette(classes))


def write_class_volume(path: Path, indices: NDArray[np.uint8], classes: ClassTable, like: ImageHandle) -> None:
    """Write class indices, in the order of axes of `like`, as a label volume on the grid of its file."""
    write_mask(path, indices, like=like, labels=value_names(classes, volume_values(classes)))


def volume_mask_name(case: str, like: Canonical) -> str:
    """The file of a volume's mask in a run's folder: NIfTI, or TIFF where the image has no place in the patient."""
    return f"{case}{'.nii.gz' if like.geometry.tells == 'place' else '.tif'}"


def write_overlay(
    path: Path,
    image: Pixels,
    indices: NDArray[np.uint8],
    classes: ClassTable,
    reference: NDArray[np.uint8] | None = None,
) -> None:
    """Write the image with the contours of its mask, and dashed ones of a reference."""
    write_image(path, draw(image, indices, reference, classes=classes))


def write_maps(paths: Sequence[Path], planes: Iterable[Probabilities]) -> None:
    """Write one plane of probabilities H×W after another as PNG of 16 bits: 65535 is probability 1."""
    for path, plane in zip(paths, planes, strict=True):
        write_map(path, fractions(plane))


def write_map_volume(path: Path, values: NDArray[np.uint16], like: ImageHandle) -> None:
    """Write probabilities as `fractions`, in the order of axes of `like`, on the grid of its file."""
    write_map(path, values, like=like)


def fractions(probabilities: Probabilities) -> NDArray[np.uint16]:
    """Probabilities as maps hold them: whole numbers, 65535 for 1."""
    return np.rint(probabilities * FULL).astype(np.uint16)


def listed(item: Item, folder: Path, seen: Role | None, doubt: CaseDoubt | None = None) -> PredictedFile:
    """What the list says of the files of one image, read back from the disk's cache."""
    overlays = [path for path in (item.overlay, item.outlines) if path is not None]
    overlays += [] if item.labels is None else [item.labels / ATTRIBUTES]  # stands for the folder
    uncertainty = [] if item.uncertainty is None else [item.uncertainty]
    return PredictedFile(
        mask=relative(item.mask, folder),
        image=item.image.as_posix(),
        seen=seen,
        mask_sha256=sha256(item.mask),
        maps={relative(path, folder): sha256(path) for path in item.maps},
        overlays={relative(path, folder): sha256(path) for path in overlays},
        uncertainty={relative(path, folder): sha256(path) for path in uncertainty},
        confidence=None if doubt is None else doubt.confidence,
        expected_dice=None if doubt is None else doubt.expected_dice,
    )


def value_names(classes: ClassTable, values: Sequence[int]) -> str:
    """What stands in a mask's metadata: "0=background, 255=lesion"."""
    return ", ".join(f"{value}={name}" for value, name in zip(values, classes.names, strict=True))
