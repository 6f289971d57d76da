"""Suggestions from end to end, with a model whose doubt is known: what is chosen from, what is left out, what is refused."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

import delineate
from delineate.artefact.format import Artefact, save
from delineate.cli.root import app
from delineate.common.errors import ArtefactError, DataError, DelineateError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.known import KnownPictures
from delineate.data.core.manifest import ClassTable, Manifest
from delineate.data.layouts.source import DataSource
from delineate.data.loading.open_data import open_data
from delineate.data.splits.label_budget import LabelBudget, read_case_list
from delineate.data.splits.label_share import keep_labeled
from delineate.nn.output import Output
from delineate.studies.suggest.measure import doubt_map
from micro_method import Micro, brightness
from planted import HEADER_WORDS, NAME_WORDS, write_planted

Suggest = Callable[..., Any]
SIDE = 40
BINARY = ClassTable()


def draw(path: Path, level: float, seed: int) -> None:
    """Squares of that brightness on a dark ground, in a pattern of its own. The model knows least at 0.5."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    cells = rng.uniform(0, 0.15, (5, 5))
    cells.flat[rng.choice(25, 8, replace=False)] = level
    image = np.round(255 * cells.repeat(8, 0).repeat(8, 1)).astype(np.uint8)
    assert cv2.imwrite(str(path), np.repeat(image[..., None], 3, 2))


def data_set(folder: Path, patients: Mapping[str, float], *, each: int = 2) -> Path:
    """Images of patients with masks: name → brightness."""
    for number, (name, level) in enumerate(patients.items()):
        for index in range(each):
            draw(folder / "images" / f"{name}_{index}.png", level, 10 * number + index)
            mask = np.zeros((SIDE, SIDE), np.uint8)
            mask[8:30, 8:30] = 255
            (folder / "masks").mkdir(exist_ok=True)
            cv2.imwrite(str(folder / "masks" / f"{name}_{index}.png"), mask)
    return folder


def make_run(folder: Path, data: Path, labeled: list[str], classes: ClassTable = BINARY, **spec: Any) -> Path:
    """A run that had the masks of some cases; its model takes brightness for the object."""
    manifest, census = open_data(DataSource(data, join="none"), validation=False)
    listed = folder.parent / f"{folder.name}.txt"
    listed.write_text("\n".join(labeled))
    keep_labeled(manifest, census, LabelBudget(listed=listed)).save(folder / "manifest.json")
    method = brightness(classes.outputs, 1 if spec.get("channels") == "gray" else 3)
    save(folder / "model.safetensors", Artefact(method, InputSpec(size=(32, 32), **spec), classes))
    return folder


PATIENTS = {"p01": 0.95, "p02": 0.9, "p03": 0.52, "p04": 0.6, "p05": 0.97, "p06": 0.58, "p07": 0.9, "p08": 0.99}
TESTED = "p08_0\np08_1\n"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 images of eight patients with masks; one patient is for tests. Tests leave it as it is."""
    folder = data_set(tmp_path_factory.mktemp("suggest") / "squares", PATIENTS)
    (folder / "test.txt").write_text(TESTED)
    (folder / "train.txt").write_text("".join(f"{name}_{at}\n" for name in PATIENTS if name != "p08" for at in (0, 1)))
    return folder


@pytest.fixture(scope="module")
def trained(data: Path) -> Path:
    """A run that had the masks of one patient."""
    return make_run(data.parent / "run", data, ["p01_0", "p01_1"])


@pytest.fixture
def suggest(micro: str, trained: Path, data: Path, tmp_path: Path) -> Suggest:
    def start(pool: Path = data, run: Path = trained, **options: Any) -> Any:
        given = {"count": 3, "out": tmp_path / "next.csv", "device": "cpu", "overwrite": True}
        return delineate.suggest_labels(run, pool, **(given | options))

    return start


def test_the_list_and_its_page(suggest: Suggest, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    found = suggest(by="doubt", progress=lambda *done: seen.append(done))
    assert {case[:3] for case in found.cases} == {"p03", "p04", "p06"}, "the three patients that the model is unsure of"
    assert found.cases[0][:3] == "p03"
    rows = list(csv.DictReader((tmp_path / "next.csv").open()))
    assert list(rows[0]) == ["case", "rank", "doubt", "distance", "group", "why", "image"]
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    assert [row["image"] for row in rows] == [f"images/{case}.png" for case in found.cases]
    assert float(rows[0]["doubt"]) > 0.5 > float(rows[1]["doubt"]) > float(rows[2]["doubt"])
    assert "place 1 of 12" in rows[0]["why"]
    assert read_case_list(tmp_path / "next.csv") == list(found.cases)
    assert seen[-1] == (28, 28)
    assert seen == sorted(seen)
    page = found.page.read_text(encoding="utf-8")
    assert page.count("<img") == 3
    assert "<script" not in page
    for words in ("2 images are labeled already", "2 images for validation or tests left out", *found.cases):
        assert words in page


def test_all_rules_keep_to_one_image_of_a_patient(suggest: Suggest) -> None:
    lists = {by: suggest(by=by, count=6) for by in ("doubt", "coverage", "both", "random")}
    for found in lists.values():
        assert {case[:3] for case in found.cases} == set(PATIENTS) - {"p01", "p08"}
        assert "at most 1 image of a patient or sequence (--per-group)" in found.notes
    assert lists["both"].cases == suggest(by="both", count=6).cases
    more = suggest(count=8)
    assert "at most 2 images of a patient or sequence (--per-group)" in more.notes
    with pytest.raises(
        DataError, match=r"only 6 of 12 images can be chosen \(at most 1 of a patient\); give fewer, or raise --per"
    ):
        suggest(count=8, per_group=1)


def test_masks_are_not_read(suggest: Suggest, data: Path, tmp_path: Path) -> None:
    wanted = suggest(count=5).rows
    pool = shutil.copytree(data, tmp_path / "squares")
    for mask in (pool / "masks").glob("*.png"):
        if mask.stem not in ("p01_0", "p01_1"):
            shutil.copy(data / "masks" / "p01_0.png", mask)
    assert suggest(pool, count=5).rows == wanted
    bare = tmp_path / "bare"
    shutil.copytree(pool / "images", bare)
    for name in ("p08_0", "p08_1"):
        (bare / f"{name}.png").unlink()
    assert [row.case for row in suggest(bare, count=5).rows] == [row.case for row in wanted], "a folder of images alone"


def test_training_takes_the_list(suggest: Suggest, data: Path, tmp_path: Path) -> None:
    found = suggest(with_labeled=True)
    assert [row.why for row in found.rows[3:]] == ["labeled already"] * 2
    assert [row.rank for row in found.rows] == [1, 2, 3, None, None]
    manifest, census = open_data(DataSource(data, join="none"), validation=False)
    kept = keep_labeled(manifest, census, LabelBudget(listed=tmp_path / "next.csv"))
    assert {case.id for case in kept.split("train") if case.masks} == {*found.cases, "p01_0", "p01_1"}


def test_images_with_masks_are_left_out_where_others_have_none(suggest: Suggest, data: Path, tmp_path: Path) -> None:
    pool = shutil.copytree(data, tmp_path / "squares")
    (pool / "unlabeled").mkdir()
    for number, level in enumerate((0.5, 0.9)):
        draw(pool / "unlabeled" / f"new_{number}.png", level, 900 + number)
    found = suggest(pool, count=2, by="doubt")
    assert found.cases == ("new_0", "new_1")
    assert "12 images with masks left out" in found.notes
    with pytest.raises(DataError, match=r"--count 3: .* has 2 images to choose from; give fewer"):
        suggest(pool)


def test_images_of_another_folder(suggest: Suggest, trained: Path, data: Path, tmp_path: Path) -> None:
    for number in range(4):
        draw(tmp_path / "scans" / f"visit{number}.png", 0.5 + 0.1 * number, 700 + number)
    found = suggest(tmp_path / "scans", by="coverage")
    assert f"2 labeled images of the run read from {data}" in found.notes
    assert all(row.distance is not None for row in found.rows)
    with pytest.raises(DataError, match="--with-labeled: 2 labeled images of the run are not in"):
        suggest(tmp_path / "scans", with_labeled=True)
    moved = shutil.copytree(trained, tmp_path / "moved")
    manifest = Manifest.load(moved / "manifest.json")
    manifest.model_copy(update={"root": str(tmp_path / "gone")}).save(moved / "manifest.json")
    found = suggest(tmp_path / "scans", moved, by="coverage")
    assert (
        f"2 labeled images of the run not found in {tmp_path / 'gone'}, so they are not taken for covered"
        in found.notes[0]
    )
    assert "no labeled image is known: nothing is taken for covered" in found.notes
    assert found.rows[0].distance is None
    assert "most typical of the pool" in found.rows[0].why


def test_copies_are_chosen_once_and_not_where_one_is_labeled(suggest: Suggest, data: Path, tmp_path: Path) -> None:
    for name in ("p01_0", "p03_0", "p05_0"):
        image = cv2.imread(str(data / "images" / f"{name}.png"))
        for at, scale in enumerate((3, 4)):
            larger = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
            (tmp_path / "pool").mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / "pool" / f"{name.replace('_', '')}{'ab'[at]}.png"), larger)
    found = suggest(tmp_path / "pool", count=2)
    assert {case[:4] for case in found.cases} == {"p030", "p050"}
    assert any("2 images look like a labeled one and are left out" in note for note in found.notes)
    with pytest.raises(
        DataError, match="only 2 of 4 images can be chosen \\(near duplicates are not chosen twice\\); give fewer"
    ):
        suggest(tmp_path / "pool", count=3)


def test_a_model_without_its_run(suggest: Suggest, trained: Path, data: Path, tmp_path: Path) -> None:
    manifest = Manifest.load(trained / "manifest.json")
    pictures = KnownPictures.of(manifest.cases).to_json()
    model = tmp_path / "alone" / "model.safetensors"
    model.parent.mkdir()
    save(model, Artefact(brightness(), InputSpec(size=(32, 32)), ClassTable(), provenance={"pictures": pictures}))
    with pytest.raises(
        DataError, match=r"14 images .* were in the model's training split, and the model alone does not tell"
    ):
        suggest(data, model)
    shutil.copytree(data / "images", tmp_path / "pool")
    for path in (tmp_path / "pool").glob("p0[1-7]*"):
        path.unlink()
    draw(tmp_path / "pool" / "fresh.png", 0.6, 500)
    assert suggest(tmp_path / "pool", model, count=1).cases == ("fresh",), "test images are known, too"


def test_a_damaged_image_is_left_out(suggest: Suggest, data: Path, tmp_path: Path) -> None:
    pool = shutil.copytree(data / "images", tmp_path / "pool")
    (pool / "p03_0.png").write_bytes((pool / "p03_0.png").read_bytes()[:40])
    found = suggest(pool, by="doubt")
    assert "p03_0" not in found.cases
    assert any("1 image left out that cannot be read" in note and "p03_0" in note for note in found.notes)


def test_volumes_and_packed_slices(micro: str, volume_folder: Path, tmp_path: Path) -> None:
    four = ClassTable(names=("background", "big", "small", "end"))
    run = make_run(tmp_path / "hearts", volume_folder, ["case_01"], four, channels="gray", axis=2)
    out = tmp_path / "next.csv"
    found = delineate.suggest_labels(run, volume_folder, count=2, out=out, device="cpu")
    assert all(case.startswith("case_") for case in found.cases)
    assert "case_01" not in found.cases
    assert "a volume is chosen as a whole: its doubt is that of all its slices" in found.notes
    assert found.page.read_text(encoding="utf-8").count("<img") == 2
    again = delineate.suggest_labels(run, volume_folder, count=2, out=out, device="cpu", batch_size=1, overwrite=True)
    assert again.cases == found.cases
    rng = np.random.default_rng(0)
    stacks = {"images": rng.integers(0, 255, (9, 32, 32), np.uint8), "masks": rng.integers(0, 2, (9, 32, 32), np.uint8)}
    np.savez(tmp_path / "packed.npz", **stacks)
    gray = tmp_path / "gray" / "model.safetensors"
    gray.parent.mkdir()
    save(gray, Artefact(brightness(1, 1), InputSpec(size=(32, 32), channels="gray"), ClassTable()))
    found = delineate.suggest_labels(gray, tmp_path / "packed.npz", count=2, out=out, device="cpu", overwrite=True)
    assert len(set(found.cases)) == 2


def test_series_of_dicom_are_numbered(micro: str, tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    root = write_planted(tmp_path / "in", patients=3)
    model = tmp_path / "gray" / "model.safetensors"
    model.parent.mkdir()
    save(model, Artefact(brightness(1, 1), InputSpec(size=(32, 32), channels="gray"), BINARY))
    found = delineate.suggest_labels(model, root / "images", count=2, out=tmp_path / "next.csv", device="cpu")
    assert [case[:5] for case in found.cases] == ["case_"] * 2
    page = found.page.read_text(encoding="utf-8")
    assert page.count("<img") == 2
    assert not [word for word in (*NAME_WORDS, *HEADER_WORDS) if word in page]


def test_what_is_refused(suggest: Suggest, trained: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "own.csv").write_text("case\np01_0\n")
    suggest()
    two = tmp_path / "two"
    two.mkdir()
    save(
        two / "model.safetensors",
        Artefact(brightness(1, 2), InputSpec(size=(32, 32), channels=("t1", "t2")), ClassTable()),
    )
    for options, words in (
        ({"count": 13}, r"--count 13: .*squares has 12 images to choose from; give fewer"),
        ({"count": 0}, "count 0: give 1 or more"),
        ({"per_group": 0}, "per_group 0: give 1 or more"),
        ({"out": tmp_path / "next.txt"}, "a CSV file; give a name that ends with .csv"),
        ({"overwrite": False}, "next.csv is there already; give another --out, or --overwrite to replace it"),
        ({"out": tmp_path / "own.csv"}, "own.csv is there already, and no list of suggestions of Delineate"),
        ({"pool": tmp_path / "empty"}, "the pool .*empty has no images"),
        ({"features": "encoder"}, "'micro' does not tell its encoder's feature maps"),
        ({"run": two}, "the model takes the channels t1, t2, each from a file of its own"),
    ):
        with pytest.raises(DelineateError, match=words) as told:
            suggest(**options)
        assert "\n" not in str(told.value)
    assert (tmp_path / "own.csv").read_text() == "case\np01_0\n"


def test_a_fewshot_model_is_refused(suggest: Suggest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Micro, "kind", "episodic")
    with pytest.raises(ArtefactError, match="'micro' segments by examples"):
        suggest()
    assert not (tmp_path / "next.csv").exists()


def test_doubt_is_the_entropy_as_a_share_of_the_largest() -> None:
    even = doubt_map(np.full((4, 2, 2), 0.25, np.float32), Output(4))
    assert np.allclose(even, 1)
    one = doubt_map(np.array([[[0.5, 1.0, 0.0, 0.9]]], np.float32), Output(1))
    assert np.allclose(one[0, :3], [1, 0, 0])
    assert one[0, 3] == pytest.approx(-(0.9 * np.log2(0.9) + 0.1 * np.log2(0.1)), abs=1e-5)


def test_over_which_pixels_entropy_is_averaged(suggest: Suggest, data: Path) -> None:
    over = {rule: suggest(by="doubt", count=1, doubt=rule).rows[0] for rule in ("foreground", "mean")}
    assert over["foreground"].case == over["mean"].case
    assert over["mean"].doubt == pytest.approx(over["foreground"].doubt * 8 / 25, rel=0.2), (
        "8 of 25 squares may be foreground, but for their resized edges"
    )


def test_where_nothing_may_be_foreground_all_pixels_count(suggest: Suggest, data: Path, tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    shutil.copytree(data / "images", pool)
    draw(pool / "dark.png", 0.15, 77)
    rows = {row.case: row for row in suggest(pool, by="doubt", count=13).rows}
    assert 0 < rows["dark"].doubt < 0.01


def test_on_the_command_line(micro: str, trained: Path, data: Path, tmp_path: Path) -> None:
    arguments = ["study", "suggest", str(trained), str(data), "--count", "2", "--by", "doubt", "--device", "cpu"]
    for name in ("one", "two"):
        result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / f"{name}.csv")], catch_exceptions=False)
        assert result.exit_code == 0, result.output
    assert "p03" in result.output
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
