"""Volumes whose voxels are of another size than in training are told, with figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delineate.artefact.format import Artefact
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.inference.executors import Serial
from delineate.inference.files import predict_files
from delineate.inference.predictor import Predictor
from delineate.inference.results import FileResult
from delineate.inference.trained_spacing import FAR, spacing_notes
from micro_method import brightness

TRAINED = ((0.7, 0.9), (0.7, 0.9), (2.5, 2.5))


def artefact(**spec: object) -> Artefact:
    details = InputSpec(size=(7, 6), channels="gray", **spec)  # type: ignore[arg-type]
    return Artefact(brightness(1, 1), details, ClassTable())


def notes(*spacings: Sequence[float]) -> list[str]:
    files = [FileResult(Path(f"{at}.nii"), f"case{at}", spacing=tuple(one)) for at, one in enumerate(spacings)]  # type: ignore[arg-type]
    return spacing_notes(files, artefact(trained_spacing=TRAINED).spec)


def test_one_line_with_figures_names_the_volumes_that_lie_outside() -> None:
    (line,) = notes((0.8, 0.8, 2.5), (0.8, 0.8, 5.0), (0.001, 0.001, 0.0025), (1.3, 1.3, 3.7))
    assert line.startswith("2 volumes have a spacing far from that of the training volumes, 0.7–0.9 × 0.7–0.9 × 2.5 mm")
    assert "case1 (0.8 × 0.8 × 5 mm), case2 (0.001 × 0.001 × 0.0025 mm)" in line


@given(st.tuples(*(st.floats(low / FAR * 1.001, high * FAR * 0.999) for low, high in TRAINED)), st.integers(0, 2))
def test_near_is_silent_and_far_along_any_axis_is_told(near: tuple[float, float, float], axis: int) -> None:
    assert not notes(near)
    far = list(near)
    far[axis] = TRAINED[axis][1] * FAR * 1.01
    assert len(notes(far)) == 1
    far[axis] = TRAINED[axis][0] / FAR * 0.99
    assert len(notes(far)) == 1


def test_what_the_model_evens_out_does_not_count() -> None:
    resampled = artefact(trained_spacing=TRAINED, spacing=(0.8, 0.8), fit="letterbox", axis=2).spec
    small, thin = (FileResult(Path("a.nii"), "a", spacing=each) for each in ((0.2, 0.2, 2.5), (0.8, 0.8, 1.0)))
    assert not spacing_notes([small], resampled)
    assert len(spacing_notes([thin], resampled)) == 1
    assert not spacing_notes([small, thin], resampled.model_copy(update={"all_axes": True}))


def test_models_that_do_not_know_it_and_failures_have_nothing_to_compare() -> None:
    strange = FileResult(Path("a.nii"), "a", spacing=(9.0, 9.0, 9.0))
    assert not spacing_notes([strange], artefact().spec)
    spec = artefact(trained_spacing=TRAINED).spec
    assert not spacing_notes([FileResult(Path("a.png"), "a")], spec)
    assert not spacing_notes([FileResult(Path("a.nii"), "a", spacing=(9.0, 9.0, 9.0), error="damaged")], spec)


def test_prediction_tells_it_in_the_order_of_the_body(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    predictor = Predictor(artefact(trained_spacing=((1.0, 1.0), (1.0, 1.0), (3.0, 3.0)), axis=2), "cpu")
    turned = np.array(
        [[0, 0, -1.0, 0], [0, 1.0, 0, 0], [3.0, 0, 0, 0], [0, 0, 0, 1]]
    )  # slices along the file's first axis
    scans = tmp_path / "scans"
    scans.mkdir()
    voxels = np.arange(5 * 6 * 7, dtype=np.int16).reshape(5, 6, 7)
    nibabel.save(nibabel.Nifti1Image(voxels, turned), scans / "alike.nii")
    same = predict_files(predictor, [scans], tmp_path / "out", executor=Serial())
    assert same.notes == ()
    nibabel.save(nibabel.Nifti1Image(voxels, turned * [[2], [2], [2], [1]]), scans / "large.nii")
    told = predict_files(predictor, [scans], tmp_path / "again", executor=Serial())
    assert [line.split(": ")[1].split(";")[0] for line in told.notes] == ["large (2 × 2 × 6 mm)"]
    assert not told.failures
