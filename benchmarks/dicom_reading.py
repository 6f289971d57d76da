"""How long DICOM headers take: 2000 files of many series, and opening a series of 300 slices. Files are made in a temporary folder.

python benchmarks/dicom_reading.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from delineate.data.formats.dicom.scan import scan
from delineate.data.formats.registry import open_image

SIZE = 512


def write_slice(path: Path, series: int, at: int, pixels: bytes) -> None:
    """One CT slice with as many tags as scanners write."""
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset

    image: Any = FileDataset("", {}, file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    image.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"1.2.826.0.1.{series + 1}.{at + 1}"
    image.StudyInstanceUID, image.SeriesInstanceUID = "1.2.826.0.2", f"1.2.826.0.3.{series + 1}"
    image.Modality, image.PatientID, image.SeriesNumber, image.InstanceNumber = "CT", "1", series + 1, at + 1
    image.ImagePositionPatient, image.ImageOrientationPatient = [0, 0, 1.25 * at], [1, 0, 0, 0, 1, 0]
    image.PixelSpacing, image.SliceThickness, image.RescaleSlope, image.RescaleIntercept = [0.7, 0.7], 1.25, 1, -1024
    for group in range(60):
        image.add_new((0x0019, 0x1001 + group), "LO", f"a private value of some length, number {group}")
    image.Rows = image.Columns = SIZE
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    image.PixelData = pixels
    image.save_as(path, enforce_file_format=True)


def main() -> None:
    pixels = np.random.default_rng(0).integers(0, 4096, (SIZE, SIZE)).astype("<u2").tobytes()
    with TemporaryDirectory() as root:
        folder = Path(root) / "study"
        folder.mkdir()
        for number in range(2000):
            write_slice(folder / f"I{number:05d}", number // 100, number % 100, pixels)
        found = _timed("headers of 2000 files", scan, folder)
        print(f"{len(found.series)} series")
        one = Path(root) / "one"
        one.mkdir()
        for number in range(300):
            write_slice(one / f"I{number:05d}", 99, number, pixels)
        handle = _timed(f"opening 300 slices of {SIZE}²", open_image, one)
        voxels = _timed("decoding all of them", handle.read)
        print(f"{voxels.nbytes / 1e6:.0f} MB")


def _timed(what: str, run: Callable[..., Any], *given: Any) -> Any:
    start, busy = time.perf_counter(), time.process_time()
    result = run(*given)
    print(f"{what}: {time.perf_counter() - start:.2f} s, processor {time.process_time() - busy:.2f} s")
    return result


if __name__ == "__main__":
    main()
