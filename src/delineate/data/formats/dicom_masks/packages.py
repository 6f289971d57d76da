"""highdicom, which writes segmentations, and pydicom's settings while something is written."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from threading import Lock
from typing import Any

from delineate.common.errors import DataError
from delineate.common.versions import DISTRIBUTION
from delineate.data.formats.dicom.package import pydicom

__all__ = ["highdicom", "quietly"]

_LOCK = Lock()


@cache
def highdicom() -> Any:
    """The package, without its remarks on what it writes. Raises `DataError` where it is missing."""
    try:
        package = import_module("highdicom")
    except ImportError as error:
        raise DataError(f"DICOM segmentations need highdicom: pip install '{DISTRIBUTION}[dicom]'") from error
    logging.getLogger("highdicom").setLevel(logging.CRITICAL)
    return package


@contextmanager
def quietly() -> Iterator[None]:
    """While objects are built of other files' headers: odd values are copied as they are, and no warning quotes them, since they
    may be a patient's. pydicom has one such setting for all threads, so one thread builds at a time."""
    config = pydicom().config
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        settings = config.settings
        before = settings.reading_validation_mode, settings.writing_validation_mode
        settings.reading_validation_mode = settings.writing_validation_mode = config.IGNORE
        try:
            yield
        finally:
            settings.reading_validation_mode, settings.writing_validation_mode = before
