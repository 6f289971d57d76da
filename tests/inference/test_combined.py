"""Models and views that predict together: means of probabilities, agreement of members, what is written of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import delineate
from delineate.artefact.format import Artefact, save
from delineate.artefact.postprocessing import Postprocessing, StructureRule
from delineate.common.errors import ArtefactError, DataError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.known import KnownPictures
from delineate.data.core.manifest import ClassTable
from delineate.evaluation.inputs.test_access_log import Access, note_access
from delineate.inference.files import predict_files
from delineate.inference.predictor import Predictor, load
from delineate.inference.tta import of_a_side, views_of
from micro_method import Micro, MicroOptions, brightness

pytestmark = pytest.mark.usefixtures("micro")
FOUR = ClassTable(names=("background", "a", "b", "c"))


def shaken(seed: int, classes: int = 1, **spec: object) -> Artefact:
    """A convolution that tells directions apart, so that views differ."""
    torch.manual_seed(seed)
    method = Micro(MicroOptions(), classes=classes, in_channels=3).eval()
    table = ClassTable() if classes == 1 else FOUR
    return Artefact(method, InputSpec(size=(32, 32), **spec), table, temperature=1 + seed / 2)


def files_of(folder: Path, *members: Artefact) -> list[Path]:
    paths = [folder / f"{at}.safetensors" for at in range(len(members))]
    for path, member in zip(paths, members, strict=True):
        save(path, member)
    return paths


def noise(height: int = 40, width: int = 50) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("classes", [1, 4])
@pytest.mark.parametrize("fit", ["stretch", "letterbox", "patch"])
def test_an_ensemble_is_the_mean_of_its_members(tmp_path: Path, classes: int, fit: str) -> None:
    members = [shaken(seed, classes, fit=fit) for seed in range(3)]
    first, *others = files_of(tmp_path, *members)
    image = noise()
    alone = [Predictor(member, "cpu").probabilities(image) for member in members]
    together = load(first, "cpu", ensemble=others)
    assert together.passes == 3
    assert np.allclose(together.probabilities(image), np.mean(alone, axis=0), atol=1e-6)
    assert not np.allclose(together.probabilities(image), alone[0], atol=1e-2)


@pytest.mark.parametrize(("tta", "views"), [("flips", 4), ("flips+rotations", 8)])
def test_views_are_what_a_mirrored_image_gives(tta: str, views: int) -> None:
    image = noise(32, 32)
    plain = Predictor(shaken(1), "cpu")
    forms = [(turn, flip) for turn in range(0 if tta == "flips" else -1, 1) for flip in range(4)]
    found = []
    for turned, flip in forms:
        form = image.transpose(1, 0, 2) if turned else image
        seen = plain.probabilities(form[:: -1 if flip & 1 else 1, :: -1 if flip & 2 else 1].copy())
        seen = seen[:: -1 if flip & 1 else 1, :: -1 if flip & 2 else 1]
        found.append(seen.transpose(1, 0, 2) if turned else seen)
    predictor = Predictor(shaken(1), "cpu", tta=tta)
    assert predictor.passes == len(found) == views
    assert np.allclose(predictor.probabilities(image), np.mean(found, axis=0), atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(height=st.integers(1, 9), width=st.integers(1, 9), tta=st.sampled_from(["none", "flips", "flips+rotations"]))
def test_every_view_turns_back(height: int, width: int, tta: str) -> None:
    image = torch.rand(2, 3, height, width)
    views = views_of(tta)
    assert torch.equal(views[0].apply(image), image)
    assert all(torch.equal(view.undo(view.apply(image)), image) for view in views)
    square = torch.rand(1, 1, 5, 5)
    assert len({view.apply(square).numpy().tobytes() for view in views}) == len(views)


def test_one_model_without_views_is_as_before() -> None:
    predictor, image = Predictor(shaken(0), "cpu"), noise(32, 32)
    with torch.inference_mode():
        plain = predictor.network(torch.from_numpy(image / np.float32(255)).permute(2, 0, 1)[None]).sigmoid()
    assert np.array_equal(predictor.probabilities(image)[..., 0], plain[0, 0].numpy())


@pytest.mark.parametrize("fit", ["stretch", "letterbox", "patch"])
def test_members_see_the_image_by_their_own_windows(tmp_path: Path, fit: str) -> None:
    windows = [(100.0, 150.0), (90.0, 220.0), (120.0, 100.0)]
    members = [
        shaken(seed, fit=fit, intensity="window", window_level=level, window_width=width)
        for seed, (level, width) in enumerate(windows)
    ]
    first, *others = files_of(tmp_path, *members)
    image = noise(30, 44)
    alone = [Predictor(member, "cpu").probabilities(image) for member in members]
    # A letterbox keeps what the window made of an image in the image's own numbers, here whole gray levels.
    found, most = load(first, "cpu", ensemble=others).probabilities(image), 2e-3 if fit == "letterbox" else 1e-5
    assert np.allclose(found, np.mean(alone, axis=0), atol=most)


def test_members_that_do_not_agree_are_told_by_what(tmp_path: Path) -> None:
    first, size, classes = files_of(
        tmp_path, shaken(0), replace(shaken(1), spec=InputSpec(size=(32, 48))), shaken(2, classes=4)
    )
    with pytest.raises(
        ArtefactError, match=r"0\.safetensors and .*1\.safetensors cannot be averaged: input\.size \(32, 32\) and"
    ):
        load(first, ensemble=[size])
    with pytest.raises(ArtefactError, match="classes background, foreground and background, a, b, c"):
        load(first, ensemble=[classes])
    with pytest.raises(ArtefactError, match="is a member twice"):
        load(first, ensemble=[tmp_path / "." / first.name])
    with pytest.raises(ArtefactError, match="does not exist"):
        load(first, ensemble=[tmp_path / "absent"])
    with pytest.raises(
        DataError, match="a quarter turn needs a square input, and the model's is 32×48; use --tta flips"
    ):
        load(size, tta="flips+rotations")
    with pytest.raises(DataError, match="no test-time augmentation 'flip'; there are none, flips"):
        load(first, tta="flip")  # type: ignore[arg-type]


def test_a_folder_of_runs_is_all_of_its_models(tmp_path: Path) -> None:
    for seed in range(2):
        run = tmp_path / f"fold0-seed{seed}"
        run.mkdir()
        (run / "recipe.yaml").write_text("preset: tiny\n")
        save(run / "model.safetensors", shaken(seed))
    assert delineate.load(tmp_path, "cpu").title == "micro ×2"
    (tmp_path / "fold0-seed1" / "model.safetensors").unlink()
    with pytest.raises(ArtefactError, match="has 2 runs, of which fold0-seed1 is not finished"):
        delineate.load(tmp_path)


def test_what_is_written_names_all_members(tmp_path: Path) -> None:
    first, second = files_of(tmp_path, shaken(0), shaken(1))
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "a.png"), noise())
    result = predict_files(load(first, "cpu", ensemble=[second], tta="flips"), [tmp_path / "in"], tmp_path / "out")
    assert "micro ×2, flips: probabilities are the mean over 2 models × 4 views" in result.notes
    listed = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [Path(one["model"]).name for one in listed["members"]] == [first.name, second.name]
    assert listed["method"] == "micro ×2, flips"
    assert listed["model"] is None
    assert len(listed["model_sha256"]) == 64
    assert listed["tta"] == "flips"


def test_a_test_split_that_an_ensemble_opens_is_noted_in_every_run(tmp_path: Path) -> None:
    runs = [tmp_path / name for name in ("one", "two")]
    for seed, run in enumerate(runs):
        run.mkdir()
        (run / "recipe.yaml").write_text("preset: tiny\n")
        save(run / "model.safetensors", shaken(seed))
    (tmp_path / "out").mkdir()
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "a.png"), noise())
    predict_files(load(runs[0], "cpu", ensemble=[runs[1]]), [tmp_path / "in"], tmp_path / "out", overwrite=True)
    members = json.loads((tmp_path / "out" / "predictions.json").read_text())["members"]
    given = [(Path(one["model"]), one["sha256"]) for one in members]
    note_access(Access(tmp_path, 1, members=given), tmp_path / "out")
    assert all((run / "evaluations.jsonl").is_file() for run in runs)


def test_a_picture_that_any_member_was_trained_on_is_known() -> None:
    joined = KnownPictures.joined([KnownPictures({"a": "val", "b": "test"}), KnownPictures({"a": "train", "c": "val"})])
    assert joined.roles == {"a": "train", "b": "test", "c": "val"}


def test_post_processing_is_done_where_all_members_agree(tmp_path: Path) -> None:
    rule = Postprocessing(dimensions=2, threshold=0.4, rules=(StructureRule(name="foreground", largest=True),))
    same = [replace(shaken(seed), postprocessing=rule) for seed in range(2)]
    first, second, other = files_of(tmp_path, *same, shaken(2))
    agreed = load(first, "cpu", ensemble=[second])
    assert (agreed.postprocessing, agreed.threshold) == (rule, 0.4)
    apart = load(first, "cpu", ensemble=[other])
    assert (apart.postprocessing, apart.threshold) == (None, 0.5)
    assert apart.notes[1:] == [
        "1 member has post-processing from `calibrate`, but not all have the same: it is left out"
    ]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["left_lung", "right_lung"], "left_lung, right_lung tell left from right"),
        (["kidney L", "tumor"], "kidney L tells left from right"),
        (["leftover", "bright", "RV"], None),
    ],
)
def test_classes_of_one_side_are_warned_of(names: list[str], told: str | None) -> None:
    found = of_a_side(names)
    assert (found is None) if told is None else (found is not None and told in found)


def test_brightness_does_not_depend_on_views() -> None:
    plain = Predictor(Artefact(brightness(), InputSpec(size=(32, 32)), ClassTable()), "cpu")
    views = Predictor(Artefact(brightness(), InputSpec(size=(32, 32)), ClassTable()), "cpu", tta="flips+rotations")
    assert np.allclose(plain.probabilities(noise()), views.probabilities(noise()), atol=1e-6)
