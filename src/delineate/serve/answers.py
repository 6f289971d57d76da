"""Answers: the files that a prediction wrote, as they are, or read back as JSON, NumPy arrays or bytes."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.formats.annotations.run_lengths import encode
from delineate.data.formats.contract import FULL
from delineate.data.formats.registry import open_image, read_mask
from delineate.inference.parts import PredictionContext
from delineate.inference.plan import Item
from delineate.inference.results import FileResult
from delineate.inference.segmenter import Segmenter
from delineate.inference.write import mask_values
from delineate.serve.models import ServedModel
from delineate.serve.options import SegmentQuery
from delineate.serve.views import npy, view_of

__all__ = ["Answer", "Made", "answer_of", "file_answer"]

_TYPES = {
    ".png": "image/png",
    ".tif": "image/tiff",
    ".nii.gz": "application/gzip",
    ".mha": "application/octet-stream",
    ".nrrd": "application/octet-stream",
    ".dcm": "application/dicom",
}
"""Ending of a file that is answered with → its media type."""


@dataclass(frozen=True)
class Answer:
    """The body of an answer."""

    content: bytes
    media_type: str
    name: str
    """What a browser saves it as."""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Made:
    """What was predicted of a request."""

    model: ServedModel
    query: SegmentQuery
    job: PredictionContext
    items: Sequence[Item]
    notes: tuple[str, ...]
    kept: dict[str, NDArray[np.float32]]
    """Name of an item → its probabilities, where they were asked for as they are."""

    @property
    def variant(self) -> Segmenter:
        """What predicted."""
        return self.job.worker.predictor


def answer_of(made: Made, results: Sequence[FileResult]) -> Answer:
    """The answer that was asked for. Raises `DataError` where there cannot be such a one."""
    output = made.query.output
    headers = _headers(made, results)
    if output == "json":
        facts = _facts(made, results, masks=True)
        return Answer(_json(facts), "application/json", "result.json", headers)
    if output == "view" and len(made.items) > 1:
        raise DataError(f"these files are {len(made.items)} images, not the slices of one: send each by itself")
    if output in ("npz", "raw") and len(made.items) > 1:
        raise DataError(f"{len(made.items)} images were sent, and output={output} holds one; ask for zip, or send one")
    if output == "npz":
        return Answer(_arrays(made), "application/octet-stream", "mask.npz", headers)
    if output == "view":
        return Answer(_viewed(made, results), "application/zip", "view.zip", headers)
    if output == "raw":
        planes = made.kept[made.items[0].name]
        shape = ",".join(map(str, planes.shape))
        return Answer(
            planes.astype("<f4").tobytes(),
            "application/octet-stream",
            "probabilities.raw",
            {**headers, "x-shape": shape},
        )
    files = [path for item in made.items for path in item.files]
    if output == "zip" or len(files) > 1:
        return Answer(_zipped(made, files, results), "application/zip", "masks.zip", headers)
    return replace(file_answer(files[0]), headers=headers)


def file_answer(path: Path) -> Answer:
    """A mask's file as it is."""
    suffix = next(one for one in _TYPES if path.name.endswith(one))
    return Answer(path.read_bytes(), _TYPES[suffix], f"mask{suffix}")


def _headers(made: Made, results: Sequence[FileResult]) -> dict[str, str]:
    told = [*dict.fromkeys(one.remark for one in results if one.remark), *made.notes]
    text = "; ".join(told).encode("ascii", "backslashreplace").decode()
    return {"x-model-hash": made.model.info.sha256} | ({"x-remark": " ".join(text.split())[:2000]} if text else {})


def _facts(made: Made, results: Sequence[FileResult], *, masks: bool) -> dict[str, Any]:
    """All that is known of the images. No name of a file of the client is in it."""
    images = [_facts_of(made, item, one, masks=masks) for item, one in zip(made.items, results, strict=True)]
    return {
        "model": made.model.name,
        "sha256": made.model.info.sha256,
        "title": made.variant.title,
        "tta": made.variant.tta,
        "threshold": getattr(made.variant, "threshold", None),
        "notes": list(made.notes),
        "images": images,
    }


def _facts_of(made: Made, item: Item, result: FileResult, *, masks: bool) -> dict[str, Any]:
    table = made.variant.classes
    shape = [result.height, result.width] if not result.depth else [result.width, result.height, result.depth]
    amounts = result.milliliters or (None,) * len(result.percent)
    facts: dict[str, Any] = {
        "shape": shape,
        "spacing": None if result.spacing is None else list(result.spacing),
        "classes": [
            {"index": index, "name": name, "percent": percent, "milliliters": amount}
            for index, (name, percent, amount) in enumerate(
                zip(table.names[1:], result.percent, amounts, strict=True), 1
            )
        ],
        "remark": result.remark,
        "seen": result.seen,
        "doubt": None if result.doubt is None else asdict(result.doubt),
        "drift": None
        if result.drift is None
        else {"distance": result.drift.distance, "outside": result.drift.outside, "reason": result.drift.reason},
    }
    if masks and not item.volume:
        indices = _indices(made, item)
        facts["masks"] = [
            {"class": index, "size": list(indices.shape), "counts": encode(indices == index)}
            for index in range(1, len(table.names))
        ]
        if item.maps:
            facts["probabilities"] = [
                {"name": name, "png": _text(path)} for name, path in zip(table.channels, item.maps, strict=True)
            ]
        if item.uncertainty is not None:
            facts["uncertainty"] = {"png": _text(item.uncertainty)}
    return facts


def _indices(made: Made, item: Item) -> NDArray[np.uint8]:
    """The mask as class indices, as it was written."""
    found: NDArray[np.uint8] = read_mask(item.mask).astype(np.uint8)
    values = mask_values(made.variant.classes)
    if item.volume or values == tuple(range(len(values))):
        return found
    return (found == values[1]).astype(np.uint8)


def _arrays(made: Made) -> bytes:
    item = made.items[0]
    arrays: dict[str, Any] = {"mask": _indices(made, item), "names": np.array(made.variant.classes.names)}
    if item.volume and (geometry := open_image(item.mask).geometry) is not None:
        arrays |= {
            "spacing": np.array(geometry.spacing),
            "origin": np.array(geometry.origin),
            "direction": geometry.direction,
        }
    if item.maps:
        arrays["probabilities"] = np.stack([_map(path) for path in item.maps])
    if item.uncertainty is not None:
        arrays["uncertainty"] = _map(item.uncertainty)
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def _viewed(made: Made, results: Sequence[FileResult]) -> bytes:
    item = made.items[0]
    if item.streamed:
        raise DataError("the picture is too large for a viewer; ask for another output")
    view = view_of(item, _indices(made, item), made.job, made.kept.get(item.name), made.query)
    facts = {**_facts(made, results, masks=False), "view": view.facts}
    stream = io.BytesIO()
    with ZipFile(stream, "w", ZIP_STORED) as packed:
        for name, array in view.arrays.items():
            packed.writestr(f"{name}.npy", npy(array))
        packed.writestr("result.json", _json(facts))
    return stream.getvalue()


def _zipped(made: Made, files: Sequence[Path], results: Sequence[FileResult]) -> bytes:
    stream = io.BytesIO()
    with ZipFile(stream, "w", ZIP_STORED) as packed:  # what is in it is packed already
        for path in files:
            packed.writestr(path.relative_to(made.job.folder).as_posix(), path.read_bytes())
        packed.writestr("result.json", _json(_facts(made, results, masks=False)))
    return stream.getvalue()


def _map(path: Path) -> NDArray[np.uint16]:
    """Whole numbers of which 65535 is 1, also where a file scales them itself."""
    found = open_image(path).read()
    return found.astype(np.uint16) if found.dtype.kind == "u" else np.rint(found * FULL).astype(np.uint16)


def _json(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False, allow_nan=False).encode()


def _text(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
