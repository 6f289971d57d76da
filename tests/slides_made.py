"""Slides that tests make: as Aperio's scanners write them, and in DICOM."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from PIL import Image

__all__ = ["dicom_slide", "halved", "tissue", "write_svs"]


def tissue(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Pale spots on glass."""
    rough = cv2.GaussianBlur(np.random.default_rng(seed).random((height, width, 3)), (0, 0), 6)
    rough = (rough - rough.min()) / np.ptp(rough)
    pixels = np.where(rough.mean(axis=2, keepdims=True) > 0.5, 20 + 150 * rough, 245)
    return pixels.astype(np.uint8)


def halved(image: np.ndarray, by: int) -> np.ndarray:
    height, width = image.shape[0] // by, image.shape[1] // by
    return cv2.resize(image[: height * by, : width * by], (width, height), interpolation=cv2.INTER_AREA)


def write_svs(path: Path, image: np.ndarray, mpp: float | None = 0.5, compression: str = "zlib") -> None:
    """Three sizes, and a thumbnail between them, as Aperio has it."""
    height, width = image.shape[:2]

    def about(page: np.ndarray) -> str:
        told = "" if mpp is None else f"|MPP = {mpp}"
        size = f"{width}x{height} [0,0 {page.shape[1]}x{page.shape[0]}]"
        return f"Aperio Image Library v11.2.1\n{size} (240x240) JPEG/RGB Q=70|AppMag = 20{told}"

    how: dict[str, Any] = {"photometric": "rgb", "compression": compression, "metadata": None}
    with tifffile.TiffWriter(path) as file:
        for page, tiled in (
            (image, True),
            (halved(image, 8), False),
            (halved(image, 4), True),
            (halved(image, 16), True),
        ):
            form: dict[str, Any] = {"tile": (240, 240)} if tiled else {"rowsperstrip": 16}
            file.write(page, description=about(page), **form, **how)


def dicom_slide(
    folder: Path,
    image: np.ndarray,
    *,
    packed: str = "raw",
    sparse: bool = False,
    absent: Sequence[tuple[int, int]] = (),
    tile: int = 128,
    spacing: float = 0.0005,
    **changed: Any,
) -> Path:
    """A folder with three sizes and a label. `packed`: raw, jpeg, j2k; `absent`: first row and column of tiles that are not there;
    `changed`: tags of the largest size."""
    from pydicom.uid import generate_uid

    folder.mkdir(parents=True)
    uids = [generate_uid() for _ in range(3)]
    for number, by in enumerate((1, 4, 16), 1):
        page = image if by == 1 else halved(image, by)
        tags = {"InstanceNumber": number, **(changed if by == 1 else {})}
        made = _instance(page, tile, spacing * by, uids, packed, sparse, absent if by == 1 else (), "VOLUME")
        made.update(tags)
        made.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    label = _instance(image[:64, :64], 64, spacing, uids, "raw", False, (), "LABEL")
    label.save_as(folder / "label.dcm", enforce_file_format=True)
    return folder


def _instance(
    image: np.ndarray,
    tile: int,
    spacing: float,
    uids: Sequence[str],
    packed: str,
    sparse: bool,
    absent: Sequence[tuple[int, int]],
    flavor: str,
) -> Any:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate, encapsulate_extended
    from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, generate_uid

    def item(**values: Any) -> Dataset:
        made = Dataset()
        made.update(values)
        return made

    made = item(Modality="SM", PatientID="1", PatientName="A^B", SeriesNumber=1, Rows=tile, Columns=tile)
    made.file_meta = FileMetaDataset()
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.6"
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    made.StudyInstanceUID, made.SeriesInstanceUID, made.FrameOfReferenceUID = uids
    made.update({"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0, "PlanarConfiguration": 0})
    made.ImageType, made.SamplesPerPixel = ["ORIGINAL", "PRIMARY", flavor, "NONE"], 3
    made.TotalPixelMatrixRows, made.TotalPixelMatrixColumns = image.shape[:2]
    made.OpticalPathSequence, made.TotalPixelMatrixFocalPlanes = [item(OpticalPathIdentifier="1")], 1
    made.ImageOrientationSlide = [0, -1, 0, -1, 0, 0]
    made.TotalPixelMatrixOriginSequence = [item(XOffsetInSlideCoordinateSystem=0, YOffsetInSlideCoordinateSystem=0)]
    measures = item(PixelSpacing=[spacing, spacing], SliceThickness=0.001)
    made.SharedFunctionalGroupsSequence = [item(PixelMeasuresSequence=[measures])]
    tiles = [(place, pixels) for place, pixels in _tiles(image, tile) if place not in absent]
    made.NumberOfFrames, made.DimensionOrganizationType = len(tiles), "TILED_SPARSE" if sparse else "TILED_FULL"
    if sparse:
        names = "RowPositionInTotalImagePixelMatrix", "ColumnPositionInTotalImagePixelMatrix"
        places = [dict(zip(names, (y + 1, x + 1), strict=True)) for (y, x), _ in tiles]
        made.PerFrameFunctionalGroupsSequence = [item(PlanePositionSlideSequence=[item(**place)]) for place in places]
    if packed == "raw":
        made.PhotometricInterpretation, made.file_meta.TransferSyntaxUID = "RGB", ExplicitVRLittleEndian
        made.PixelData = b"".join(pixels.tobytes() for _, pixels in tiles)
    elif packed == "jpeg":
        made.PhotometricInterpretation, made.file_meta.TransferSyntaxUID = "YBR_FULL_422", JPEGBaseline8Bit
        made.PixelData = encapsulate([_encoded(pixels, "JPEG", quality=90) for _, pixels in tiles])
    else:
        made.PhotometricInterpretation, made.file_meta.TransferSyntaxUID = "YBR_RCT", JPEG2000Lossless
        parts = [_encoded(pixels, "JPEG2000", irreversible=False, no_jp2=True) for _, pixels in tiles]
        made.PixelData, made.ExtendedOffsetTable, made.ExtendedOffsetTableLengths = encapsulate_extended(parts)
    made["PixelData"].is_undefined_length = packed != "raw"
    return made


def _tiles(image: np.ndarray, side: int) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    for y in range(0, image.shape[0], side):
        for x in range(0, image.shape[1], side):
            tile = np.zeros((side, side, 3), np.uint8)
            part = image[y : y + side, x : x + side]
            tile[: part.shape[0], : part.shape[1]] = part
            yield (y, x), tile


def _encoded(pixels: np.ndarray, form: str, **how: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form, **how)
    return stream.getvalue()
