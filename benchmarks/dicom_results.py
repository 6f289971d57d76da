"""How long DICOM results take: a mask of 100 slices of 512² pixels and five classes as SEG (both types) and RTSTRUCT.

python benchmarks/dicom_results.py
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from delineate.data.core.geometry import Geometry
from delineate.data.formats.dicom_masks.codes import default_segments
from delineate.data.formats.dicom_masks.objects import open_object
from delineate.data.formats.dicom_masks.provenance import Provenance
from delineate.data.formats.dicom_masks.segmentation import write_segmentation
from delineate.data.formats.dicom_masks.sources import read_sources
from delineate.data.formats.dicom_masks.structure_set import write_structure_set

SLICES, SIDE, CLASSES = 100, 512, 5


def main() -> None:
    """Print a line for each step: seconds of the clock and of the processor, bytes."""
    names = [f"class {index}" for index in range(1, CLASSES + 1)]
    segments = default_segments(names, [(40 * index, 255 - 40 * index, 99) for index in range(CLASSES)])
    made_by, mask = Provenance("benchmark"), _balls()
    grid = Geometry((SIDE, SIDE, SLICES), (0.0, 0.0, 0.0), np.eye(3), (0.7, 0.7, 2.0), "1.2.3.4")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        slices = [(_slice(folder, at, grid), 0) for at in range(SLICES)]
        sources = _timed("headers", read_sources, slices)
        for kind in ("binary", "labelmap"):
            path = folder / f"{kind}.seg"
            for again in ("first", "again"):
                _timed(f"write {kind}, {again}", write_segmentation, path, mask, sources, segments, made_by, kind=kind)
            _timed(f"read {kind}, {path.stat().st_size:,} bytes", open_object(path).read)
        path = folder / "rtstruct"
        _timed("write rtstruct", write_structure_set, path, mask, sources, grid, segments, made_by)
        _timed(f"read rtstruct, {path.stat().st_size:,} bytes", open_object(path).drawn, grid, path)


def _timed(what: str, run: Callable[..., Any], *given: Any, **more: Any) -> Any:
    start, busy = time.perf_counter(), time.process_time()
    result = run(*given, **more)
    print(f"{what}: {time.perf_counter() - start:.2f} s, processor {time.process_time() - busy:.2f} s")
    return result


def _balls() -> np.ndarray:
    z, y, x = np.ogrid[-1 : 1 : SLICES * 1j, -1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    mask = np.zeros((SLICES, SIDE, SIDE), np.uint8)
    for index in range(1, CLASSES + 1):
        mask[z**2 + (y - 0.3 * index + 0.9) ** 2 + (x - 0.2 * index + 0.6) ** 2 < 0.2] = index
    return mask


def _slice(folder: Path, at: int, grid: Geometry) -> Path:
    image = FileDataset("", {}, file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = CTImageStorage
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = "1.2.1", "1.2.2", grid.frame
    image.Modality, image.Rows, image.Columns = "CT", SIDE, SIDE
    image.ImagePositionPatient, image.ImageOrientationPatient = [0, 0, 2 * at], [1, 0, 0, 0, 1, 0]
    image.PixelSpacing, image.SliceThickness = [0.7, 0.7], 2
    path = folder / f"{at}.dcm"
    pydicom.dcmwrite(path, image)
    return path


if __name__ == "__main__":
    main()
