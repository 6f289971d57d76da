"""pydicom, imported when the first DICOM file is met. It is an extra (`dicom`), with the decoders of packed pixels."""

from __future__ import annotations

import logging
import warnings
from functools import cache
from importlib import import_module
from typing import Any

from delineate.common.errors import DataError

__all__ = ["pydicom"]

_LEAST = (3, 0, 2)
"""Versions before follow paths out of the folder that a DICOMDIR lies in (CVE-2026-32711)."""


@cache
def pydicom() -> Any:
    """The package, with its warnings off: they quote values of headers, which may be a patient's name.

    Raises `DataError` where it is missing or too old.
    """
    try:
        package = import_module("pydicom")
    except ImportError as error:
        raise DataError(
            "DICOM files need pydicom: pip install pydicom (the extra `dicom` has decoders of packed pixels, too)"
        ) from error
    version = tuple(int(part) for part in package.__version__.split(".")[:3] if part.isdigit())
    if version < _LEAST:
        raise DataError(f"pydicom {package.__version__} has a known security fault: pip install --upgrade pydicom")
    warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    import_module("pydicom.pixels")
    return package
