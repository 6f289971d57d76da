"""What the OpenAPI description says of bodies and errors, which FastAPI cannot read off the routes."""

from __future__ import annotations

from typing import Any

from delineate.serve.problems import CODES

__all__ = ["BODY", "CORRECTION", "DRAWING", "EXAMPLES", "FILES", "PROBLEMS"]

_FILE = {"type": "string", "format": "binary"}
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "An image: PNG, JPEG, TIFF, BMP, GIF, WebP, JPEG 2000, NumPy, NIfTI, MetaImage, NRRD, DICOM, or a zip of a "
        "DICOM series. Its format is told by its content.",
        "content": {
            "application/octet-stream": {"schema": _FILE},
            "image/*": {"schema": _FILE},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"file": _FILE},
                    "additionalProperties": _FILE,
                    "required": ["file"],
                }
            },
        },
    }
}
"""Of a segmentation."""


def _form(description: str, properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": required}
    content = {"multipart/form-data": {"schema": schema}}
    return {"requestBody": {"required": True, "description": description, "content": content}}


_SEVERAL = {"type": "array", "items": _FILE}
EXAMPLES = _form(
    "As many files `image` as `mask`, in the same order.",
    {"image": _SEVERAL, "mask": _SEVERAL, "labels": {"type": "string"}},
    ["image", "mask"],
)
"""Of a set of examples."""
CORRECTION = _form("An image with its mended mask.", {"image": _FILE, "mask": _FILE}, ["image", "mask"])
"""Of a correction."""

DRAWING = _form(
    "An image with a mask as `output=view` gives it: `.npy`, uint8, slices × height × width.",
    {"image": _FILE, "mask": _FILE},
    ["image", "mask"],
)
"""Of a mask that is to be written."""

FILES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "What was asked for by `output`.",
        "content": {
            kind: {}
            for kind in (
                *(
                    "image/png",
                    "image/tiff",
                    "application/gzip",
                    "application/dicom",
                    "application/json",
                    "application/zip",
                ),
                "application/octet-stream",
            )
        },
        "headers": {
            "X-Model-Hash": {"description": "SHA-256 of the model's file", "schema": {"type": "string"}},
            "Server-Timing": {"description": "queue, decode, infer, encode in ms", "schema": {"type": "string"}},
            "X-Remark": {"description": "how the image differs from those of training", "schema": {"type": "string"}},
            "X-Shape": {"description": "of output=raw", "schema": {"type": "string"}},
        },
    }
}
"""Of a segmentation."""

_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "enum": sorted(CODES)},
        "detail": {"type": "string"},
        "retry_after": {"type": "integer"},
    },
}


def _documented(status: int) -> dict[str, Any]:
    titles = "; ".join(f"`{code}`: {title}" for code, (its, title) in CODES.items() if its == status)
    return {"description": titles, "content": {"application/problem+json": {"schema": _PROBLEM}}}


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: _documented(status) for status in sorted({status for status, _ in CODES.values()})
}
"""Status → what it means, of every route."""
