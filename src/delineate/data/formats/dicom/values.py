"""Stored numbers of a frame → what they mean: a scanner's own units in volumes, what a viewer shows in pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.formats.dicom.files import read_dataset
from delineate.data.formats.dicom.header import Frame, Header, text_of
from delineate.data.formats.dicom.numbers import number, tag_of
from delineate.data.formats.dicom.package import pydicom
from delineate.data.formats.dicom.pixels import COLORS

__all__ = ["display_range", "measured", "measured_type", "shown", "shown_type"]

_AIR = -1024
"""What a CT's pixels outside of the image become, in HU."""
_WHOLE = ("int16", "uint16", "int32")
"""Types of measured values that are whole, the first that holds all of them is taken; else float32."""


def measured_type(frames: Sequence[Frame]) -> np.dtype[Any]:
    """The type that holds the values of all frames, told by their headers.

    Args:
        frames: of one volume.

    Returns:
        int16, uint16, int32 or float32; uint8 of colors.

    Example:
        >>> from pathlib import Path
        >>> from pydicom.data import get_testdata_file
        >>> from delineate.data.formats.dicom.scan import scan
        >>> from delineate.data.formats.dicom.values import measured_type
        >>> (_, series), = scan(Path(get_testdata_file("CT_small.dcm"))).series
        >>> measured_type(series.frames)
        dtype('int16')
    """
    if frames[0].header.photometric in COLORS:
        return np.dtype(np.uint8)
    low, high = 0.0, 0.0
    for frame in {_scale(one): one for one in frames}.values():
        if frame.slope != int(frame.slope) or frame.intercept != int(frame.intercept) or frame.header.has_lookup:
            return np.dtype(np.float32)
        ends = [frame.slope * end + frame.intercept for end in _stored_range(frame.header)]
        air = [_AIR] if frame.header.padding is not None and frame.header.modality == "CT" else []
        low, high = min(low, *ends, *air), max(high, *ends)
    for name in _WHOLE:
        if np.iinfo(name).min <= low and high <= np.iinfo(name).max:
            return np.dtype(name)
    return np.dtype(np.float32)


def _scale(frame: Frame) -> tuple[object, ...]:
    header = frame.header
    return frame.slope, frame.intercept, header.bits, header.signed, header.padding, header.modality, header.has_lookup


def measured(stored: NDArray[Any], frame: Frame, dataset: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A frame of a volume in its own units: Hounsfield, counts, signal. Display windows and inversion are not applied.

    Args:
        stored: numbers of the frame.
        frame: whose slope and intercept they have.
        dataset: of its file.
        dtype: `measured_type` of the volume.

    Returns:
        H×W, or H×W×3 of colors. Pixels outside of the image are -1024 in CT, else the frame's least value.

    Raises:
        DataError: naming the file, whose table of values is damaged.
    """
    if frame.header.photometric in COLORS:
        return _bytes(stored, frame.header)
    values = _looked_up(stored, frame, dataset)
    if frame.slope != 1 or frame.intercept != 0:
        values = values * frame.slope + frame.intercept
    found: NDArray[Any] = values.astype(dtype)
    outside = _outside(stored, frame.header)
    if outside is not None:
        inside = found[~outside]
        found[outside] = _AIR if frame.header.modality == "CT" else inside.min() if inside.size else 0
    return found


def shown_type(header: Header) -> np.dtype[Any]:
    """The type of a picture's pixels.

    Args:
        header: of its file.

    Returns:
        uint8 of colors and of 8 bits; else uint16.
    """
    return np.dtype(np.uint8 if header.photometric in COLORS or header.bits <= 8 else np.uint16)


def shown(stored: NDArray[Any], frame: Frame, dataset: Any) -> NDArray[Any]:
    """A picture as a viewer shows it: by the first window or table (VOI) of its header, or by all stored values; white is white.

    Args:
        stored: numbers of the frame.
        frame: of the picture.
        dataset: of its file.

    Returns:
        H×W or H×W×3 of `shown_type`, which the picture fills from 0 to the largest number.

    Raises:
        DataError: naming file and tag; a window that cannot be.
    """
    header = frame.header
    if header.photometric in COLORS:
        return _bytes(stored, header)
    center, width = number(dataset, "WindowCenter", header.path), number(dataset, "WindowWidth", header.path)
    dark_is_high = header.photometric == "MONOCHROME1"
    plain = frame.slope == 1 and frame.intercept == 0 and not header.has_lookup
    full = np.iinfo(shown_type(header)).max
    outside = _outside(stored, header)
    if "VOILUTSequence" in dataset:
        values = _fractions(_looked_up(stored, frame, dataset), frame, dataset)
    elif center is not None and width is not None:
        values = _window(_looked_up(stored, frame, dataset) * frame.slope + frame.intercept, center, width, dataset)
    elif header.bits == 8 and plain and not header.signed and outside is None:
        return np.asarray(255 - stored if dark_is_high else stored, np.uint8)
    else:
        low, high = _stored_range(header)
        values = (stored - low) / (high - low)
    values = 1 - values if dark_is_high else values
    if outside is not None:
        values = np.where(outside, 0, values)
    return np.rint(np.clip(values, 0, 1) * full).astype(shown_type(header))


def display_range(frame: Frame) -> tuple[float, float] | None:
    """The values that a viewer shows as black and as white, by the first window of a header.

    Args:
        frame: of a volume.

    Returns:
        Both, in the units of `measured`; None where the header has no window.

    Raises:
        DataError: naming file and tag; a window that cannot be.
    """
    dataset, path = read_dataset(frame.path), frame.path
    groups = list(dataset.get("PerFrameFunctionalGroupsSequence") or [])
    own = groups[frame.index : frame.index + 1]
    for place in (*own, *(dataset.get("SharedFunctionalGroupsSequence") or []), dataset):
        item = place if place is dataset else next(iter(place.get("FrameVOILUTSequence") or []), None)
        if item is None:
            continue
        center, width = number(item, "WindowCenter", path), number(item, "WindowWidth", path)
        if center is not None and width is not None:
            return center - width / 2, center + width / 2
    return None


def _stored_range(header: Header) -> tuple[float, float]:
    if header.signed:
        return -(2.0 ** (header.bits - 1)), 2.0 ** (header.bits - 1) - 1
    return 0.0, 2.0**header.bits - 1


def _bytes(stored: NDArray[Any], header: Header) -> NDArray[np.uint8]:
    """Colors of 8 bits."""
    return stored if stored.dtype == np.uint8 else (stored >> max(0, header.bits - 8)).astype(np.uint8)


def _looked_up(stored: NDArray[Any], frame: Frame, dataset: Any) -> NDArray[Any]:
    """Through the table of a Modality LUT, where there is one."""
    if not frame.header.has_lookup:
        return stored
    try:
        return np.asarray(pydicom().pixels.apply_modality_lut(stored, dataset))
    except Exception as error:
        raise DataError(f"{frame.path}: its {tag_of('ModalityLUTSequence')} is damaged; restore the file") from error


def _outside(stored: NDArray[Any], header: Header) -> NDArray[np.bool_] | None:
    """Where pixels are padding; None where none are."""
    if header.padding is None:
        return None
    low, high = header.padding
    if not header.signed and low < 0:  # written as signed by programs that do not look
        low, high = low % (1 << header.bits), high % (1 << header.bits)
    found = (stored >= low) & (stored <= high)
    return found if found.any() else None


def _window(values: NDArray[Any], center: float, width: float, dataset: Any) -> NDArray[Any]:
    """0 to 1 by a window, as DICOM (PS3.3, C.11.2.1.2) defines it."""
    how = text_of(dataset, "VOILUTFunction").upper()
    if how == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(-4 * (values - center) / width)))
    if how == "LINEAR_EXACT" or width <= 1:
        return np.asarray((values - center) / width + 0.5)
    return np.asarray((values - (center - 0.5)) / (width - 1) + 0.5)


def _fractions(values: NDArray[Any], frame: Frame, dataset: Any) -> NDArray[Any]:
    """0 to 1 by the first table of a VOI LUT."""
    try:
        table = pydicom().pixels.apply_voi(values, dataset)
        bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        return np.asarray(table / (2.0**bits - 1))
    except Exception as error:
        raise DataError(f"{frame.path}: its {tag_of('VOILUTSequence')} is damaged; restore the file") from error
