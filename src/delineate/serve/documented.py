"""What the OpenAPI description says of bodies and errors, which FastAPI cannot read off the routes."""

from __future__ import annotations

from typing import Any

from delineate.serve.problems import CODES

__all__ = ["BODY", "PROBLEMS"]

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
