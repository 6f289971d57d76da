"""Small data sets whose masks are outlines: images of noise, and files as labeling tools write them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from delineate.data.cases.pixels import case_mask
from delineate.data.core.manifest import Manifest
from delineate.data.layouts.source import DataSource
from delineate.data.loading.open_data import open_data

HEIGHT, WIDTH = 24, 32
SQUARE = [4.0, 5.0, 14.0, 5.0, 14.0, 15.0, 4.0, 15.0]
"""Rows 5…14, columns 4…13: 100 pixels."""
CORNER = [10.0, 10.0, 20.0, 10.0, 20.0, 20.0, 10.0, 20.0]
"""Rows and columns 10…19: 100 pixels, of which 20 lie on the other."""


def write_images(root: Path, names: Iterable[str]) -> None:
    """Gray noise, each picture another."""
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 255, (HEIGHT, WIDTH), np.uint8)
        path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())


def coco_object(image: Any, category: int = 1, segmentation: Any = None, **more: Any) -> dict[str, Any]:
    """An annotation: a square unless its outline is given."""
    outline = [SQUARE] if segmentation is None else segmentation
    return {"image_id": image, "category_id": category, "segmentation": outline, "bbox": [4, 5, 10, 10], **more}


def write_coco(
    path: Path,
    names: Sequence[str],
    objects: Sequence[dict[str, Any]] | None = None,
    categories: dict[int, str] | None = None,
    **more: Any,
) -> Path:
    """A COCO file: image n is `names[n]`, with a square on each unless `objects` are given."""
    objects = [coco_object(at) for at in range(len(names))] if objects is None else objects
    content = {
        "images": [{"id": at, "file_name": name, "height": HEIGHT, "width": WIDTH} for at, name in enumerate(names)],
        "annotations": [{"id": at, **one} for at, one in enumerate(objects)],
        "categories": [{"id": at, "name": name} for at, name in (categories or {1: "polyp"}).items()],
        **more,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def labelme_shape(label: str, numbers: Sequence[float] = SQUARE, kind: str = "polygon", **more: Any) -> dict[str, Any]:
    """A shape of labelme."""
    points = np.reshape(numbers, (-1, 2)).tolist()
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}, **more}


def write_labelme(path: Path, image: str, shapes: Sequence[dict[str, Any]], **more: Any) -> Path:
    """A file of labelme."""
    content = {
        "version": "5.5.0",
        "flags": {},
        "shapes": list(shapes),
        "imagePath": image,
        "imageData": None,
        "imageHeight": HEIGHT,
        "imageWidth": WIDTH,
        **more,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def yolo_line(number: int, numbers: Sequence[float] = SQUARE) -> str:
    """A line of YOLO: the outline as fractions."""
    fractions = np.reshape(numbers, (-1, 2)) / (WIDTH, HEIGHT)
    return " ".join([str(number), *(f"{value:.6f}" for value in fractions.ravel())])


def write_yolo(path: Path, lines: Sequence[str]) -> Path:
    """A text file of YOLO."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def opened(root: Path, **said: Any) -> Manifest:
    """The data set of a folder."""
    return open_data(DataSource(root, **said))[0]


def mask_of(manifest: Manifest, name: str) -> np.ndarray:
    """Class indices of a case."""
    mask = case_mask(manifest, next(case for case in manifest.cases if case.id == name))
    assert mask is not None
    return mask
