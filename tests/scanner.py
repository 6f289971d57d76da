"""DICOM files as scanners write them, of made-up patients: series of slices, files of many frames, pictures; faults on demand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

NAME, ID, BIRTH = "Pimpernel^Scarlet", "PID-90210-X", "19330517"
STUDY, DOCTOR = "Blakeney abdomen", "Chauvelin^A"
PLANTED = ("Pimpernel", "Scarlet", ID, BIRTH, "Blakeney", "Chauvelin")
"""What tells of the patient: none of it may be in any output but DICOM files."""
ALONG_AXES = np.eye(3)

Change = Callable[[Any, int], None]
"""Changes the data set of slice k before it is written."""


def uid(*parts: object) -> str:
    """A UID that is the same for the same words."""
    from pydicom.uid import generate_uid

    return str(generate_uid(entropy_srcs=[str(part) for part in parts]))


def patient(series: object, modality: str, kind: str) -> Any:
    """A data set without pixels. `kind`: of its SOP class, such as `CTImageStorage`."""
    import pydicom.uid
    from pydicom.dataset import FileDataset, FileMetaDataset

    image = FileDataset("", {}, file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    image.PatientName, image.PatientID, image.PatientBirthDate = NAME, ID, BIRTH
    image.StudyDescription, image.ReferringPhysicianName = STUDY, DOCTOR
    image.StudyInstanceUID, image.SeriesInstanceUID = uid("study"), uid("series", series)
    image.SeriesNumber, image.Modality = 2, modality
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = getattr(pydicom.uid, kind)
    image.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    return image


def set_pixels(image: Any, pixels: NDArray[Any], photometric: str = "MONOCHROME2") -> None:
    """Rows, columns and pixels: H×W, H×W×3, or frames before these."""
    colors = photometric not in ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
    height, width = pixels.shape[-3:-1] if colors else pixels.shape[-2:]
    image.Rows, image.Columns = height, width
    image.SamplesPerPixel, image.PhotometricInterpretation = 3 if colors else 1, photometric
    if colors:
        image.PlanarConfiguration = 0
    if pixels.ndim > (3 if colors else 2):
        image.NumberOfFrames = len(pixels)
    image.BitsAllocated = image.BitsStored = 8 * pixels.dtype.itemsize
    image.HighBit, image.PixelRepresentation = image.BitsStored - 1, int(pixels.dtype.kind == "i")
    image.PixelData = np.ascontiguousarray(pixels).tobytes()


def save(image: Any, path: Path, name: object) -> Path:
    """Write a data set; `name`: what its instance UID is made from, where it has none."""
    image.SOPInstanceUID = image.get("SOPInstanceUID") or uid("instance", name)
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save_as(path, enforce_file_format=True)
    return path


def write_series(
    folder: Path,
    voxels: NDArray[Any],
    *,
    spacing: tuple[float, float, float] = (0.8, 0.7, 2.5),
    direction: NDArray[np.float64] = ALONG_AXES,
    origin: tuple[float, float, float] = (-90.0, -70.0, 15.0),
    step: NDArray[np.float64] | None = None,
    slope: float | Callable[[int], float] = 1.0,
    intercept: float = 0.0,
    modality: str = "CT",
    series: object = None,
    shuffled: bool = True,
    suffix: str = "",
    skip: tuple[int, ...] = (),
    change: Change | None = None,
) -> Path:
    """Write X×Y×Z stored numbers as single slices, whose names tell nothing of their order.

    `step`: from slice to slice in mm, where it is not along the third direction; `skip`: slices that are not written.
    """
    series = str(folder) if series is None else series
    names = np.random.default_rng(1).permutation(voxels.shape[2]) if shuffled else np.arange(voxels.shape[2])
    way = direction[:, 2] * spacing[2] if step is None else step
    for at in range(voxels.shape[2]):
        if at in skip:
            continue
        image = patient(series, modality, "MRImageStorage" if modality == "MR" else "CTImageStorage")
        image.FrameOfReferenceUID, image.InstanceNumber = uid("frame"), at + 1
        image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        image.ImagePositionPatient = [f"{value:.5f}" for value in np.array(origin) + at * way]
        image.ImageOrientationPatient = [f"{value:.8f}" for value in direction[:, :2].T.ravel()]
        image.PixelSpacing, image.SliceThickness = [spacing[1], spacing[0]], spacing[2]
        image.RescaleIntercept = intercept
        image.RescaleSlope = f"{slope(at) if callable(slope) else slope:.10g}"
        set_pixels(image, voxels[:, :, at].T)
        if change is not None:
            change(image, at)
        save(image, folder / f"I{names[at]:05d}{suffix}", (series, at))
    return folder


def write_enhanced(
    path: Path,
    voxels: NDArray[Any],
    *,
    order: list[int] | None = None,
    spacing: tuple[float, float, float] = (0.8, 0.7, 2.5),
    direction: NDArray[np.float64] = ALONG_AXES,
    origin: tuple[float, float, float] = (-90.0, -70.0, 15.0),
    slope: Callable[[int], float] = lambda at: 1.0,
    intercept: float = 0.0,
    change: Change | None = None,
) -> Path:
    """Write X×Y×Z stored numbers as one enhanced CT; `order`: which slice each frame is."""
    from pydicom.dataset import Dataset

    order = list(range(voxels.shape[2])) if order is None else order
    image = patient(path, "CT", "EnhancedCTImageStorage")
    image.FrameOfReferenceUID, image.InstanceNumber = uid("frame"), 1
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [spacing[1], spacing[0]], spacing[2]
    orientation.ImageOrientationPatient = [f"{value:.8f}" for value in direction[:, :2].T.ravel()]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    image.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for at in order:
        frame, place, values = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [f"{one:.5f}" for one in np.array(origin) + at * spacing[2] * direction[:, 2]]
        values.RescaleSlope, values.RescaleIntercept = f"{slope(at):.10g}", intercept
        frame.PlanePositionSequence, frame.PixelValueTransformationSequence = [place], [values]
        frames.append(frame)
    image.PerFrameFunctionalGroupsSequence = frames
    set_pixels(image, voxels.transpose(2, 1, 0)[order])
    if change is not None:
        change(image, 0)
    return save(image, path, path)


def noise(shape: tuple[int, int, int] = (11, 9, 7), seed: int = 0) -> NDArray[np.int16]:
    """Numbers of which no two slices are alike."""
    return np.random.default_rng(seed).integers(-500, 1500, shape).astype(np.int16)


def oblique() -> NDArray[np.float64]:
    """Directions along no axis, in columns."""
    first, second = np.array([0.8, 0.6, 0.0]), np.array([-0.36, 0.48, 0.8])
    return np.column_stack([first, second, np.cross(first, second)])
