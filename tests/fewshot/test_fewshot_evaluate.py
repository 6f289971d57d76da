"""Frozen episodes → scores, on made-up volumes and a method that knows its answer; baselines, settings, and what is refused."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from prototype_method import Prototype

from delineate import cli
from delineate.api import compare, fewshot_episodes, fewshot_evaluate
from delineate.artefact.format import Artefact, save
from delineate.common.errors import DataError, RecipeError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.data.loading.samples import open_samples
from delineate.evaluation.results.scores_file import ScoresFile
from delineate.fewshot.baselines import BASELINES
from delineate.fewshot.class_identity import data_digest, excluded_section
from delineate.fewshot.episode_file import EpisodeFile
from delineate.fewshot.support import Support
from delineate.methods import registry
from delineate.methods.contract import MethodOptions

SIZE = 48


@pytest.fixture(autouse=True)
def prototype(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.BUILT_IN, "prototype", "prototype_method:Prototype")


@pytest.fixture
def model(tmp_path: Path) -> Callable[..., Path]:
    """A stored model with what training would say of itself."""

    def make(**provenance: object) -> Path:
        method = Prototype(MethodOptions(), classes=1, in_channels=1).eval()
        spec = InputSpec(channels="gray", size=(SIZE, SIZE))
        path = tmp_path / "model" / "model.safetensors"
        save(path, Artefact(method, spec, ClassTable(), provenance={"seed": 3, **provenance}))
        return path

    return make


@pytest.fixture
def episodes(slice_folder: Path, tmp_path: Path) -> Path:
    fewshot_episodes(slice_folder, out=tmp_path / "episodes.json", protocol="chunk3", split="train", draws=2)
    return tmp_path / "episodes.json"


def test_dice_is_of_the_voxels_of_the_scored_slices_together(
    slice_folder: Path, episodes: Path, model: Callable[..., Path], tmp_path: Path
) -> None:
    """By hand for one episode: predict each chunk with its support through the library's front door, pool, compare."""
    evaluation = fewshot_evaluate(model(), slice_folder, episodes=episodes, out=tmp_path / "out")
    from delineate.fewshot.predictor import load

    data, one = open_samples(slice_folder), EpisodeFile.load(episodes).episodes[0]
    few, pooled = load(model(), "cpu"), [0, 0]
    for chunk in one.chunks:
        shown = [data.stack(one.support[at].volume).slices[one.support[at].slice] for at in chunk.support]
        ready = few.condition([data.image(each) for each in shown], [data.mask(each) == one.label for each in shown])
        for index in chunk.slices:
            asked = data.stack(one.query).slices[index]
            found, wanted = ready.predict(data.image(asked)) == 1, data.mask(asked) == one.label
            pooled = [pooled[0] + 2 * (found & wanted).sum(), pooled[1] + found.sum() + wanted.sum()]
    row = next(row for row in evaluation.rows if row.case == f"{one.query} draw 1" and row.label == 1)
    assert row.scores["dice"] == pytest.approx(pooled[0] / pooled[1])
    assert row.group == data.stack(one.query).group


def test_what_is_written(slice_folder: Path, episodes: Path, model: Callable[..., Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    fewshot_evaluate(model(), slice_folder, episodes=episodes, out=out)
    stored, frozen = ScoresFile.read(out), EpisodeFile.load(episodes)
    assert stored.classes == list(frozen.classes.names[1:])
    assert stored.origin.level == "volume"
    assert "few-shot protocol chunk3, 1-shot, 2 draws" in stored.origin.protocol_words
    assert "taken as known" in stored.origin.protocol_words
    assert stored.content["fewshot"]["settings"] == dict.fromkeys(stored.classes, "1")
    assert stored.mean("dice")["groups"] == len(set(stored.groups()))
    lines = (out / "episodes.csv").read_text().splitlines()
    assert len(lines) == 1 + len(frozen.episodes)
    assert all(line.startswith("chunk3,") for line in lines[1:])
    pictures = stored.content["fewshot"]["pictures"]
    captions = [caption for caption, _ in pictures[0]["files"]]
    assert captions[0] == "support 1"
    assert captions[-1] == "prior"
    assert all((out / path).exists() for one in pictures for _, path in one["files"])
    page = (out / "report.html").read_text()
    assert page.count("<img") >= sum(len(one["files"]) for one in pictures)
    assert "taken as known" in page


def test_baselines_and_comparisons(
    slice_folder: Path, episodes: Path, model: Callable[..., Path], tmp_path: Path
) -> None:
    """Structures lie where they lay in the support, in a gray of their own: copying does well, colors tell nothing of two
    classes against the rest."""
    for name in BASELINES:
        fewshot_evaluate(name, slice_folder, episodes=episodes, out=tmp_path / name)
    fewshot_evaluate(model(), slice_folder, episodes=episodes, out=tmp_path / "model-scores")
    folders = [tmp_path / name for name in ("copy-support-mask", "nearest-color", "model-scores")]
    copied, colored, learned = (ScoresFile.read(folder).mean("dice")["mean"] for folder in folders)
    assert copied > 0.6
    assert colored == pytest.approx(learned, abs=0.02)  # the test's method is a nearest mean color itself
    compare(folders, out=tmp_path / "comparison")
    other = fewshot_episodes(
        slice_folder, out=tmp_path / "other.json", protocol="chunk3", split="train", draws=2, seed=5
    )
    fewshot_evaluate("nearest-color", slice_folder, episodes=tmp_path / "other.json", out=tmp_path / "other")
    with pytest.raises(DataError, match=f"different protocols .* {other.digest}"):
        compare([folders[0], tmp_path / "other"], out=tmp_path / "comparison", overwrite=True)


def test_baselines_by_hand() -> None:
    mask = np.zeros((4, 4), np.uint8)
    mask[:2, :2] = 1
    image = np.where(mask, 200, 40).astype(np.uint8)
    support = Support((image, image, image), (mask, mask, np.roll(mask, 2, 1)), ClassTable())
    query = np.full((8, 8), 210, np.uint8)
    query[:, 4:] = 30
    (copied,) = BASELINES["copy-support-mask"](support).predict_each([query])
    assert np.array_equal(copied, np.kron(mask, np.ones((2, 2), np.uint8)))
    color = Support((image,), (mask,), ClassTable())
    (nearest,) = BASELINES["nearest-color"](color).predict_each([np.dstack([query] * 3)])
    assert np.array_equal(nearest, (query > 120).astype(np.uint8))


def test_any2d_scores_images(slice_folder: Path, model: Callable[..., Path], tmp_path: Path) -> None:
    fewshot_episodes(slice_folder, out=tmp_path / "e.json", protocol="any2d", split="train", shots=2, classes=["1"])
    evaluation = fewshot_evaluate(
        model(), slice_folder, episodes=tmp_path / "e.json", out=tmp_path / "out", metrics=["dice", "hd95_pooled"]
    )
    assert evaluation.origin.level == "image"
    assert evaluation.origin.length == "px"
    empty = [row for row in evaluation.rows if not row.present]
    assert empty  # slices without the class are asked for, too
    assert all(row.case.endswith("slice_00") for row in empty)


def test_volumes_are_scored_in_millimeters(volume_folder: Path, model: Callable[..., Path], tmp_path: Path) -> None:
    fewshot_episodes(volume_folder, out=tmp_path / "e.json", protocol="middle", split="train", classes=["2"])
    evaluation = fewshot_evaluate(
        model(), volume_folder, episodes=tmp_path / "e.json", out=tmp_path / "out", metrics=["dice", "assd"]
    )
    assert evaluation.origin.length == "mm"
    assert evaluation.origin.level == "volume"
    fewshot_episodes(volume_folder, out=tmp_path / "flat.json", protocol="any2d", split="train", classes=["2"])
    flat = fewshot_evaluate(
        model(), volume_folder, episodes=tmp_path / "flat.json", out=tmp_path / "flat", metrics=["dice", "assd"]
    )
    assert (flat.origin.length, flat.origin.level) == ("mm", "image")
    assert evaluation.origin.grouping == "each volume is its own group"
    assert flat.origin.grouping == "slices of a volume are one group"


def test_settings(slice_folder: Path, episodes: Path, model: Callable[..., Path], tmp_path: Path) -> None:
    name = EpisodeFile.load(episodes).class_names[2]
    run = {"episodes": episodes, "out": tmp_path / "out", "setting": 2, "overwrite": True}
    blind = model(episodes={"kind": "superpixel", "exclude": [name], "exclude_rule": "any"})
    fewshot_evaluate(blind, slice_folder, classes=["2"], **run)
    assert ScoresFile.read(tmp_path / "out").content["fewshot"]["settings"] == {name: "2"}
    with pytest.raises(DataError, match="saw label 1, label 3"):
        fewshot_evaluate(blind, slice_folder, **run)
    leaking = model(episodes={"kind": "superpixel", "exclude": [name], "exclude_rule": "legacy_all"})
    with pytest.raises(DataError, match=f"slices with all of {name} left out"):
        fewshot_evaluate(leaking, slice_folder, classes=["2"], **run)
    fewshot_evaluate("copy-support-mask", slice_folder, **run)


def test_setting_2_is_of_data_and_class_not_of_names(
    slice_folder: Path, episodes: Path, model: Callable[..., Path], make_slices: Callable[..., Path], tmp_path: Path
) -> None:
    manifest = open_samples(slice_folder).manifest
    name = EpisodeFile.load(episodes).class_names[2]
    run = {"episodes": episodes, "classes": ["2"], "setting": 2, "overwrite": True, "out": tmp_path / "out"}
    about = {"kind": "superpixel", "exclude_rule": "any"}
    other_name = model(episodes={**about, "exclude": ["spleen"], **excluded_section(manifest, (2,))})
    fewshot_evaluate(other_name, slice_folder, **run)
    assert ScoresFile.read(tmp_path / "out").content["fewshot"]["settings"] == {name: "2"}
    other_class = model(episodes={**about, "exclude": [name], **excluded_section(manifest, (1,))})
    with pytest.raises(DataError, match=f"saw {name}"):
        fewshot_evaluate(other_class, slice_folder, **run)
    elsewhere = open_samples(make_slices(tmp_path / "elsewhere", patients=8)).manifest
    other_data = model(episodes={**about, "exclude": [name], **excluded_section(elsewhere, (2,))})
    with pytest.raises(DataError, match=r"was trained on other data: whether its slices show .* is not known"):
        fewshot_evaluate(other_data, slice_folder, **run)
    moved = shutil.copytree(slice_folder, tmp_path / "copy")
    assert data_digest(open_samples(moved).manifest) == data_digest(manifest), "places do not count"


def test_an_untrained_method_is_seeded(slice_folder: Path, tmp_path: Path) -> None:
    name = next((name for name in ("panet", "alpnet", "ipsl") if name in registry.names()), None)
    if name is None:
        pytest.skip("no few-shot method is registered")
    frozen = {"protocol": "chunk3", "split": "test", "support_split": "val", "classes": ["2"]}
    fewshot_episodes(slice_folder, out=tmp_path / "few.json", **frozen)
    run = {"episodes": tmp_path / "few.json", "device": "cpu"}
    first, again, other = (
        fewshot_evaluate(f"{name}@tiny:untrained", slice_folder, out=tmp_path / str(at), seed=seed, **run)
        for at, seed in enumerate((0, 0, 1))
    )
    values = [[row.scores["dice"] for row in each.rows] for each in (first, again, other)]
    assert values[0] == values[1]
    assert values[0] != values[2]
    assert first.origin.method == f"{name}@tiny, untrained (resnet18; all weights random)"


def test_what_is_refused(slice_folder: Path, episodes: Path, tmp_path: Path) -> None:
    run = {"episodes": episodes, "out": tmp_path / "out"}
    with pytest.raises(DataError, match="know no class 'liver'"):
        fewshot_evaluate("copy-support-mask", slice_folder, classes=["liver"], **run)
    with pytest.raises(DataError, match="there is no model 'copy-suport-mask'"):
        fewshot_evaluate("copy-suport-mask", slice_folder, **run)
    with pytest.raises(RecipeError, match="'unet' does not segment by examples"):
        fewshot_evaluate("unet@tiny:untrained", slice_folder, **run)
    with pytest.raises(DataError, match="metrics of masks"):
        fewshot_evaluate("copy-support-mask", slice_folder, metrics=["ece"], **run)
    assert not (tmp_path / "out").exists()


def test_the_verbs(
    slice_folder: Path, model: Callable[..., Path], tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def typed(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["delineate", "fewshot", *map(str, words)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    file, out = tmp_path / "middle.json", tmp_path / "out"
    code, said, err = typed(
        *("episodes", slice_folder, "--protocol", "middle", "--classes", "1,2", "--support-split", "val", "--out", file)
    )
    assert code == 0, err
    assert "label 1: 2 queries, 14 slices; support from patient00" in said
    for opening in (1, 2):
        code, said, err = typed(
            "evaluate", model(), slice_folder, "--episodes", file, "--out", out, "--device", "cpu", "--overwrite"
        )
        assert code == 0, err
        assert "few-shot protocol middle, 1-shot" in said
        assert f"test cases opened {opening}×" in said
    assert json.loads((out / "scores.json").read_text())["test_accesses"] == 2
    code, said, err = typed("evaluate", tmp_path, slice_folder, "--episodes", file, "--out", out, "--overwrite")
    assert (code, err.count("\n")) == (2, 1)
