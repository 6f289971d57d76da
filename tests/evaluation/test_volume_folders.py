"""NIfTI volumes as references and predictions."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delineate.common.errors import DataError
from delineate.data.core.manifest import ClassTable, LabelRule
from delineate.evaluation.inputs.prediction_values import prediction_rule
from delineate.evaluation.inputs.predictions import mask_files, place_of, read_prediction
from delineate.evaluation.inputs.references import is_mask_folder, open_references, read_reference
from delineate.evaluation.metrics.metric_selection import select_metrics
from delineate.evaluation.results.case_scores import score_case
from delineate.evaluation.results.evaluate import EvaluationOptions, evaluate_folders

nib = pytest.importorskip("nibabel")

THREE = ClassTable(names=("background", "anterior", "posterior"))


def save(path: Path, *values: float, shift: float = 0, dtype: type = np.uint8) -> Path:
    """A volume of 2×3×4 voxels of 1×2×3 mm; the first voxels hold the values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.zeros(24, dtype)
    array[: len(values)] = values
    affine = np.diag([1.0, 2, 3, 1])
    affine[0, 3] = shift
    nib.save(nib.Nifti1Image(array.reshape(2, 3, 4), affine), path)
    return path


def dataset(root: Path, masks: str = "masks") -> Path:
    for name in "abc":
        save(root / masks / f"{name}.nii.gz", 0, 1, 2, dtype=np.float32 if name == "a" else np.uint8)
        save(root / masks.replace("labels", "images").replace("masks", "images") / f"{name}.nii.gz", 7, 8)
    (root / "test.txt").write_text("c\n")
    return root


def test_a_folder_of_volumes_tells_classes_and_spacing(tmp_path: Path):
    found = open_references(dataset(tmp_path) / "masks", None, None)
    assert [case.id for case in found.cases] == ["a", "b", "c"]
    assert {case.spacing for case in found.cases} == {(1.0, 2.0, 3.0)}
    assert found.manifest.classes.names == ("background", "label 1", "label 2")
    mask = read_reference(found.manifest, found.cases[0])
    assert mask.shape == (2, 3, 4)
    assert mask.ravel()[:4].tolist() == [0, 1, 2, 0]


def test_a_table_of_volumes_tells_spacing(tmp_path: Path):
    dataset(tmp_path)
    (tmp_path / "set.csv").write_text("image,mask\n" + "".join(f"images/{n}.nii.gz,masks/{n}.nii.gz\n" for n in "abc"))
    found = open_references(tmp_path / "set.csv", None, None)
    assert {case.spacing for case in found.cases} == {(1.0, 2.0, 3.0)}


@pytest.mark.parametrize("masks", ["masks", "labelsTr"])
def test_a_data_set_of_volumes_has_its_test_split(tmp_path: Path, masks: str):
    found = open_references(dataset(tmp_path, masks), None, THREE)
    assert (found.split, [case.id for case in found.cases]) == ("test", ["c"])
    assert found.manifest.classes == THREE
    assert found.manifest.path(found.cases[0].masks[0]) == tmp_path / masks / "c.nii.gz"
    assert len(open_references(tmp_path, "all", None).cases) == 3


def test_names_tell_of_patients(tmp_path: Path):
    for name in ("patient01_frame01", "patient01_frame12", "scan7"):
        save(tmp_path / f"{name}.nii.gz", 0, 1)
    found = open_references(tmp_path, None, None)
    assert [case.group for case in found.cases] == ["patient01", "patient01", None]


def test_lists_that_name_absent_volumes_are_refused(tmp_path: Path):
    (dataset(tmp_path) / "test.txt").write_text("c\nnone\n")
    with pytest.raises(DataError, match=r"test\.txt lists 1 name without .*: none"):
        open_references(tmp_path, None, None)


def test_several_volumes_of_one_case_are_merged(tmp_path: Path):
    save(tmp_path / "a_mask_1.nii.gz", 0, 1)
    save(tmp_path / "a_mask_2.nii.gz", 0, 0, 1)
    found = open_references(tmp_path, None, None)
    assert read_reference(found.manifest, found.cases[0]).ravel()[:4].tolist() == [0, 1, 1, 0]
    save(tmp_path / "a_mask_2.nii.gz", 0, 0, 1, shift=2)
    with pytest.raises(DataError, match="2 mm apart"):
        read_reference(found.manifest, found.cases[0])


def test_predicted_volumes(tmp_path: Path):
    save(tmp_path / "p" / "a.nii.gz", 0, 1, 2, dtype=np.float32)
    (file,) = mask_files(tmp_path / "p", None)
    indices = LabelRule(values={0: 0, 1: 1, 2: 2})

    def rule(path: Path, classes: ClassTable) -> LabelRule:
        return prediction_rule([path], None, classes, indices if classes is THREE else LabelRule(values={0: 0, 1: 1}))

    assert read_prediction(file, rule(file, THREE)).ravel()[:4].tolist() == [0, 1, 2, 0]
    white = save(tmp_path / "b.nii.gz", 255)
    assert read_prediction(white, rule(white, ClassTable())).sum() == 1
    with pytest.raises(DataError, match=r"a\.nii\.gz has the values 0, 1, 2; .* 0 and 255, or 0 and 1"):
        rule(file, ClassTable())
    with pytest.raises(DataError, match="fractions"):
        read_prediction(save(tmp_path / "c.nii.gz", 0.5, dtype=np.float32), indices)


def test_prediction_and_reference_must_lie_in_the_same_place(tmp_path: Path):
    here, there = save(tmp_path / "p.nii.gz", 1), save(tmp_path / "r.nii", 1, shift=4)
    place_of(here, save(tmp_path / "same.nii", 1))
    with pytest.raises(DataError, match=r"p\.nii\.gz and .*r\.nii have the same shape but lie up to 4 mm apart"):
        place_of(here, there)
    with pytest.raises(DataError, match=r"p\.nii\.gz is a volume but its reference .*x\.png is an image"):
        place_of(here, tmp_path / "x.png")
    place_of(tmp_path / "a.png", tmp_path / "b.png")


def test_mixed_and_unread_formats_are_one_line(tmp_path: Path):
    save(tmp_path / "p" / "a.nii.gz", 1)
    cv2.imwrite(str(tmp_path / "p" / "b.png"), np.zeros((4, 4), np.uint8))
    with pytest.raises(DataError, match=r"holds images \(b\.png\) and volumes \(a\.nii\.gz\); keep one kind"):
        mask_files(tmp_path / "p", None)
    (tmp_path / "q").mkdir()
    with pytest.raises(DataError, match="holds no masks"):
        mask_files(tmp_path / "q", None)
    (tmp_path / "q" / "a.dcm").touch()
    with pytest.raises(DataError, match=r"a\.dcm is a volume in a format that is not read; convert"):
        is_mask_folder(tmp_path / "q")


def test_real_volumes_as_references(shared_data: Path):
    found = open_references(shared_data / "MSD-Hippocampus", None, None)
    assert (found.split, len(found.cases), len(found.manifest.cases)) == ("test", 12, 72)
    assert found.cases[0].spacing == (1, 1, 1)
    assert found.manifest.classes.outputs == 3
    mask = read_reference(found.manifest, found.cases[0])
    assert mask.ndim == 3
    assert set(np.unique(mask)) == {0, 1, 2}


@given(
    shape=st.tuples(st.integers(2, 9), st.integers(2, 9)),
    axis=st.integers(0, 2),
    spacing=st.tuples(*[st.sampled_from([0.5, 0.7, 1.0, 2.5, 5.0])] * 3),
    seed=st.integers(0, 999),
)
@settings(max_examples=60, deadline=None)
def test_a_volume_of_one_slice_is_scored_as_its_picture(
    shape: tuple[int, int], axis: int, spacing: tuple[float, float, float], seed: int
) -> None:
    random = np.random.default_rng(seed)
    prediction, reference = (random.random(shape) < 0.4 for _ in range(2))
    plane = tuple(np.delete(spacing, axis))
    metrics = select_metrics(("dice", "hd95_pooled", "assd", "nsd@1", "nsd_weighted@1", "boundary_iou", "cldice")).masks
    volumes = [np.expand_dims(mask, axis).astype(np.uint8) for mask in (prediction, reference)]
    (as_volume,) = score_case("a", *volumes, ClassTable(), metrics=metrics, spacing=spacing)
    pictures = [mask.astype(np.uint8) for mask in (prediction, reference)]
    (as_picture,) = score_case("a", *pictures, ClassTable(), metrics=metrics, spacing=plane)
    assert as_volume.scores == pytest.approx(as_picture.scores, nan_ok=True)
    assert as_volume.diagonal == as_picture.diagonal


def test_the_only_slice_of_a_volume_keeps_its_thickness() -> None:
    mask = np.ones((2, 3, 1), np.uint8)
    metrics = select_metrics(("volume_difference",)).masks
    (row,) = score_case("a", mask, np.zeros_like(mask), ClassTable(), metrics=metrics, spacing=(1.0, 2.0, 5.0))
    assert row.scores["volume_difference"] == 60  # mm³


def test_one_slice_in_a_file_as_a_picture(tmp_path: Path) -> None:
    reference = np.zeros((20, 18), np.uint8)
    reference[4:14, 5:12] = 1
    prediction = np.roll(reference, 2, 0)
    for kind, mask in (("references", reference), ("predictions", prediction)):
        for where in ("pictures", "volumes"):
            (tmp_path / where / kind).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "pictures" / kind / "x.png"), mask)
        volume = nib.Nifti1Image(mask[..., None], np.diag([0.7, 0.8, 5, 1]))
        nib.save(volume, tmp_path / "volumes" / kind / "x.nii.gz")
    metrics = ("dice", "hd95_pooled", "assd", "nsd@1", "boundary_iou")
    scores = [
        evaluate_folders(
            root / "predictions", root / "references", EvaluationOptions(metrics=metrics, spacing=spacing)
        ).rows[0]
        for root, spacing in ((tmp_path / "pictures", (0.7, 0.8)), (tmp_path / "volumes", None))
    ]
    assert scores[0].scores == pytest.approx(scores[1].scores)


def test_a_probability_map_may_have_a_channel_axis(tmp_path: Path) -> None:
    """H×W×1, as `Predictor.probabilities` gives it."""
    mask = np.zeros((6, 5), np.uint8)
    mask[1:4, 1:4] = 255
    for folder in ("references", "predictions"):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "x.png"), mask)
    (tmp_path / "predictions/probabilities").mkdir()
    np.save(tmp_path / "predictions/probabilities/x.npy", (mask / np.float32(255))[..., None])
    options = EvaluationOptions(metrics=("brier",))
    assert evaluate_folders(tmp_path / "predictions", tmp_path / "references", options).rows[0].scores["brier"] == 0
