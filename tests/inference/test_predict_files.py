"""Predicting files: names, formats, faults, and what is never overwritten."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from delineate.artefact.format import Artefact, save
from delineate.common.errors import DataError, DelineateError
from delineate.data.cases.phantom import write_phantoms
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable, LabelRule
from delineate.data.formats.registry import read_mask
from delineate.data.layouts.discover import discover
from delineate.data.layouts.source import DataSource
from delineate.evaluation.inputs.prediction_list import PredictionList
from delineate.inference import write as module
from delineate.inference.dataset_inputs import find_split
from delineate.inference.files import predict_files
from delineate.inference.inputs import expand, name_outputs
from delineate.inference.predictor import Predictor, load
from delineate.inference.segment import Worker
from micro_method import brightness

FOUR = ClassTable(names=("background", "left lung", "b/c", "d"))


def make(classes: int = 1) -> Predictor:
    table = ClassTable() if classes == 1 else FOUR
    return Predictor(Artefact(brightness(classes), InputSpec(size=(32, 32)), table), "cpu")


def image(path: Path, height: int = 20, width: int = 30, kind: type = np.uint8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((height, width), kind)
    pixels[:, width // 2 :] = np.iinfo(kind).max
    assert cv2.imwrite(str(path), pixels)
    return path


def read(path: Path) -> np.ndarray:
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert pixels is not None, path
    return pixels


def test_masks_overlays_probabilities_and_lists(tmp_path: Path):
    for name, size in {"a.png": (20, 30), "b.jpg": (41, 17), "c.bmp": (64, 64)}.items():
        image(tmp_path / "in" / name, *size)
    seen: list[tuple[int, int]] = []
    result = predict_files(
        make(), [tmp_path / "in"], tmp_path / "out", overlay=True, probabilities=True, batch_size=2,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    out = tmp_path / "out"
    assert [file.name for file in result.files] == ["a", "b", "c"]
    assert seen == [(1, 3), (2, 3), (3, 3)]
    for name, size in {"a": (20, 30), "b": (41, 17), "c": (64, 64)}.items():
        mask = read(out / f"{name}.png")
        assert mask.shape == size
        assert set(np.unique(mask)) == {0, 255}
        assert read(out / "overlays" / f"{name}.png").shape == (*size, 3)
        probability = read(out / "probabilities" / f"{name}.png")
        assert probability.dtype == np.uint16
        assert np.array_equal(probability >= 32768, mask == 255)
    rows = list(csv.DictReader((out / "summary.csv").open()))
    assert [row["mask"] for row in rows] == ["a.png", "b.png", "c.png"]
    assert (rows[0]["width"], rows[0]["height"]) == ("30", "20")
    assert float(rows[2]["foreground %"]) == pytest.approx(50, abs=2)
    listed = json.loads((out / "predictions.json").read_text())
    assert listed["method"] == "micro"
    assert [file["mask"] for file in listed["files"]] == ["a.png", "b.png", "c.png"]


def test_several_classes(tmp_path: Path):
    image(tmp_path / "in" / "a.png")
    result = predict_files(make(4), [tmp_path / "in" / "a.png"], tmp_path / "out", probabilities=True)
    assert set(np.unique(read_mask(tmp_path / "out" / "a.png"))) <= {0, 1, 2, 3}
    assert len(result.files[0].percent) == 3
    folders = sorted(path.name for path in (tmp_path / "out" / "probabilities").iterdir())
    assert folders == ["0_background", "1_left_lung", "2_b_c", "3_d"]
    total = sum(read(tmp_path / "out" / "probabilities" / name / "a.png").astype(int) for name in folders)
    assert np.abs(total - 65535).max() <= 2


def test_a_bad_file_does_not_stop_the_others(tmp_path: Path):
    for index in range(9):
        image(tmp_path / "in" / f"{index}.png")
    whole = (tmp_path / "in" / "3.png").read_bytes()
    (tmp_path / "in" / "3.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "in" / "5.png").write_bytes(b"")
    (tmp_path / "in" / "7.png").write_text("not an image")
    result = predict_files(make(), [tmp_path / "in"], tmp_path / "out", batch_size=2)
    assert [file.name for file in result.failures] == ["3", "5", "7"]
    assert all("\n" not in str(file.error) and str(file.image) in str(file.error) for file in result.failures)
    assert sorted(path.stem for path in (tmp_path / "out").glob("*.png")) == ["0", "1", "2", "4", "6", "8"]
    rows = list(csv.DictReader((tmp_path / "out" / "summary.csv").open()))
    assert [row["image"] for row in rows if row["error"]] == [str(file.image) for file in result.failures]


def test_pixel_limit_is_a_failure_of_that_file(tmp_path: Path):
    image(tmp_path / "in" / "small.png", 10, 10)
    image(tmp_path / "in" / "large.png", 100, 100)
    result = predict_files(make(), [tmp_path / "in"], tmp_path / "out", max_pixels=500)
    assert [file.name for file in result.failures] == ["large"]
    assert "limit" in str(result.failures[0].error)


def test_an_image_beyond_memory_is_a_failure_of_that_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    image(tmp_path / "in" / "small.png", 10, 10)
    image(tmp_path / "in" / "large.png", 100, 100)
    original = Predictor.to_classes

    def to_classes(self, working, height, width, spacing):
        if height == 100:
            raise MemoryError("Unable to allocate 9 GiB")
        return original(self, working, height, width, spacing)

    monkeypatch.setattr(Predictor, "to_classes", to_classes)
    result = predict_files(make(), [tmp_path / "in"], tmp_path / "out")
    assert [file.name for file in result.failures] == ["large"]
    assert "does not fit into memory (Unable to allocate 9 GiB)" in str(result.failures[0].error)
    assert not (tmp_path / "out" / "large.png").exists()


def test_an_image_that_is_gone_when_its_overlay_is_drawn_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in "abc":
        image(tmp_path / "in" / f"{name}.png")
    classes = Worker.classes

    def meanwhile(worker, output):
        (tmp_path / "in" / "b.png").unlink(missing_ok=True)
        return classes(worker, output)

    monkeypatch.setattr(Worker, "classes", meanwhile)
    result = predict_files(make(), [tmp_path / "in"], tmp_path / "out", overlay=True)
    assert [str(file.error) for file in result.failures] == [
        f"cannot read {tmp_path}/in/b.png: No such file or directory"
    ]
    assert {path.name for path in (tmp_path / "out").rglob("*.png")} == {"a.png", "c.png"}


def test_remarks_are_counted(tmp_path: Path):
    image(tmp_path / "a.png", kind=np.uint16)
    image(tmp_path / "b.png", kind=np.uint16)
    image(tmp_path / "c.png")
    result = predict_files(make(), [tmp_path], tmp_path / "out")
    ((text, count),) = result.remarks.items()
    assert count == 2
    assert "16-bit gray" in text


def test_existing_predictions_are_kept_unless_told(tmp_path: Path):
    image(tmp_path / "in" / "a.png")
    predict_files(make(), [tmp_path / "in"], tmp_path / "out")
    before = (tmp_path / "out" / "a.png").read_bytes()
    with pytest.raises(DataError, match=r"exists already.*--overwrite"):
        predict_files(make(), [tmp_path / "in"], tmp_path / "out")
    (tmp_path / "out" / "a.png").write_bytes(b"old")
    predict_files(make(), [tmp_path / "in"], tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "a.png").read_bytes() == before


def test_an_image_is_never_replaced_by_its_mask(tmp_path: Path):
    image(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    with pytest.raises(DataError, match="would replace the image"):
        predict_files(make(), [tmp_path / "a.png"], tmp_path, overwrite=True)
    assert (tmp_path / "a.png").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_equal_names_in_different_folders(tmp_path: Path):
    image(tmp_path / "x" / "a.png")
    image(tmp_path / "y" / "a.jpg")
    predict_files(make(), [tmp_path / "x", tmp_path / "y"], tmp_path / "out", overlay=True)
    for name in ("x/a.png", "y/a.png", "overlays/x/a.png", "overlays/y/a.png"):
        assert (tmp_path / "out" / name).is_file()


def test_names_that_cannot_be_told_apart(tmp_path: Path):
    image(tmp_path / "a.png")
    image(tmp_path / "a.jpg")
    with pytest.raises(DataError, match=r"a\.jpg and .*a\.png would both be predicted as .a."):
        predict_files(make(), [tmp_path], tmp_path / "out")
    image(tmp_path / "in" / "b.png")
    image(tmp_path / "in" / "overlays" / "b.png")
    with pytest.raises(DataError, match="would both be written to"):
        predict_files(make(), [tmp_path / "in", tmp_path / "in" / "overlays"], tmp_path / "out", overlay=True)
    assert not (tmp_path / "out").exists()


def test_expansion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    a, b, c = (image(tmp_path / name) for name in ("s/a.png", "s/b.jpg", "s/deep/c.png"))
    (tmp_path / "s" / "notes.txt").write_text("x")
    (tmp_path / "s" / ".hidden.png").write_bytes(a.read_bytes())
    assert expand([tmp_path / "s"]) == [a, b]
    assert expand([str(tmp_path / "s" / "**" / "*")]) == [a, b, c]
    assert expand([b, tmp_path / "s", a]) == [b, a], "each file once, where it was first named"
    monkeypatch.chdir(tmp_path)
    assert [task.name for task in name_outputs(expand(["s", "s/deep/c.png"]))] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("absent.png", "absent.png does not exist"),
        ("*.tif", r"'.*\*\.tif' matches no images; check"),
        ("*.txt", "matches no images, only notes.txt"),
        ("empty", "empty holds no images .it is empty"),
        ("outer", r"sub-folders do \(inner\)"),
    ],
)
def test_inputs_without_images(tmp_path: Path, given: str, message: str):
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "empty").mkdir()
    image(tmp_path / "outer" / "inner" / "a.png")
    with pytest.raises(DataError, match=message):
        predict_files(make(), [tmp_path / given], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_given(tmp_path: Path):
    with pytest.raises(DataError, match="nothing to predict"):
        predict_files(make(), [], tmp_path)


def test_unwritable_output(tmp_path: Path):
    image(tmp_path / "a.png")
    (tmp_path / "file").write_text("")
    with pytest.raises(DelineateError, match="cannot write"):
        predict_files(make(), [tmp_path / "a.png"], tmp_path / "file" / "out")


def test_a_full_disk_stops_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(path: Path, *_: object, **__: object) -> None:
        raise DelineateError(f"cannot write {path}: the disk is full")

    monkeypatch.setattr(module, "write_mask", full)
    for index in range(20):
        image(tmp_path / "in" / f"{index}.png")
    with pytest.raises(DelineateError, match="disk is full"):
        predict_files(make(), [tmp_path / "in"], tmp_path / "out")
    assert not (tmp_path / "out" / "predictions.json").exists()


def test_memory_does_not_grow_with_the_number_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What is on its way between reading and writing is bounded, and holds no image of native size."""
    source = image(tmp_path / "in" / "0.png", 300, 500)
    for index in range(1, 200):
        (tmp_path / "in" / f"{index}.png").hardlink_to(source)
    alive, most, largest = 0, 0, 0
    prepare, classes = Worker.prepare, Worker.classes

    def counted_prepare(worker, pixels, spacing):
        nonlocal alive, most, largest
        alive += 1
        most = max(most, alive)
        ready = prepare(worker, pixels, spacing)
        assert ready.input.base is None
        largest = max(largest, ready.input.size)
        return ready

    def counted_classes(worker, output):
        nonlocal alive
        alive -= 1
        assert output.values.size == 32 * 32
        return classes(worker, output)

    monkeypatch.setattr(Worker, "prepare", counted_prepare)
    monkeypatch.setattr(Worker, "classes", counted_classes)
    result = predict_files(make(), [tmp_path / "in"], tmp_path / "out", batch_size=4)
    assert len(result.files) == 200
    assert most <= 16
    assert largest == 32 * 32 * 3


def test_a_split_of_a_data_set_is_predicted(tmp_path: Path):
    data = write_phantoms(tmp_path / "data", count=8, size=32, seed=0)
    wanted = (data / "test.txt").read_text().split()
    tasks = find_split([DataSource(data)], "test").images
    assert [task.image.stem for task in tasks] == [task.name for task in tasks] == wanted
    discover(data).save(tmp_path / "manifest.json")
    assert find_split([DataSource(tmp_path / "manifest.json")], "test").images == tasks
    assert len(find_split([DataSource(data)], "all").images) == 8
    for name in ("train", "val", "test"):
        (data / f"{name}.txt").unlink()
    with pytest.raises(DataError, match=r"no images in split 'test'; it names none; give the manifest.json of a run"):
        find_split([DataSource(data)], "test")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
@pytest.mark.parametrize("spelling", ["in", "./x/../in", "link", "in/../in"])
def test_the_folder_of_the_images_is_refused_however_it_is_spelled(
    suffix: str, spelling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    image(tmp_path / "in" / f"a{suffix}")
    (tmp_path / "x").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    monkeypatch.chdir(tmp_path)
    for given in (["in"], [f"in/a{suffix}"], ["in/*"], ["link"]):
        with pytest.raises(DataError, match="give another --out"):
            predict_files(make(), given, spelling, overwrite=True)
    assert [path.name for path in (tmp_path / "in").iterdir()] == [f"a{suffix}"]
    predict_files(make(), ["in"], "in/masks")


def test_outputs_in_folders_of_their_own_do_not_meet_the_images_either(tmp_path: Path):
    image(tmp_path / "a" / "overlays" / "1.jpg")
    image(tmp_path / "b" / "x" / "1.jpg")
    image(tmp_path / "b" / "y" / "1.jpg")
    with pytest.raises(DataError, match="would lie among"):
        predict_files(make(), [tmp_path / "a" / "overlays"], tmp_path / "a", overlay=True)
    with pytest.raises(DataError, match="would lie among"):
        predict_files(make(), [str(tmp_path / "b" / "**" / "*.jpg")], tmp_path / "b")
    assert len(list(tmp_path.rglob("*.*"))) == 3


def test_references_are_never_replaced(tmp_path: Path):
    data = write_phantoms(tmp_path / "set", count=10, size=32, seed=0)
    before = {path: path.read_bytes() for path in data.rglob("*.png")}
    for inputs, split in (([data], "test"), ([data / "images"], None)):
        with pytest.raises(DataError, match=r"give another --out"):
            predict_files(make(), inputs, data / "masks", split=split, overwrite=True)  # type: ignore[arg-type]
    assert before == {path: path.read_bytes() for path in data.rglob("*.png")}


def test_masks_are_not_written_into_a_run(tmp_path: Path):
    image(tmp_path / "in" / "a.png")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.yaml").write_text("method: unet")
    with pytest.raises(DelineateError, match=r"holds a training run \(recipe\.yaml\); give another folder"):
        predict_files(make(), [tmp_path / "in"], tmp_path / "run", overwrite=True)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["recipe.yaml"]


def test_only_earlier_predictions_are_replaced(tmp_path: Path):
    image(tmp_path / "in" / "a.png")
    image(tmp_path / "in" / "b.png")
    out = tmp_path / "out"
    image(out / "b.png")
    with pytest.raises(DataError, match=r"b\.png exists already and is no earlier prediction"):
        predict_files(make(), [tmp_path / "in"], out, overwrite=True)
    (out / "b.png").unlink()
    (out / "summary.csv").write_text("mine")
    with pytest.raises(DataError, match=r"summary\.csv exists already and is no earlier prediction"):
        predict_files(make(), [tmp_path / "in"], out, overwrite=True)
    (out / "summary.csv").unlink()
    predict_files(make(), [tmp_path / "in" / "a.png"], out)
    image(out / "overlays" / "b.png")
    with pytest.raises(DataError, match="no earlier prediction"):
        predict_files(make(), [tmp_path / "in"], out, overlay=True, overwrite=True)
    predict_files(make(), [tmp_path / "in"], out, overwrite=True)


def test_a_prediction_that_was_stopped_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in "abc":
        image(tmp_path / "in" / f"{name}.png")

    def stop(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_files(make(), [tmp_path / "in"], tmp_path / "out", batch_size=1, progress=stop)
    assert not (tmp_path / "out" / "predictions.json").exists()
    with pytest.raises(DataError, match=r"exists already.*--overwrite"):
        predict_files(make(), [tmp_path / "in"], tmp_path / "out")
    predict_files(make(), [tmp_path / "in"], tmp_path / "out", overwrite=True)
    assert {path.name for path in (tmp_path / "out").glob("*.json")} == {"predictions.json"}


def test_the_list_tells_names_and_values(tmp_path: Path, micro: str):
    """What a class was in the training data goes from the model into the list, and its name into each mask."""
    rule = LabelRule(values={0: 0, 50: 1, 100: 2, 200: 3}, coding="value", reason="labels.yaml")
    path = tmp_path / "model.safetensors"
    save(path, Artefact(brightness(4), InputSpec(size=(32, 32)), FOUR.model_copy(update={"labels": rule})))
    image(tmp_path / "in" / "a.png")
    predict_files(load(path, "cpu"), [tmp_path / "in"], tmp_path / "out")
    listed = PredictionList.find(tmp_path / "out")
    assert listed is not None
    assert listed.classes == ClassTable(names=FOUR.names, labels=rule)
    assert listed.values == (0, 1, 2, 3)
    with Image.open(tmp_path / "out" / "a.png") as mask:
        mask.load()
        assert mask.info["labels"] == "0=background, 1=left lung, 2=b/c, 3=d"
    predict_files(make(), [tmp_path / "in"], tmp_path / "binary")
    binary = PredictionList.find(tmp_path / "binary")
    assert binary is not None
    assert (binary.values, binary.labels) == ((0, 255), None), "a model of the first version knows no raw values"
