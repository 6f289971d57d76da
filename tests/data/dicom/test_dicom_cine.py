"""Cine MR: several frames at each place. Each phase of the heart is a volume of its own, in the order of time."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pydicom")

import pydicom
from pydicom.dataset import Dataset

from delineate.artefact.format import Artefact
from delineate.common.errors import DataError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.data.formats.dicom.scan import scan
from delineate.data.formats.dicom_masks.objects import open_object
from delineate.data.formats.dicom_masks.other_readers import by_highdicom
from delineate.data.formats.registry import open_image
from delineate.data.layouts.discover import recognize
from delineate.inference.files import predict_files
from delineate.inference.inputs import expand
from delineate.inference.predictor import Predictor
from dicom_results import balls, write_seg
from micro_method import brightness
from scanner import noise, uid, write_enhanced, write_series

SHAPE = (9, 8, 5)
PHASES = 4
VOXELS = [noise(SHAPE, seed=at) for at in range(PHASES)]
Times = Callable[[int, int], float | None]


def write_cine(folder: Path, times: Times, *, depth: int = SHAPE[2], tag: str = "TriggerTime") -> Path:
    """A short-axis stack as single files. `times`: of a phase at a slice, in ms; None: without the tag."""
    for phase in np.random.default_rng(3).permutation(PHASES).tolist():

        def change(image: Any, at: int, phase: int = phase) -> None:
            image.SOPInstanceUID = uid("cine", phase, at)
            image.AcquisitionNumber = at + 1  # a breath-hold for each slice
            if (time := times(phase, at)) is not None:
                setattr(image, tag, time)

        write_series(
            folder, VOXELS[phase][:, :, :depth], series="cine", suffix=f".{phase}", modality="MR", change=change
        )
    return folder


def volumes(folder: Path) -> list[np.ndarray]:
    return [open_image(path).read() for path in scan(folder).addresses]


def assert_phases_in_order(folder: Path) -> None:
    found = volumes(folder)
    assert len(found) == PHASES
    for one, expected in zip(found, VOXELS, strict=True):
        assert np.array_equal(one, expected[:, :, : one.shape[2]])


@pytest.mark.parametrize("tag", ["TriggerTime", "TemporalPositionIdentifier", "NominalCardiacTriggerDelayTime"])
def test_phases_at_equal_times(tmp_path: Path, tag: str) -> None:
    write_cine(tmp_path / "s", lambda phase, _: 10 + 100 * phase, tag=tag)
    assert_phases_in_order(tmp_path / "s")
    parts = [series.part for _, series in scan(tmp_path / "s").series]
    assert [part.split(" (")[0] for part in parts] == [tag] * PHASES
    assert [float(part.split("(")[1].rstrip(")")) for part in parts] == [10, 110, 210, 310]


@pytest.mark.parametrize("shared", [False, True])
def test_phases_whose_times_differ_from_slice_to_slice(tmp_path: Path, shared: bool) -> None:
    """Heart rates differ from one breath-hold to the next; `shared`: two neighbors have the same by chance."""

    def times(phase: int, at: int) -> float:
        return phase * (100 + 3.1 * (at // 2 if shared else at))

    write_cine(tmp_path / "s", times)
    assert_phases_in_order(tmp_path / "s")
    notes = [series.notes for _, series in scan(tmp_path / "s").series]
    assert notes[1] == ("one of 4 stacks of its series, parted by TriggerTime (phase 2 of 4)",)
    assert len({str(path) for path in scan(tmp_path / "s").addresses}) == PHASES


def test_phases_of_one_slice(tmp_path: Path) -> None:
    write_cine(tmp_path / "s", lambda phase, _: 30.5 * phase, depth=1)
    assert_phases_in_order(tmp_path / "s")


def write_cine_file(path: Path) -> Path:
    """The phases as one enhanced file."""
    order = [at for at in range(SHAPE[2]) for _ in range(PHASES)]

    def change(image: Any, _: int) -> None:
        frames = [VOXELS[at % PHASES][:, :, slice_] for at, slice_ in enumerate(order)]
        image.PixelData = np.ascontiguousarray(np.stack(frames).transpose(0, 2, 1)).tobytes()
        image.Modality = "MR"
        for at, (group, slice_) in enumerate(zip(image.PerFrameFunctionalGroupsSequence, order, strict=True)):
            content, heart = Dataset(), Dataset()
            content.InStackPositionNumber = slice_ + 1
            heart.NominalCardiacTriggerDelayTime = float((at % PHASES) * (90 + slice_))
            group.FrameContentSequence, group.CardiacSynchronizationSequence = [content], [heart]

    return write_enhanced(path, VOXELS[0], order=order, change=change)


def test_phases_in_one_file(tmp_path: Path) -> None:
    write_cine_file(tmp_path / "s" / "cine.dcm")
    assert_phases_in_order(tmp_path / "s")


def assert_refers_to_phase(file: Path, phase: int) -> None:
    """Frame by frame: phases alternate in the file."""
    made = pydicom.dcmread(file)
    for group in made.PerFrameFunctionalGroupsSequence:
        image = group.DerivationImageSequence[0].SourceImageSequence[0]
        place = group.PlanePositionSequence[0].ImagePositionPatient
        assert image.ReferencedFrameNumber == round((place[2] - 15.0) / 2.5) * PHASES + phase + 1
    assert np.array_equal(by_highdicom(file, open_object(file).geometry) > 0, open_object(file).read() > 0)


def test_predict_writes_a_segmentation_of_each_phase_of_a_file(tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    write_cine_file(tmp_path / "s" / "cine.dcm")
    model = Predictor(Artefact(brightness(1, 1), InputSpec(size=SHAPE[1::-1], channels="gray"), ClassTable()), "cpu")
    phases = scan(tmp_path / "s").addresses
    for kind in ("binary", "labelmap"):
        done = predict_files(model, [tmp_path / "s"], tmp_path / kind, check=True, seg_type=kind)  # type: ignore[arg-type]
        assert not done.failures
        assert [file.image for file in done.files] == phases
        shutil.copytree(tmp_path / kind, tmp_path / "s" / "masks")
        match = recognize(tmp_path / "s")
        assert not [one for one in match.findings if one.severity == "error"]
        assert {match.root / case.images[0] for case in match.cases} == set(phases)
        shown = {open_image(match.root / case.masks[0]).read().tobytes() for case in match.cases}
        assert len(shown) == PHASES
        shutil.rmtree(tmp_path / "s" / "masks")


@pytest.mark.parametrize("single", [False, True])
def test_a_segmentation_of_one_phase_is_its_label(tmp_path: Path, single: bool) -> None:
    """Of one file that holds all phases, the numbers of frames tell which one is meant."""
    pytest.importorskip("highdicom")
    if single:
        write_cine(tmp_path / "s", lambda phase, at: phase * (100.0 + at))
    else:
        write_cine_file(tmp_path / "s" / "cine.dcm")
    phases = scan(tmp_path / "s").addresses
    (tmp_path / "s" / "masks").mkdir()
    for at in (1, 3):
        mask, file = np.roll(balls(SHAPE), at, 0), tmp_path / "s" / "masks" / f"{at}.dcm"
        write_seg(file, mask, phases[at])
        if not single:
            assert_refers_to_phase(file, at)
    match = recognize(tmp_path / "s")
    assert not [one for one in match.findings if one.severity == "error"]
    assert {match.root / case.images[0] for case in match.cases} == {phases[1], phases[3]}
    for case in match.cases:
        at = 1 if match.root / case.images[0] == phases[1] else 3
        assert np.array_equal(open_image(match.root / case.masks[0]).read(), np.roll(balls(SHAPE), at, 0))


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_a_segmentation_of_a_series_of_several_multi_frame_files(tmp_path: Path, kind: str) -> None:
    """Frames 1 to 3 lie in one file, the others in another one; the segmentation refers to both."""
    pytest.importorskip("highdicom")
    whole = write_series(tmp_path / "whole", VOXELS[0])
    mask = balls(SHAPE)
    (tmp_path / "s" / "masks").mkdir(parents=True)
    file = write_seg(tmp_path / "s" / "masks" / "a.dcm", mask, whole, kind)  # type: ignore[arg-type]

    def own(image: Any, _: int) -> None:
        image.SeriesInstanceUID = uid("series", "both")

    first = write_enhanced(tmp_path / "s" / "1.dcm", VOXELS[0][:, :, :3], change=own)
    last = write_enhanced(tmp_path / "s" / "2.dcm", VOXELS[0][:, :, 3:], origin=(-90.0, -70.0, 15.0 + 7.5), change=own)
    parts = [pydicom.dcmread(path, stop_before_pixels=True) for path in (first, last)]
    made = pydicom.dcmread(file)
    series = made.ReferencedSeriesSequence[0]
    series.SeriesInstanceUID = uid("series", "both")
    series.ReferencedInstanceSequence = series.ReferencedInstanceSequence[:2]
    for item, part in zip(series.ReferencedInstanceSequence, parts, strict=True):
        item.ReferencedSOPInstanceUID = part.SOPInstanceUID
    made.pop("SourceImageSequence", None)
    for group in made.PerFrameFunctionalGroupsSequence:
        at = round((group.PlanePositionSequence[0].ImagePositionPatient[2] - 15.0) / 2.5)
        image = group.DerivationImageSequence[0].SourceImageSequence[0]
        image.ReferencedSOPInstanceUID = parts[at >= 3].SOPInstanceUID
        image.ReferencedFrameNumber = at + 1 if at < 3 else at - 2
    made.save_as(file)
    match = recognize(tmp_path / "s")
    assert not [one for one in match.findings if one.severity == "error"]
    (case,) = match.cases
    assert np.array_equal(open_image(match.root / case.images[0]).read(), VOXELS[0])
    assert np.array_equal(open_image(match.root / case.masks[0]).read(), mask)


def test_predict_tells_which_phase_is_which(tmp_path: Path) -> None:
    notes: list[str] = []
    found = expand([write_cine(tmp_path / "s", lambda phase, at: phase * (100.0 + at))], notes)
    (told,) = notes
    assert told.startswith("one series is 4 stacks, in this order: TriggerTime (phase 1 of 4) #series-")
    assert f"TriggerTime (phase 2 of 4) {found[1].name.removeprefix('s')}" in told
    assert expand([f"{tmp_path}/s/*"]) == found


@pytest.mark.parametrize(
    "times",
    [
        lambda phase, at: None,
        lambda phase, at: 50.0 if at == 2 else 10.0 * phase + at,
        lambda phase, at: None if (phase, at) == (1, 1) else 10.0 * phase + at,
    ],
)
def test_phases_that_nothing_tells_apart_are_refused(tmp_path: Path, times: Times) -> None:
    write_cine(tmp_path / "s", times)
    with pytest.raises(DataError, match="no tag tells which is which; move those of one acquisition into a folder"):
        volumes(tmp_path / "s")


def test_a_place_with_fewer_phases_is_refused(tmp_path: Path) -> None:
    write_cine(tmp_path / "s", lambda phase, at: phase * (100.0 + at))
    next((tmp_path / "s").glob("*00003.2")).unlink()
    with pytest.raises(DataError, match="no tag tells which is which"):
        volumes(tmp_path / "s")
