"""Post-processing is chosen on validation cases, adopted where it pays, and stored whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from delineate import api
from delineate.artefact import format as artefact_format
from delineate.artefact.format import Artefact, read_header, read_tensors, save
from delineate.artefact.postprocessing import StructureRule
from delineate.common.errors import ArtefactError, DataError, DelineateError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable, Manifest
from delineate.data.loading.open_data import open_data
from delineate.engine import calibrate as module
from delineate.engine.postprocessing_search import MARGIN, CaseMask, levels_of, search, thresholds_around
from delineate.engine.run_folder import RunFolder
from delineate.inference.model_card import model_card
from delineate.inference.model_info import read_info
from delineate.inference.postprocess import postprocessed
from micro_method import Micro, brightness
from small_volumes import reorder

pytestmark = pytest.mark.usefixtures("micro")
SIDE = 32
PARTS = {"train": 2, "val": 6, "test": 1}


def picture(index: int) -> tuple[np.ndarray, np.ndarray]:
    """A bright square with a dark hole, and a bright speck that is no part of the reference."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[6:20, 5 + index % 3 : 20] = 255
    image = mask.copy()
    image[10:13, 10:13] = 0
    image[26:29, 26:29] = 255
    return image, mask


def dataset(folder: Path, parts: dict[str, int] = PARTS) -> Path:
    for split, number in parts.items():
        names = [f"{split}{at}" for at in range(number)]
        for at, name in enumerate(names):
            for kind, pixels in zip(("images", "masks"), picture(at), strict=True):
                (folder / kind).mkdir(parents=True, exist_ok=True)
                pixels[0, 0] = 0
                pixels[0, 1 + at] = 255 * (kind == "images") * (split == "val")  # no two pictures are equal
                cv2.imwrite(str(folder / kind / f"{name}.png"), pixels)
        (folder / f"{split}.txt").write_text("\n".join(names) + "\n")
    return folder


def finished(run: Path, data: Path, method: Micro | None = None, **about: Any) -> Path:
    """A run folder of a model that marks what is bright."""
    manifest, _ = open_data(data)
    run.mkdir(parents=True)
    manifest.save(run / "manifest.json")
    spec = InputSpec(size=(SIDE, SIDE), channels="gray", **about)
    save(run / "model.safetensors", Artefact(method or brightness(1, 1), spec, manifest.classes))
    (run / "card.md").write_text(model_card(read_info(run)))
    return run


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture
def run(tmp_path: Path, data: Path) -> Path:
    return finished(tmp_path / "run", data)


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_gets_what_its_validation_asks_for(run: Path, data: Path, tmp_path: Path) -> None:
    before, weights = content(run), read_tensors(run)
    found = api.calibrate(run, device="cpu")
    assert found.postprocessing is not None
    (rule,) = found.postprocessing.rules
    assert (rule.min_size, rule.fill_holes) == (10, True), "specks have 9 pixels or 1; the size that changes least"
    assert found.before is not None
    assert found.after is not None
    assert found.before["foreground"] < 0.96
    assert found.after["foreground"] == pytest.approx(1.0)
    assert found.cases == 6
    assert all(torch.equal(value, read_tensors(run)[name]) for name, value in weights.items())

    header = read_header(run)
    assert header.format == 5
    assert header.postprocessing == found.postprocessing
    on = found.postprocessing.chosen_on
    assert on is not None
    assert (on.split, on.cases, on.before) == ("val", 6, found.before)
    card = (run / "card.md").read_text()
    assert "no component below 10 px" in card
    assert "cross-validated, 6 validation cases of 6 groups: NLL" in card
    assert "\n## Post-processing\n" in card
    assert RunFolder(run).read_summary()["postprocessing"] == found.words

    masks = []
    for name, more in [("done", {}), ("raw", {"postprocess": False})]:
        result = api.predict(run, [data / "images"], out=tmp_path / name, probabilities=True, device="cpu", **more)
        masks.append(cv2.imread(str(tmp_path / name / "test0.png"), cv2.IMREAD_UNCHANGED) > 0)
        assert any("post-processing of masks" in note for note in result.notes) == (name == "done")
    expected = cv2.imread(str(data / "masks" / "test0.png"), cv2.IMREAD_UNCHANGED) > 0
    assert np.array_equal(masks[0], expected)
    assert not np.array_equal(masks[1], expected)
    maps = [cv2.imread(str(tmp_path / name / "probabilities" / "test0.png"), -1) for name in ("done", "raw")]
    assert np.array_equal(*maps), "probability maps stay as they are"

    assert api.calibrate(run, device="cpu").postprocessing is not None, "again, from the network's masks"
    assert (run / "card.md").read_text() == card
    assert api.calibrate(run, remove=True).postprocessing is None
    after = content(run)
    after.pop("run.json")
    assert after == before, "all is as it was"
    again = api.calibrate(run, remove=True)
    assert again.remark == "the model has no calibration: nothing was removed"


def test_a_model_that_is_too_sure_gets_a_temperature(tmp_path: Path) -> None:
    """Of 15 % of the pixels the network says the contrary of the reference, as surely as of the others: ±25 in the logits."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "data"
    for split, number in {"train": 2, "val": 8, "test": 1}.items():
        listed = [f"{split}{at}" for at in range(number)]
        for name in listed:
            mask = np.zeros((SIDE, SIDE), np.uint8)
            mask[:, : SIDE // 2] = 255
            image = np.where(rng.random(mask.shape) < 0.15, 255 - mask, mask)
            for kind, pixels in (("images", image), ("masks", mask)):
                (folder / kind).mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(folder / kind / f"{name}.png"), pixels)
        (folder / f"{split}.txt").write_text("\n".join(listed) + "\n")
    run = finished(tmp_path / "run", folder)
    before = content(run)
    found = api.calibrate(run, device="cpu")
    assert found.record is not None
    (temperature,) = found.record.temperatures
    assert 25 / temperature == pytest.approx(np.log(0.85 / 0.15), rel=0.05)
    figures = found.record.figures
    assert figures is not None
    assert figures.ece.before.value == pytest.approx(0.15, abs=0.02)
    assert figures.ece.after.value < 0.02
    assert (found.record.cases, found.record.groups, found.record.pixels) == (8, 8, 8 * SIDE**2)
    assert found.record.expected_dice is None
    assert any("validation has 8 groups" in remark for remark in found.record.remarks)
    told = [(run / f"calibration.{kind}").read_text() for kind in ("json", "html")]
    assert not any("val0" in text for text in told), "names of cases may be those of patients"
    assert "Share of pixels that are what was stated" in told[1]
    result = api.predict(
        run, [folder / "images"], out=tmp_path / "out", probabilities=True, calibrated=True, device="cpu"
    )
    assert not result.failures
    shown = cv2.imread(str(tmp_path / "out" / "probabilities" / "test0.png"), -1) / 65535
    assert set(np.unique(shown.round(2))) == {0.15, 0.85}
    assert api.calibrate(run, device="cpu").record == found.record, "it begins with the network's own again"
    assert api.calibrate(run, remove=True).record is None
    after = content(run)
    after.pop("run.json")
    assert after == before


def test_it_looks_at_validation_cases_alone(run: Path, data: Path, tmp_path: Path) -> None:
    away = shutil.copytree(data, tmp_path / "away")
    for path in [*away.glob("*/train*.png"), *away.glob("*/test*.png")]:
        path.unlink()
    manifest = Manifest.load(run / "manifest.json")
    manifest.model_copy(update={"root": str(away)}).save(run / "manifest.json")
    assert api.calibrate(run, device="cpu").cases == 6


def test_a_killed_one_leaves_the_model(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(run)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    for name in ("find_temperatures", "search", "joint_hash", "fit_expected_dice"):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, killed)
            with pytest.raises(KeyboardInterrupt):
                api.calibrate(run, device="cpu")
        assert content(run) == before
    with monkeypatch.context() as patch:
        patch.setattr(artefact_format, "write_tensors", killed)
        with pytest.raises(KeyboardInterrupt):
            api.calibrate(run, device="cpu")
    assert content(run) == before


def test_wrong_inputs(run: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(run)
    few = finished(tmp_path / "few", dataset(tmp_path / "small", {"train": 2, "val": 4, "test": 1}))
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(run / "model.safetensors", alone)
    empty = shutil.copytree(run, tmp_path / "empty")
    (empty / "model.safetensors").unlink()
    for path, error, words in [
        (run / "model.safetensors", ArtefactError, "is a file; give the model's run folder"),
        (alone, ArtefactError, "holds no manifest.json"),
        (empty, ArtefactError, "holds no model.safetensors"),
        (tmp_path / "none", ArtefactError, "does not exist"),
        (few, DataError, "has 4 validation cases with masks; calibration needs 5 or more"),
    ]:
        with pytest.raises(error, match=words) as caught:
            api.calibrate(path, device="cpu")
        assert "\n" not in str(caught.value)
    gone = Manifest.load(run / "manifest.json").model_copy(update={"root": str(tmp_path / "gone")})
    other = shutil.copytree(run, tmp_path / "other")
    gone.save(other / "manifest.json")
    with pytest.raises(DelineateError, match="which is not there; restore that folder"):
        api.calibrate(other, device="cpu")
    renamed = Manifest.load(run / "manifest.json").model_copy(update={"classes": ClassTable(names=("background", "x"))})
    renamed.save(other / "manifest.json")
    with pytest.raises(DataError, match="has other classes"):
        api.calibrate(other, device="cpu")
    assert content(run) == before


def test_cases_of_another_split_are_refused(run: Path) -> None:
    manifest = Manifest.load(run / "manifest.json")
    known = {"test": "".join(case.pixels[:12] for case in manifest.split("val") if case.pixels)}
    artefact = artefact_format.load(run)
    artefact.provenance = {"pictures": known}
    save(run / "model.safetensors", artefact)
    with pytest.raises(DataError, match="validation case val0 is a test picture of this model"):
        api.calibrate(run, device="cpu")


def test_few_shot_models_are_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Micro, "kind", "episodic")
    with pytest.raises(ArtefactError, match="'micro' is a few-shot method"):
        api.calibrate(run, device="cpu")


def labels(seed: int) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[4:14, 4:14], mask[18:28, 16 + seed % 3 : 28] = 1, 2
    return mask


def test_the_masks_of_several_classes_are_cleaned_up(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for split, number in PARTS.items():
        for at in range(number):
            mask = labels(at)
            image = (mask * 127.5).astype(np.uint8)
            image[0, at], image[20:22, 5:7] = 40 if split == "val" else 30, 255
            for kind, pixels in (("images", image), ("masks", mask)):
                (folder / kind).mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(folder / kind / f"{split}{at}.png"), pixels)
        (folder / f"{split}.txt").write_text("".join(f"{split}{at}\n" for at in range(number)))
    run = finished(tmp_path / "run", folder, brightness(3, 1))
    found = api.calibrate(run, device="cpu")
    assert found.words == "label 2: no component below 5 px (8 neighbors)"
    assert [step.what for step in found.steps] == ["temperature", "one for each channel"]


def test_volumes_are_whole(tmp_path: Path) -> None:
    """Slices join: what is a speck in one slice may belong to a large part, and sizes are in mm³."""
    nibabel = pytest.importorskip("nibabel")
    folder = tmp_path / "data"
    affine = np.diag([2.0, 1.0, 3.0, 1.0])
    names: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for at in range(8):
        mask = np.zeros((20, 18, 6), np.uint8)
        mask[4:14, 4:12, 1:4], mask[9:11, 6:8, 4] = 1, 1
        image = mask * 250
        image[16:18, 15:17, 5], image[0, 0, at % 6] = 250, 100 + at
        name = f"case{at}"
        for kind, voxels in (("images", image), ("masks", mask)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(voxels, affine), folder / kind / f"{name}.nii.gz")
        names["train" if at == 0 else "test" if at == 1 else "val"].append(name)
    for split, listed in names.items():
        (folder / f"{split}.txt").write_text("\n".join(listed) + "\n")
    reorder(folder, "case1", (2, 0, 1), (0,))
    reorder(folder, "case3", (1, 2, 0), (1,))
    run = finished(tmp_path / "run", folder, axis=2)
    found = api.calibrate(run, device="cpu")
    assert found.words == "foreground: no component below 50 mm³ (26 neighbors)"
    assert found.after == {"foreground": 1.0}
    for case in ("case1", "case3"):
        result = api.predict(run, [folder / "images" / f"{case}.nii.gz"], out=tmp_path / case, device="cpu")
        written, expected = (nibabel.load(path / f"{case}.nii.gz") for path in (tmp_path / case, folder / "masks"))
        assert np.array_equal(np.asarray(written.dataobj), np.asarray(expected.dataobj))
        assert result.files[0].milliliters[0] == pytest.approx(244 * 6 / 1000), (
            "figures are of the mask that is written"
        )
    cv2.imwrite(str(tmp_path / "one.png"), np.zeros((20, 18), np.uint8))
    result = api.predict(run, [tmp_path / "one.png"], out=tmp_path / "pictures", device="cpu")
    assert "components and holes were chosen for volumes: masks of pictures keep theirs" in result.notes


def search_of(maps: Sequence[np.ndarray], references: Sequence[np.ndarray], current: float = 0.5) -> Any:
    grid = thresholds_around(current)
    cases = [CaseMask(one, levels_of(two, grid)[None]) for one, two in zip(references, maps, strict=True)]
    return search(cases, ClassTable(), grid, current)


def test_the_threshold_is_exact_and_ties_keep_it() -> None:
    rng = np.random.default_rng(0)
    references = [(rng.random((12, 12)) < 0.3).astype(np.uint8) for _ in range(5)]
    maps = [np.where(one, 0.3, 0.1).astype(np.float32) for one in references]
    assert search_of(maps, references).threshold == pytest.approx(0.3), "of equals the nearest to what there is"
    assert search_of(maps, references, 0.2).threshold is None
    assert search_of(maps, references, 0.123).threshold is None
    plane = rng.random((40, 40)).astype(np.float32)
    plane[0, :10] = [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5]
    grid = thresholds_around(0.37)
    for at, threshold in enumerate(grid, start=1):
        assert np.array_equal(levels_of(plane, grid) >= at, plane >= threshold)


def test_nothing_is_adopted_for_less_than_the_margin() -> None:
    reference = np.zeros((60, 60), np.uint8)
    reference[5:55, 5:55] = 1
    noisy = reference.astype(np.float32)
    noisy[0, 0] = 1
    gain = 1 - 2 * 2500 / 5001
    assert 0 < gain < MARGIN
    found = search_of([noisy] * 5, [reference] * 5)
    assert (found.rules, found.threshold) == ((), None)
    assert found.before == found.after
    assert [(one.what, one.adopted) for one in found.trials][1] == ("foreground: components", False)


def test_chance_is_not_taken_for_a_rule() -> None:
    """A rule that helps in one case of eight and does nothing in the others is within its standard error."""
    reference = np.zeros((20, 20), np.uint8)
    reference[2:8, 2:8] = 1
    clean, speck = reference.astype(np.float32), reference.astype(np.float32)
    speck[14:16, 14:16] = 1
    assert search_of([speck] * 8, [reference] * 8).rules != ()
    found = search_of([speck, *[clean] * 7], [reference] * 8)
    (tried,) = (one for one in found.trials if one.what == "foreground: components")
    assert tried.gain > MARGIN
    assert tried.gain == pytest.approx(tried.error)
    assert found.rules == (), "one case alone never decides"


def test_ignored_pixels_decide_nothing() -> None:
    """A speck that lies where the reference is ignored costs nothing, so no rule takes it away."""
    reference = np.zeros((20, 20), np.uint8)
    reference[2:8, 2:8], reference[12:18, 12:18] = 1, 255
    map_ = (reference == 1).astype(np.float32)
    map_[14:16, 14:16] = 1
    assert search_of([map_] * 5, [reference] * 5).rules == ()
    reference[12:18, 12:18] = 0
    assert search_of([map_] * 5, [reference] * 5).rules != ()


@pytest.mark.parametrize("seed", range(4))
def test_the_counted_dice_is_that_of_the_masks(seed: int) -> None:
    """What the search reckons from components is what `postprocessed` makes, with regions inside each other too."""
    rng = np.random.default_rng(seed)
    names = ("background", "a", "b", "c")
    table = ClassTable(names=names)
    if seed % 2:
        table = table.with_regions({"whole": ["a", "b", "c"], "core": ["b", "c"], "inner": ["c"]})
    references, masks = [], []
    for _ in range(5):
        big = cv2.resize(rng.integers(0, 4, (6, 6)).astype(np.uint8), (24, 24), interpolation=cv2.INTER_NEAREST)
        noise = rng.random(big.shape) < 0.1
        references.append(big)
        masks.append(np.where(noise, rng.integers(0, 4, big.shape), big).astype(np.uint8))
    thresholds = None
    values = masks
    if table.regions:
        thresholds = thresholds_around(0.5)
        planes = [np.stack([np.isin(one, r.classes) for r in table.regions]).astype(np.float32) for one in masks]
        values = [levels_of(one, thresholds) for one in planes]
    found = search([CaseMask(*pair) for pair in zip(references, values, strict=True)], table, thresholds)
    assert found.rules, "noise can be taken away"
    for name, classes in table.structures.items():
        for rules, said in (((), found.before), (found.rules, found.after)):
            scores = []
            for mask, reference in zip(masks, references, strict=True):
                ours, theirs = (np.isin(one, classes) for one in (postprocessed(mask, table, rules), reference))
                scores.append(2 * (ours & theirs).sum() / (ours.sum() + theirs.sum()))
            assert np.mean(scores) == pytest.approx(said[name])
    gained = sum(found.after.values()) - sum(found.before.values())
    assert gained == pytest.approx(sum(one.gain for one in found.trials if one.adopted), abs=0.02)
    assert all(isinstance(one, StructureRule) and one.acts for one in found.rules)


def test_slices_that_are_pictures_are_told_to_be_judged_in_two_dimensions(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "data")
    for split, number in PARTS.items():
        names = []
        for at in range(number):
            names.append(f"{split}{at // 3}_slice_{at}")
            for kind in ("images", "masks"):
                (folder / kind / f"{split}{at}.png").rename(folder / kind / f"{names[-1]}.png")
        (folder / f"{split}.txt").write_text("\n".join(names) + "\n")
    found = api.calibrate(finished(tmp_path / "run", folder))
    assert found.remark is not None
    assert found.remark.startswith(
        "the 6 validation pictures are slices of 2 volumes by their names, but each is a case of its"
    )
    assert found.postprocessing is not None
    assert found.postprocessing.dimensions == 2


def test_pictures_that_stand_alone_have_no_remark(run: Path) -> None:
    assert api.calibrate(run).remark is None
