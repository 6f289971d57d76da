"""DICOM masks as formats: those that `predict` writes by their names, all others by their addresses."""

from __future__ import annotations

from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS, ImageHandle, Reader
from delineate.data.formats.dicom.scan import scan
from delineate.data.formats.dicom_masks.address import MaskAddress
from delineate.data.formats.dicom_masks.objects import open_object
from delineate.data.formats.dicom_masks.on_series import MappedMask, MaskOnSeries
from delineate.data.formats.dicom_masks.suffixes import MASK_SUFFIXES

__all__ = ["DicomMaskAddresses", "DicomMasks"]


class DicomMasks(Reader):
    """Segmentations and structure sets that are called so. They are volumes, be it of one slice."""

    name = "dicom_masks"
    suffixes = MASK_SUFFIXES
    kind = "volume"

    def open(self, path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> ImageHandle:
        """As `open_object`. `max_pixels` is of pictures."""
        return open_object(path)


class DicomMaskAddresses(Reader):
    """Segmentations and structure sets of any name."""

    name = "dicom_mask_addresses"
    suffixes = ()
    kind = "packed"

    def sniff(self, path: Path, first: bytes) -> bool:
        return not first and MaskAddress.parse(path) is not None

    def volume_at(self, address: Path) -> bool:
        found = MaskAddress.parse(address)
        if found is None or found.images is None or found.series is None or found.images.is_dir():
            return found is not None
        return not any(at.key == found.series and at.kind == "image" for at, _ in scan(found.images).series)

    def open(self, path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> ImageHandle:
        """Raises `DataError` as `open_object`, and where the images of a mask on their grid are not near."""
        address = MaskAddress.parse(path)
        if address is None:
            raise DataError(f"{path} is no address of a DICOM mask")
        if address.series is None:
            return MappedMask(path, address)
        return MaskOnSeries(path, address, max_pixels)
