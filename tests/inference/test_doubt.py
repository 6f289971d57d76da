"""How sure a model is: numbers by hand, maps, lists, and the order of review."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import nibabel
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import delineate
from delineate.artefact.format import Artefact, save
from delineate.common.errors import DataError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.data.core.regions import Region
from delineate.data.formats.registry import read_image
from delineate.inference.doubt import entropy_of, measure
from delineate.inference.files import predict_files
from delineate.inference.predictor import Predictor, load
from delineate.nn.output import Output
from micro_method import Micro, MicroOptions, brightness

pytestmark = pytest.mark.usefixtures("micro")
TWO, FOUR = ClassTable(), ClassTable(names=("background", "a", "b", "c"))
NESTED = ClassTable(
    names=("background", "muscle", "cavity"),
    regions=(Region(name="heart", classes=(1, 2), paints=1), Region(name="cavity", classes=(2,), paints=2)),
)


def shaken(folder: Path, seed: int, **spec: object) -> Path:
    torch.manual_seed(seed)
    method = Micro(MicroOptions(), classes=1, in_channels=3).eval()
    path = folder / f"{seed}.safetensors"
    save(path, Artefact(method, InputSpec(size=(32, 32), **spec), ClassTable()))
    return path


def picture(path: Path, low: int, high: int, size: tuple[int, int] = (32, 32)) -> Path:
    """Left half dark, right half bright."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full(size, low, np.uint8)
    pixels[:, size[1] // 2 :] = high
    assert cv2.imwrite(str(path), pixels)
    return path


def test_confidence_of_one_class_by_hand() -> None:
    values = np.array([[[0.9, 0.6], [0.2, 0.1]]], np.float32)
    case = measure(values, np.array([[1, 1], [0, 0]], np.uint8), TWO, None).case
    assert case.confidence == pytest.approx(2 * 1.5 / (2 + 1.8))
    bits = [-p * np.log2(p) - (1 - p) * np.log2(1 - p) for p in (0.9, 0.6, 0.2, 0.1)]
    assert case.entropy == pytest.approx(np.mean(bits), abs=1e-5)
    assert case.disagreement is None
    assert case.reason == "foreground: its probabilities expect a Dice of 0.79"


def test_confidence_is_the_mean_over_what_was_found() -> None:
    values = np.array([[[0.1, 0.6]], [[0.8, 0.1]], [[0.05, 0.2]], [[0.05, 0.1]]], np.float32)
    case = measure(values, np.array([[1, 0]], np.uint8), FOUR, None).case
    assert case.confidence == pytest.approx(2 * 0.8 / (1 + 0.9))


def test_regions_are_measured_as_regions() -> None:
    values = np.array([[[0.9, 0.8]], [[0.7, 0.2]]], np.float32)
    case = measure(values, np.array([[2, 1]], np.uint8), NESTED, None).case
    assert case.confidence == pytest.approx(np.mean([2 * 1.7 / (2 + 1.7), 2 * 0.7 / (1 + 0.9)]))


def test_an_empty_mask_is_as_sure_as_its_likeliest_pixel() -> None:
    case = measure(np.array([[[0.43, 0.1]]], np.float32), np.zeros((1, 2), np.uint8), TWO, None).case
    assert case.confidence == pytest.approx(0.57)
    assert case.reason == "nothing found; the likeliest pixel of foreground has probability 0.43"


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), table=st.sampled_from([TWO, FOUR, NESTED]))
def test_sums_of_parts_are_those_of_the_whole(seed: int, table: ClassTable) -> None:
    rng = np.random.default_rng(seed)
    values = rng.random((table.outputs, 8, 6), np.float32)
    if table is FOUR:
        values /= values.sum(0)
    output = Output.of(table)
    indices = output.class_map((plane.copy() for plane in values), 0.5)
    spread = rng.random((8, 6), np.float32)
    whole = measure(values, indices, table, spread)
    parts = measure(values[:, :3], indices[:3], table, spread[:3]) + measure(
        values[:, 3:], indices[3:], table, spread[3:]
    )
    assert parts.case.confidence == pytest.approx(whole.case.confidence, rel=1e-6)
    assert parts.case.entropy == pytest.approx(whole.case.entropy, rel=1e-6)
    assert parts.case.reason == whole.case.reason
    assert 0 <= whole.case.confidence <= 1
    twin = output.entropy(torch.from_numpy(values)[None])[0, 0].numpy()
    assert np.allclose(entropy_of(values, table), twin, atol=1e-5)


def test_disagreement_is_what_members_add_to_the_entropy(tmp_path: Path) -> None:
    first, second = shaken(tmp_path, 0), shaken(tmp_path, 1)
    image = picture(tmp_path / "in" / "a.png", 60, 200)
    result = predict_files(
        load(first, "cpu", ensemble=[second], spread=True), [image], tmp_path / "out", uncertainty=True
    )
    doubt = result.files[0].doubt
    assert doubt is not None
    alone = [Predictor(load(path, "cpu").artefact, "cpu").probabilities(image)[..., 0] for path in (first, second)]
    mean = entropy_of([np.mean(alone, axis=0)], TWO)
    members = np.mean([entropy_of([one], TWO) for one in alone], axis=0)
    assert doubt.disagreement == pytest.approx(float((mean - members).mean()), abs=1e-5)
    assert doubt.disagreement > 0
    masks = [load(first, "cpu", ensemble=[second], spread=asked).predict(image) for asked in (True, False)]
    assert np.array_equal(*masks)


@pytest.mark.parametrize("fit", ["stretch", "letterbox", "patch"])
def test_the_map_is_the_entropy_at_the_images_size(tmp_path: Path, fit: str) -> None:
    model, image = shaken(tmp_path, 2, fit=fit), picture(tmp_path / "in" / "a.png", 40, 220, (50, 70))
    predictor = load(model, "cpu")
    predict_files(predictor, [image], tmp_path / "out", uncertainty=True)
    found = read_image(tmp_path / "out" / "uncertainty" / "a.png")
    expected = entropy_of([predictor.probabilities(image)[..., 0]], TWO)
    assert found.dtype == np.uint16
    assert np.abs(found / 65535 - expected).max() < 1e-4
    listed = json.loads((tmp_path / "out" / "predictions.json").read_text())["files"][0]
    assert list(listed["uncertainty"]) == ["uncertainty/a.png"]
    assert 0 <= listed["confidence"] <= 1


def test_review_lists_the_least_sure_first(tmp_path: Path) -> None:
    predictor = Predictor(Artefact(brightness(), InputSpec(size=(32, 32)), ClassTable()), "cpu")
    picture(tmp_path / "in" / "clear.png", 0, 255)
    picture(tmp_path / "in" / "faint.png", 120, 131)
    (tmp_path / "in" / "broken.png").write_bytes(b"no picture")
    out = tmp_path / "out"
    predict_files(predictor, [tmp_path / "in"], out, review=tmp_path / "review.csv")
    rows = list(csv.DictReader((tmp_path / "review.csv").read_text().splitlines()))
    assert [Path(row["image"]).stem for row in rows] == ["broken", "faint", "clear"]
    assert rows[0]["reason"].startswith("no mask: ")
    assert float(rows[1]["confidence"]) < float(rows[2]["confidence"])
    assert "expect a Dice of" in rows[1]["reason"]
    assert not (out / "uncertainty").exists()
    summary = list(csv.DictReader((out / "summary.csv").read_text().splitlines()))
    assert {row["confidence"] for row in summary if row["error"] == ""} == {row["confidence"] for row in rows[1:]}
    with pytest.raises(DataError, match="exists; give another name, or --overwrite"):
        predict_files(predictor, [tmp_path / "in"], tmp_path / "new", review=tmp_path / "review.csv")
    with pytest.raises(DataError, match="is a folder; give a file"):
        predict_files(predictor, [tmp_path / "in"], tmp_path / "new", review=tmp_path)
    with pytest.raises(DataError, match=r"a name that ends with \.csv"):
        predict_files(predictor, [tmp_path / "in"], tmp_path / "new", review=tmp_path / "review.xlsx")
    with pytest.raises(DataError, match="--seg-type is for DICOM segmentations"):
        predict_files(predictor, [tmp_path / "in"], tmp_path / "new", seg_type="labelmap")
    with pytest.raises(DataError, match="there is no folder"):
        predict_files(predictor, [tmp_path / "in"], tmp_path / "new", review=tmp_path / "absent" / "review.csv")
    assert not (tmp_path / "new").exists()


def test_a_volume_has_one_number_and_one_map(tmp_path: Path) -> None:
    method = brightness(in_channels=1)
    predictor = Predictor(Artefact(method, InputSpec(size=(32, 32), channels="gray", axis=2), ClassTable()), "cpu")
    voxels = np.zeros((20, 24, 5), np.uint8)
    voxels[10:] = 255
    voxels[10:, :, 2] = 132
    path = tmp_path / "scan.nii.gz"
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), path)
    result = predict_files(predictor, [path], tmp_path / "out", uncertainty=True, review=tmp_path / "r.csv")
    doubt = result.files[0].doubt
    assert doubt is not None
    assert 0.5 < doubt.confidence < 1
    assert (tmp_path / "out" / "uncertainty" / "scan.nii.gz").is_file()


def test_from_python(tmp_path: Path) -> None:
    image = picture(tmp_path / "in" / "a.png", 60, 200)
    model = shaken(tmp_path, 0)
    done = delineate.predict(model, [image], out=tmp_path / "out", uncertainty=True, tta="flips", device="cpu")
    assert done.files[0].doubt is not None
    assert done.files[0].doubt.disagreement is not None
    done = delineate.predict(
        model, [image], out=tmp_path / "out", review=tmp_path / "r.csv", device="cpu", overwrite=True
    )
    assert done.files[0].doubt is not None
    assert done.files[0].doubt.disagreement is None
    assert not (tmp_path / "out" / "uncertainty").exists()


def test_a_probability_that_rounding_puts_above_1_has_no_entropy() -> None:
    above = np.full((1, 2, 2), np.nextafter(np.float32(1), np.float32(2)))
    assert np.array_equal(entropy_of(above, ClassTable()), np.zeros((2, 2)))
