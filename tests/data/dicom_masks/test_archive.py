"""Through a real archive: DICOM masks are stored in Orthanc on this machine, fetched by DICOMweb, and read by two libraries.

Needs Debian's packages `orthanc` and `orthanc-dicomweb`; dcmqi (`pip install dcmqi`) reads as a third. Tests whose
program is absent say so.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from email.parser import BytesParser
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydicom")
pytest.importorskip("highdicom")

import pydicom

from delineate.data.formats.dicom_masks.objects import open_object
from delineate.data.formats.dicom_masks.other_readers import by_highdicom
from dicom_results import balls, opened, write_rtstruct, write_seg
from orthanc import SECONDS, call, orthanc, stored
from scanner import noise, oblique, write_series

pytestmark = pytest.mark.more


@dataclass
class Sent:
    series: Path
    mask: np.ndarray
    back: dict[str, Path]
    """Name of a mask → the object as the archive gives it back."""


SHAPE = (32, 28, 12)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an Orthanc that is ours alone."""
    with orthanc(tmp_path_factory.mktemp("orthanc")) as url:
        yield url


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory, archive: str) -> Sent:
    """An oblique series and three masks of it, stored in the archive and fetched again."""
    folder = tmp_path_factory.mktemp("sent")
    series = write_series(folder / "ct", noise(SHAPE), direction=oblique())
    mask = balls(SHAPE)
    for path in series.iterdir():
        stored(archive, path.read_bytes())
    made = [
        write_seg(folder / "binary.dcm", mask, series),
        write_seg(folder / "labelmap.dcm", mask, series, "labelmap"),
        write_rtstruct(folder / "rtstruct.dcm", mask, series),
    ]
    for path in made:
        stored(archive, path.read_bytes())
    back = {path.stem: _fetched(archive, path, folder / f"back_{path.name}") for path in made}
    return Sent(series, mask, back)


@pytest.mark.parametrize("kind", ["binary", "labelmap", "rtstruct"])
def test_masks_come_back_as_they_were(sent: Sent, kind: str) -> None:
    grid = opened(sent.series).geometry
    assert np.array_equal(open_object(sent.back[kind]).drawn(grid, sent.series), sent.mask)
    if kind != "rtstruct":
        assert np.array_equal(by_highdicom(sent.back[kind], grid), sent.mask)


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_dcmqi_reads_what_came_back(tmp_path: Path, sent: Sent, kind: str) -> None:
    """A third reader, in C++, voxel for voxel."""
    program = shutil.which("segimage2itkimage")
    if program is None:
        pytest.skip("dcmqi is not installed: pip install dcmqi, in any environment on the PATH")
    found = _by_dcmqi(program, sent.back[kind], tmp_path / "read", opened(sent.series).geometry)
    assert np.array_equal(found, sent.mask)


def _fetched(url: str, sent: Path, back: Path) -> Path:
    """WADO-RS: the object itself."""
    header = pydicom.dcmread(sent, stop_before_pixels=True)
    place = f"studies/{header.StudyInstanceUID}/series/{header.SeriesInstanceUID}/instances/{header.SOPInstanceUID}"
    content, kind = call(f"{url}/dicom-web/{place}", Accept='multipart/related; type="application/dicom"')
    parts = BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + content)
    (part,) = parts.get_payload()
    back.write_bytes(part.get_payload(decode=True))
    return back


def _by_dcmqi(program: str, path: Path, folder: Path, grid) -> np.ndarray:
    nibabel = pytest.importorskip("nibabel")
    folder.mkdir()
    command = [
        program,
        "--inputDICOM",
        path,
        "--outputDirectory",
        folder,
        "--prefix",
        "s",
        "--outputType",
        "nii",
        "--mergeSegments",
    ]
    subprocess.run(list(map(str, command)), check=True, capture_output=True, timeout=SECONDS)
    (made,) = folder.glob("*.nii*")
    found = nibabel.load(made)
    values = np.asarray(found.dataobj)
    drawn = np.zeros(grid.shape, np.uint8)
    marked = np.argwhere(values)
    positions = (marked @ found.affine[:3, :3].T + found.affine[:3, 3]) * [-1, -1, 1]
    there = np.rint((positions - np.array(grid.origin)) @ np.linalg.inv(grid.direction * np.array(grid.spacing)).T)
    drawn[tuple(there.astype(int).T)] = values[tuple(marked.T)]
    return drawn
