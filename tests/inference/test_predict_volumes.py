"""Predicting volumes: whatever the order of their axes, each voxel of the mask is that of the image."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from itertools import permutations, product
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from delineate.api import evaluate
from delineate.artefact.format import Artefact
from delineate.common.errors import DataError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.data.formats.registry import open_image, read_geometry, read_mask
from delineate.evaluation.inputs.prediction_list import PredictionList
from delineate.inference import volumes as module
from delineate.inference.executors import Executor, Serial, Threads
from delineate.inference.files import predict_files
from delineate.inference.plan import MaskFormat
from delineate.inference.predictor import Predictor
from delineate.inference.segment import Worker
from micro_method import brightness
from small_volumes import reorder, write_volumes

nib = pytest.importorskip("nibabel")

SHAPE = (7, 6, 5)
"""In the canonical order: to the right, the front and the head."""
FOUR = ClassTable(names=("background", "a", "b", "c"))


def make(size: tuple[int, int] = SHAPE[:2], classes: int = 1, **spec: object) -> Predictor:
    table = ClassTable() if classes == 1 else FOUR
    details = InputSpec(size=size, channels="gray", **spec)  # type: ignore[arg-type]
    return Predictor(Artefact(brightness(classes, 1), details, table), "cpu")


def voxels(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-500, 1500, SHAPE).astype(np.int16)


def oblique(spacing: Sequence[float] = (1.0, 1.0, 3.0)) -> np.ndarray:
    """An affine of slices that are tilted by 20 and 10 degrees, in the canonical order."""
    (ca, sa), (cb, sb) = ((np.cos(a), np.sin(a)) for a in np.radians([20, 10]))
    turn = np.array([[1, 0, 0], [0, ca, -sa], [0, sa, ca]]) @ np.array([[cb, -sb, 0], [sb, cb, 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn * np.array(spacing)
    affine[:3, 3] = (-40, 12.5, 7)
    return affine


def save(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, oblique() if affine is None else affine), path)
    return path


def stored(array: np.ndarray, affine: np.ndarray, axes: Sequence[int], flips: Sequence[int]):
    """Canonical voxels and affine as a file has them that goes along other axes, or backwards."""
    affine = affine.copy()
    for axis in flips:
        affine[:3, 3] += affine[:3, axis] * (array.shape[axis] - 1)
        affine[:3, axis] *= -1
    return np.flip(array, tuple(flips)).transpose(axes), affine[:, [*axes, 3]]


def bright(array: np.ndarray) -> np.ndarray:
    """What `brightness` marks: the upper half of the volume's own range."""
    low, high = np.percentile(array, (0.5, 99.5))
    return np.rint(np.clip((array - low) * 255 / (high - low), 0, 255)) >= 128


@pytest.mark.parametrize(("axis", "suffix"), [(0, ".nii.gz"), (1, ".nii"), (2, ".nii.gz")])
def test_every_order_of_axes_gives_the_same_mask_at_the_same_places(tmp_path: Path, axis: int, suffix: str):
    """48 files of one oblique volume: the network sees the same slices, and each file gets its own order back."""
    array, affine, seen = voxels(), oblique(), []
    places = [(axes, flips) for axes in permutations(range(3)) for flips in product((False, True), repeat=3)]
    wanted = {}
    for number, (axes, flips) in enumerate(places):
        kept, where = stored(array, affine, axes, [at for at, flip in enumerate(flips) if flip])
        save(tmp_path / "in" / f"{number:02d}{suffix}", kept, where)
        wanted[f"{number:02d}"] = (kept, where)
    size = tuple(np.delete(SHAPE, axis).tolist())
    predictor = make(size, axis=axis)  # type: ignore[arg-type]
    prepare = Worker.prepare
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Worker, "prepare", lambda worker, pixels, spacing: seen.append(pixels) or prepare(worker, pixels, spacing)
        )
        result = predict_files(predictor, [tmp_path / "in"], tmp_path / "out", executor=Serial())
    assert not result.failures
    slices = np.stack(seen).reshape(48, SHAPE[axis], *size)
    assert (slices == slices[0]).all()
    assert np.array_equal(np.moveaxis(slices[0] >= 128, 0, axis), bright(array))
    for name, (kept, where) in wanted.items():
        mask = nib.load(tmp_path / "out" / f"{name}.nii.gz")
        assert np.allclose(mask.affine, where)
        assert mask.get_data_dtype() == np.uint8
        assert np.array_equal(np.asarray(mask.dataobj), bright(kept))


@pytest.mark.parametrize(
    "rule",
    [
        {"intensity": "window", "window_level": 300.5, "window_width": 900},
        {"intensity": "zscore", "zscore_clip": 2},
        {"intensity": "zscore", "zscore_over": "volume"},
    ],
    ids=["window", "zscore", "zscore-volume"],
)
@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_windows_and_scores_are_of_the_files_own_values(tmp_path: Path, rule: dict[str, object], fit: str, kind: type):
    """What `brightness` marks is then above the window's level, or above the mean of its slice or its volume."""
    array = voxels().astype(kind)
    save(tmp_path / "in" / "v.nii.gz", array)
    result = predict_files(make(axis=2, fit=fit, **rule), [tmp_path / "in"], tmp_path / "out", overlay=True)
    assert [file.remark for file in result.files] == [None]
    means = array.mean() if rule.get("zscore_over") == "volume" else array.mean((0, 1))
    expected = array > (300.5 if rule["intensity"] == "window" else means)
    assert np.array_equal(np.asarray(nib.load(tmp_path / "out" / "v.nii.gz").dataobj), expected)
    assert cv2.imread(str(tmp_path / "out" / "overlays" / "v.png")).std() > 5


def test_amounts_and_lists_of_a_folder_of_pictures_and_volumes(tmp_path: Path):
    save(tmp_path / "in" / "v.nii.gz", voxels(), oblique((2.0, 1.5, 4.0)))
    save(tmp_path / "in" / "v_mask.nii.gz", (voxels() > 500).astype(np.uint8), oblique((2.0, 1.5, 4.0)))
    cv2.imwrite(str(tmp_path / "in" / "p.png"), np.full((9, 8), 200, np.uint8))
    result = predict_files(make(), [tmp_path / "in"], tmp_path / "out", overlay=True, probabilities=True)
    picture, volume = result.files
    assert [file.name for file in result.files] == ["p", "v"]
    assert "1 masks beside their images left out" in result.notes[0]
    assert result.notes[1].startswith("the model does not record the axis of its training slices")
    marked = int(bright(voxels()).sum())
    assert (volume.width, volume.height, volume.depth) == SHAPE
    assert volume.percent == (pytest.approx(100 * marked / np.prod(SHAPE)),)
    assert volume.milliliters == (pytest.approx(marked * 12 / 1000),)
    assert (picture.depth, picture.milliliters) == (0, ())
    rows = list(csv.DictReader((tmp_path / "out" / "summary.csv").open()))
    assert [row["mask"] for row in rows] == ["p.png", "v.nii.gz"]
    assert [row["depth"] for row in rows] == ["", "5"]
    assert [bool(row["foreground mL"]) for row in rows] == [False, True]
    listed = PredictionList.find(tmp_path / "out")
    assert listed is not None
    assert listed.values == (0, 255), "of pictures"
    assert set(listed.outputs()) == {
        f"{folder}{name}"
        for folder, names in (
            ("", ["p.png", "v.nii.gz"]),
            ("overlays/", ["p.png", "v.png"]),
            ("probabilities/", ["p.png", "v.nii.gz"]),
        )
        for name in names
    }
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "p.png", "v.nii.gz", "overlays", "probabilities", "summary.csv", "predictions.json"
    }  # fmt: skip
    predict_files(make(), [tmp_path / "in" / "p.png"], tmp_path / "out", overwrite=True)
    assert not list((tmp_path / "out").rglob("*.nii.gz")), "earlier outputs go"


@pytest.mark.parametrize("classes", [1, 4])
def test_probabilities_lie_on_the_images_grid(tmp_path: Path, classes: int):
    kept, where = stored(voxels(), oblique(), (2, 0, 1), [1])
    save(tmp_path / "v.nii.gz", kept, where)
    predict_files(make(classes=classes), [tmp_path / "v.nii.gz"], tmp_path / "out", probabilities=True)
    maps = [nib.load(path) for path in sorted((tmp_path / "out" / "probabilities").rglob("*.nii.gz"))]
    mask = np.asarray(nib.load(tmp_path / "out" / "v.nii.gz").dataobj)
    assert len(maps) == classes
    assert all(np.allclose(one.affine, where) for one in maps)
    values = np.stack([one.get_fdata() for one in maps])
    assert 0 <= values.min() < values.max() <= 1
    if classes == 1:
        assert np.array_equal(values[0] >= 0.5, mask)
    else:
        assert np.allclose(values.sum(0), 1, atol=1e-4)
        assert np.array_equal(values.argmax(0), mask)


def test_evaluate_reads_masks_and_maps(tmp_path: Path):
    for name, seed in (("a", 0), ("b", 1)):
        kept, where = stored(voxels(seed), oblique(), (1, 2, 0), [0, 2])
        save(tmp_path / "data" / "images" / f"{name}.nii.gz", kept, where)
        save(tmp_path / "data" / "masks" / f"{name}.nii.gz", bright(kept).astype(np.uint8), where)
    predict_files(make(), [tmp_path / "data" / "images"], tmp_path / "out", probabilities=True)
    listed = PredictionList.find(tmp_path / "out")
    assert listed is not None
    assert listed.values == (0, 1), "a folder of volumes alone"
    found = evaluate(tmp_path / "out", tmp_path / "data", metrics=("dice", "brier"), out=tmp_path / "scores")
    assert [row.scores["dice"] for row in found.rows] == [1, 1]


def test_slices_of_any_size_and_tiles_come_back_at_their_own(tmp_path: Path):
    save(tmp_path / "v.nii.gz", np.repeat(np.repeat(voxels(), 3, 0), 2, 1))
    for fit in ("stretch", "letterbox", "patch"):
        predict_files(make((16, 16), 4, fit=fit), [tmp_path / "v.nii.gz"], tmp_path / fit, probabilities=fit == "patch")
        assert nib.load(tmp_path / fit / "v.nii.gz").shape == (21, 12, 5)


def test_the_axis_is_the_models_or_the_callers_or_the_coarsest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    save(tmp_path / "v.nii.gz", voxels(), oblique((1.0, 4.0, 1.0)))
    for at, (spec, given, depth) in enumerate([(None, None, 6), (2, None, 5), (2, 0, 7)]):
        seen: list[int] = []
        prepare = Worker.prepare
        with monkeypatch.context() as patch:
            patch.setattr(Worker, "prepare", lambda worker, *given: seen.append(1) or prepare(worker, *given))  # noqa: B023
            result = predict_files(make(axis=spec), [tmp_path / "v.nii.gz"], tmp_path / f"out{at}", axis=given)
        assert len(seen) == depth
        assert bool(result.notes) == (spec is None)
    with pytest.raises(module.DataError, match="axis 3 is not known; use auto"):
        predict_files(make(), [tmp_path / "v.nii.gz"], tmp_path / "out", axis=3)


class Picky(torch.nn.Module):
    """Not finite for an image that is mostly bright."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        result = image.mean(1, keepdim=True) - 0.5
        result[image.flatten(1).mean(1) > 0.8] = torch.nan
        return result


def test_a_volume_with_a_slice_that_cannot_be_done_has_no_mask(tmp_path: Path):
    array, affine = stored(voxels(), oblique(), (0, 1, 2), [2])
    array[:, :, 1] = array[:, :, 3] = 1499
    save(tmp_path / "in" / "bad.nii.gz", array, affine)
    save(tmp_path / "in" / "good.nii.gz", voxels())
    whole = (tmp_path / "in" / "good.nii.gz").read_bytes()
    (tmp_path / "in" / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "in" / "text.nii").write_text("no volume")
    predictor = make()
    predictor.__dict__["network"] = Picky()
    for executor in (None, Serial()):
        result = predict_files(
            predictor, [tmp_path / "in"], tmp_path / "out", executor=executor, overwrite=True, overlay=True,
            probabilities=True, batch_size=2,
        )  # fmt: skip
        errors = {file.name: file.error for file in result.failures}
        assert set(errors) == {"bad", "cut", "text"}
        assert str(errors["bad"]).startswith(
            f"{tmp_path}/in/bad.nii.gz, slice 3 of axis 2: the network's output is not"
        )
        assert "cut.nii.gz is damaged" in str(errors["cut"])
        assert "text.nii" in str(errors["text"])
        found = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
        assert found == {
            "good.nii.gz", "overlays/good.png", "probabilities/good.nii.gz", "summary.csv", "predictions.json"
        }  # fmt: skip


def test_a_damaged_volume_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    calls: list[int] = []

    def broken(*_: object) -> None:
        calls.append(1)
        raise MemoryError("Unable to allocate 9 GiB")

    monkeypatch.setattr(module, "as_numbers", broken)
    save(tmp_path / "v.nii.gz", voxels())
    result = predict_files(make(), [tmp_path / "v.nii.gz"], tmp_path / "out", executor=Serial(), batch_size=1)
    assert [file.error for file in result.files] == [
        f"{tmp_path}/v.nii.gz does not fit into memory (Unable to allocate 9 GiB)"
    ]
    assert len(calls) == 1


def test_a_stop_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in "abc":
        save(tmp_path / "in" / f"{name}.nii.gz", voxels())

    def stop(done: int, _: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_files(make(), [tmp_path / "in"], tmp_path / "out", probabilities=True, batch_size=1, progress=stop)
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {path.name for path in files} <= {"a.nii.gz", "b.nii.gz", "predictions.unfinished.json"}
    assert all(open_image(path).read().shape == SHAPE for path in files if path.name != "predictions.unfinished.json")


def test_a_split_of_volumes_is_predicted_and_shown_with_its_references(tmp_path: Path):
    data = write_volumes(tmp_path / "data", patients=5)
    reorder(data, "case_01", (2, 0, 1), (1,))
    (data / "test.txt").write_text("case_01\ncase_03\n")
    (data / "train.txt").write_text("case_00\ncase_02\ncase_04\n")
    predictor = make((48, 48), 4, axis=2)
    names = {"overlays/case_01.png", "overlays/case_03.png"}
    for split, inputs in (("test", [data]), (None, [data / "images" / f"case_0{at}.nii.gz" for at in (1, 3)])):
        result = predict_files(predictor, inputs, tmp_path / str(split), split=split, overlay=True)  # type: ignore[arg-type]
        assert [file.name for file in result.files] == ["case_01", "case_03"]
        assert not result.notes
    sheets = {name: [cv2.imread(str(tmp_path / out / name)) for out in ("test", "None")] for name in names}
    assert all((with_reference != plain).any() for with_reference, plain in sheets.values())


def test_few_volumes_are_held_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for number in range(12):
        save(tmp_path / "in" / f"{number:02d}.nii.gz", voxels())
    alive, most = 0, 0
    init, done = module.Volume.__init__, module.Volume.done

    def counted_init(volume, *arguments):
        nonlocal alive, most
        alive, most = alive + 1, max(most, alive + 1)
        init(volume, *arguments)

    def counted_done(volume, report):
        nonlocal alive
        result = done(volume, report)
        alive -= result is not None
        return result

    monkeypatch.setattr(module.Volume, "__init__", counted_init)
    monkeypatch.setattr(module.Volume, "done", counted_done)
    assert len(predict_files(make(), [tmp_path / "in"], tmp_path / "out", batch_size=4).files) == 12
    assert most <= 5, "as many as the slices on their way are of"


def test_a_mask_has_the_headers_of_its_image(tmp_path: Path):
    """Both affines with their codes, and the units."""
    image = nib.Nifti1Image(voxels(), oblique())
    image.header.set_xyzt_units("mm", "sec")
    image.set_qform(oblique(), 1)
    image.set_sform(oblique(), 4)
    nib.save(image, tmp_path / "v.nii.gz")
    predict_files(make(), [tmp_path / "v.nii.gz"], tmp_path / "out")
    mask = nib.load(tmp_path / "out" / "v.nii.gz")
    for code in ("qform_code", "sform_code", "xyzt_units"):
        assert mask.header[code] == image.header[code], code
    assert np.allclose(mask.get_qform(), oblique(), atol=1e-5)
    assert read_geometry(tmp_path / "out" / "v.nii.gz").spacing == pytest.approx((1, 1, 3))


@pytest.mark.parametrize(
    ("given", "wanted", "suffix"),
    [
        (".mha", "auto", ".mha"),
        (".mhd", "auto", ".mha"),
        (".nrrd", "auto", ".nrrd"),
        (".nhdr", "auto", ".nrrd"),
        (".nii", "auto", ".nii.gz"),
        (".mha", "nifti", ".nii.gz"),
        (".nii.gz", "nrrd", ".nrrd"),
    ],
)
def test_masks_have_the_format_of_the_image_or_the_one_that_is_asked_for(
    tmp_path: Path, given: str, wanted: MaskFormat, suffix: str
) -> None:
    """The same voxels at the same places, whatever the format of image and mask."""
    sitk = pytest.importorskip("SimpleITK")
    source = save(tmp_path / "given/x.nii.gz", voxels())
    image = tmp_path / f"scans/x{given}"
    image.parent.mkdir()
    sitk.WriteImage(sitk.ReadImage(str(source)), str(image))
    done = predict_files(make(), [image.parent], tmp_path / "out", probabilities=True, format=wanted)
    assert [file.error for file in done.files] == [None]
    mask = open_image(tmp_path / f"out/x{suffix}")
    assert np.array_equal(mask.read(), bright(voxels()))
    assert mask.geometry is not None
    assert np.abs(mask.geometry.corners() - read_geometry(source).corners()).max() < 1e-3
    map_ = open_image(tmp_path / f"out/probabilities/x{suffix}").read()
    assert np.array_equal(map_ > 0.5, mask.read() == 1)


def test_a_mask_that_cannot_be_of_a_format_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    save(tmp_path / "scans/x.nii.gz", voxels())
    with pytest.raises(DataError, match=r"x\.nii\.gz is a volume, whose mask can be nifti or mha or nrrd, not png"):
        predict_files(make(), [tmp_path / "scans"], tmp_path / "out", format="png")
    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures/a.jpg"), np.zeros((7, 6), np.uint8))
    with pytest.raises(DataError, match=r"a\.jpg is a picture, whose mask can be png or tiff, not mha"):
        predict_files(make(), [tmp_path / "pictures"], tmp_path / "out", format="mha")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("format", "package"), [("mha", "SimpleITK"), ("nifti", "nibabel")])
def test_a_package_that_is_missing_is_told_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: MaskFormat, package: str
) -> None:
    save(tmp_path / "scans/x.nii.gz", voxels())
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DataError, match=f"pip install {package}"):
        predict_files(make(), [tmp_path / "scans"], tmp_path / "out", format=format)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("executor", [Serial(), Threads()])
def test_a_volume_whose_mask_cannot_be_written_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, executor: Executor
) -> None:
    """It has a result all the same: none is lost without a word."""

    def refuse(*_: object) -> None:
        raise DataError("this grid cannot be written")

    monkeypatch.setattr(module, "write_class_volume", refuse)
    for name in ("a", "b"):
        save(tmp_path / f"scans/{name}.nii.gz", voxels())
    done = predict_files(make(), [tmp_path / "scans"], tmp_path / "out", executor=executor)
    assert [file.error for file in done.failures] == ["this grid cannot be written"] * 2
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"predictions.json", "summary.csv"}


@pytest.mark.parametrize(
    ("name", "wanted", "mask"), [("a.tif", "auto", "a.tif"), ("a.jpg", "tiff", "a.tif"), ("a.tif", "png", "a.png")]
)
def test_masks_of_pictures_can_be_tiff(tmp_path: Path, name: str, wanted: MaskFormat, mask: str) -> None:
    (tmp_path / "pictures").mkdir()
    pixels = np.zeros((7, 6), np.uint8)
    pixels[:3] = 255
    cv2.imwrite(str(tmp_path / "pictures" / name), pixels)
    predict_files(make(), [tmp_path / "pictures"], tmp_path / "out", probabilities=True, format=wanted)
    assert np.array_equal(read_mask(tmp_path / "out" / mask), pixels)
    assert read_mask(tmp_path / "out/probabilities" / mask).dtype == np.uint16


def test_two_places_in_a_header_are_told(tmp_path: Path) -> None:
    path = save(tmp_path / "x.nii.gz", voxels())
    image = nib.load(path)
    image.header.set_qform(np.diag([1.0, 1, 3, 1]), code=1)
    nib.save(image, path)
    done = predict_files(make(), [path], tmp_path / "out")
    assert "two places for its voxels" in str(done.files[0].remark)
    assert "the sform is used" in str(done.files[0].remark)


def test_a_volume_in_which_nothing_can_be_seen_is_told(tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    save(scans / "seen.nii", voxels())
    save(scans / "dark.nii", np.full(SHAPE, 3, np.int16))
    done = predict_files(make(), [scans], tmp_path / "out")
    told = {file.name: str(file.remark) for file in done.files}
    assert "one value throughout" in told["dark"]
    assert "one value" not in told["seen"]
