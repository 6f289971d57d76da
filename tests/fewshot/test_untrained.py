"""Methods before any training as candidates: what their rows say, what chance is in them, and what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import timm
import torch

from delineate import cli
from delineate.api import fewshot_episodes, fewshot_evaluate, fewshot_predict
from delineate.artefact.format import Artefact, save
from delineate.common.errors import DataError, DelineateError, RecipeError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.evaluation.inputs.prediction_list import PredictionList
from delineate.evaluation.results.evaluate import Evaluation
from delineate.fewshot.predictor import FewShotPredictor
from delineate.fewshot.support import Support
from delineate.fewshot.untrained import Untrained
from delineate.methods import registry
from delineate.methods.encoder_options import EncoderMethodOptions
from delineate.methods.prototypical import PrototypicalMethod

SMALL = ("method.encoder.name=resnet10t", "method.levels=2", "input.size=32")
Score = Callable[..., Evaluation]


@pytest.fixture
def episodes(slice_folder: Path, tmp_path: Path) -> Path:
    fewshot_episodes(slice_folder, out=tmp_path / "few.json", protocol="chunk3", support_split="val", classes=["2"])
    return tmp_path / "few.json"


@pytest.fixture
def score(slice_folder: Path, episodes: Path, tmp_path: Path) -> Score:
    def run(name: str, *settings: str, seed: int = 0) -> Evaluation:
        run.out = tmp_path / f"{seed} {len(list(tmp_path.iterdir()))}"
        return fewshot_evaluate(
            name, slice_folder, settings=settings, seed=seed, episodes=episodes, out=run.out, device="cpu"
        )

    return run


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """As pretrained weights are: of the whole network, in a folder with a private name."""
    torch.manual_seed(5)
    folder = tmp_path / "private"
    folder.mkdir()
    torch.save(timm.create_model("resnet10t").state_dict(), folder / "mine.pt")
    return folder / "mine.pt"


def dice(evaluation: Evaluation) -> list[float]:
    return [row.scores["dice"] for row in evaluation.rows]


@pytest.mark.parametrize("method", ["alpnet", "panet"])
def test_pretrained_features_as_they_are_have_no_chance_in_them(score: Score, weights: Path, method: str) -> None:
    """Without the random projection, seeds change nothing, and the table names none."""
    given = (*SMALL, f"method.encoder.pretrained={weights}", "method.width=null")
    first, other = (score(f"{method}@tiny:untrained", *given, seed=seed) for seed in (0, 1))
    assert dice(first) == dice(other)
    assert first.origin.seed is None
    assert first.origin.method == (
        f"{method}@tiny, untrained (resnet10t, weights of mine.pt; method.levels=2; input.size=32; method.width=null)"
    )
    written = [file.read_text(encoding="utf-8") for file in score.out.iterdir() if file.suffix in (".json", ".html")]
    assert len(written) > 1
    assert not any(str(weights.parent) in text for text in written), "folders of this machine stay here"
    assert json.loads((score.out / "scores.json").read_text())["fewshot"]["settings"] == {"label 2": "2"}


def test_a_random_projection_of_pretrained_features_is_said(score: Score, weights: Path) -> None:
    given = (*SMALL, f"method.encoder.pretrained={weights}")
    first, other = (score("alpnet@tiny:untrained", *given, seed=seed) for seed in (0, 1))
    assert dice(first) != dice(other)
    assert (first.origin.seed, other.origin.seed) == (0, 1)
    assert first.origin.method.startswith(
        "alpnet@tiny, untrained (resnet10t, weights of mine.pt; features.reduce random;"
    )


def test_an_untrained_row_is_the_method_with_its_first_weights(
    score: Score, weights: Path, slice_folder: Path, tmp_path: Path
) -> None:
    """The oracle: the same network, made by hand, saved and evaluated as a model file."""
    options = {"encoder": {"name": "resnet10t", "pretrained": str(weights)}, "levels": 2, "width": None}
    method = registry.create("panet", classes=1, in_channels=1, **options).eval()
    save(tmp_path / "model.safetensors", Artefact(method, InputSpec(channels="gray", size=(32, 32)), ClassTable()))
    by_hand = score(str(tmp_path / "model.safetensors"))
    named = score("panet@tiny:untrained", *SMALL, f"method.encoder.pretrained={weights}", "method.width=null")
    assert dice(named) == dice(by_hand)


def test_statistics_that_contradict_the_weights_are_a_warning_of_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    image = np.zeros((32, 32), np.uint8)
    image[8:24, 8:24] = 255
    for name in ("a.png", "a_mask.png"):
        cv2.imwrite(str(tmp_path / name), image)
    typed = ["predict", "panet@small:untrained", tmp_path / "a.png", "--set", "method.normalize=imagenet"]
    typed += [
        "--support-image",
        tmp_path / "a.png",
        "--support-mask",
        tmp_path / "a_mask.png",
        "--out",
        tmp_path / "out",
    ]
    monkeypatch.setattr(sys, "argv", ["delineate", "fewshot", *map(str, typed)])
    monkeypatch.setattr(EncoderMethodOptions, "remarks", lambda _: ["these contradict"])
    monkeypatch.setattr(PrototypicalMethod, "load_pretrained", lambda _: {})
    monkeypatch.setattr(EncoderMethodOptions, "check_available", lambda _: None)
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 0
    assert "warning: these contradict\n" in capsys.readouterr().err


def test_weights_of_rgb_images_that_are_shown_bgr_are_a_warning(weights: Path, tmp_path: Path) -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    image[8:24, 8:24] = (9, 200, 90)
    for name in ("a.png", "a_mask.png"):
        cv2.imwrite(str(tmp_path / name), image[..., 1] if "mask" in name else image)
    settings = [*SMALL, f"method.encoder.pretrained={weights}", "input.channels=bgr"]
    given = {
        "support_images": [tmp_path / "a.png"],
        "support_masks": [tmp_path / "a_mask.png"],
        "out": tmp_path / "out",
    }
    with pytest.warns(
        UserWarning, match="input.channels=bgr: pretrained weights and method.normalize are of images in RGB"
    ):
        fewshot_predict("panet@tiny:untrained", [tmp_path / "a.png"], settings=settings, **given)


def test_methods_of_all_kinds_are_named(score: Score, few: str) -> None:
    assert score("few@paper:untrained").origin.method == "few@paper, untrained (all weights random)"
    assert score("few:untrained", "input.size=24").origin.method == (
        "few@paper, untrained (all weights random; input.size=24)"
    )
    small = (*SMALL[2:], "method.encoder.name=resnet10t")
    named = score("ipsl@tiny:untrained", *small).origin.method
    assert named == "ipsl@tiny, untrained (resnet10t; all weights random; input.size=32)"


def test_the_weights_origin_goes_with_the_model_and_it_stays_untrained_as_a_file(
    score: Score, weights: Path, tmp_path: Path
) -> None:
    census = Support.of([np.zeros((40, 40), np.uint8)], [np.ones((40, 40), bool)]).census
    settings = (*SMALL, f"method.encoder.pretrained={weights}")
    artefact = Untrained.of("panet@tiny:untrained", settings).build(census, seed=3)
    origin = artefact.provenance["pretrained"]["features.encoder"]
    group = ("method.levels=2", f"method={{encoder: {{name: resnet10t, pretrained: {weights}}}}}", "input={size: 32}")
    assert Untrained.of("panet@tiny:untrained", group).build(census).title == (
        "panet@tiny, untrained (resnet10t, weights of mine.pt; features.reduce random; method.levels=2; input.size=32)"
    )
    assert (origin["name"], origin["source"], artefact.provenance["seed"]) == ("mine.pt", "file", 3)
    save(tmp_path / "model.safetensors", artefact)
    assert str(weights.parent).encode() not in (tmp_path / "model.safetensors").read_bytes()
    kept, named = score(str(tmp_path / "model.safetensors")), score("panet@tiny:untrained", *settings, seed=3)
    assert (kept.origin.method, dice(kept)) == (named.origin.method, dice(named))
    assert (
        json.loads((score.out / "scores.json").read_text())["fewshot"]["training"] == "not trained: no class was seen"
    )


@pytest.mark.parametrize("channels", ["gray", "rgb"])
def test_prediction_by_name_is_the_methods(tmp_path: Path, weights: Path, channels: str) -> None:
    """The support alone settles the input; what is written says what made it."""
    image = np.random.default_rng(0).integers(0, 256, (48, 40) if channels == "gray" else (48, 40, 3), dtype=np.uint8)
    mask = np.zeros((48, 40), np.uint8)
    mask[10:30, 10:30] = 255
    for name, pixels in (("a.png", image), ("query.png", image[::-1]), ("a_mask.png", mask)):
        assert cv2.imwrite(str(tmp_path / name), pixels[..., ::-1] if pixels.ndim == 3 else pixels)
    settings = (*SMALL, f"method.encoder.pretrained={weights}", "method.width=null")
    shown = {"support_images": [tmp_path / "a.png"], "support_masks": [tmp_path / "a_mask.png"]}
    out = tmp_path / "out"
    fewshot_predict("panet@tiny:untrained", [tmp_path / "query.png"], **shown, settings=settings, out=out, device="cpu")
    options = {"encoder": {"name": "resnet10t", "pretrained": str(weights)}, "levels": 2, "width": None}
    method = registry.create("panet", classes=1, in_channels=1 if channels == "gray" else 3, **options)
    spec = InputSpec(channels=channels, size=(32, 32))
    by_hand = FewShotPredictor(Artefact(method.eval(), spec, ClassTable()), "cpu")
    expected = by_hand.segment_like(tmp_path / "a.png", tmp_path / "a_mask.png", tmp_path / "query.png")
    assert np.array_equal(cv2.imread(str(out / "query.png"), cv2.IMREAD_UNCHANGED) > 0, expected > 0)
    assert PredictionList.find(out).method.startswith("panet@tiny, untrained (resnet10t, weights of mine.pt;")


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("unet@tiny:untrained", ["input.size=32"], "'unet' does not segment by examples"),
        ("panet@tiny:untrained", ["method.widht=8"], "did you mean 'width'"),
        ("panet@tiny:untrained", ["engine.steps=8"], "only its sections method and input count"),
        ("model.safetensors", ["method.width=8"], "--set is for METHOD@PRESET:untrained"),
    ],
)
def test_prediction_refuses_what_evaluation_refuses(tmp_path: Path, name: str, settings: list[str], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        fewshot_predict(name, ["a.png"], settings=settings, out=tmp_path / "out", device="cpu")


@pytest.mark.parametrize(
    ("name", "setting", "words"),
    [
        ("unet@tiny:untrained", "input.size=32", "'unet' does not segment by examples"),
        ("alpnet@tniy:untrained", "method.levels=2", "no preset 'tniy': did you mean 'tiny'"),
        ("alpnot@tiny:untrained", "method.levels=2", "unknown method 'alpnot': did you mean 'alpnet'"),
        ("alpnet@tiny:untrained", "method.widht=8", "did you mean 'width'"),
        ("alpnet@tiny:untrained", "inputs.size=8", "did you mean 'input'"),
        ("alpnet@tiny:untrained", "method.width", "expected section.key=value"),
        ("alpnet@tiny:untrained", "engine.lr=1", "is not trained, so that only its sections method and input count"),
        ("alpnet@tiny:untrained", "method.width=wide", "width"),
        ("alpnet@tiny:untrained", "method.encoder.pretrained=no/such.pt", "no/such.pt does not exist"),
        ("alpnet@tiny:untrained", "input.fit=patch", "patches"),
        ("alpnet@tiny:untrained", "input.size=8", "input.size: alpnet needs at least"),
        (
            "copy-support-mask",
            "method.width=8",
            "copy-support-mask has no settings to change; --set is for METHOD@",
        ),
        ("MODEL", "method.width=8", "has no settings to change; --set is for METHOD@PRESET:untrained"),
        ("no-such-run", "method.width=8", "there is no model 'no-such-run'"),
    ],
)
def test_wrong_settings_are_one_line(
    slice_folder: Path,
    episodes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    setting: str,
    words: str,
) -> None:
    (tmp_path / "run").mkdir()
    name = str(tmp_path / "run") if name == "MODEL" else name
    typed = ["evaluate", name, slice_folder, "--episodes", episodes, "--out", tmp_path / "out", "--set", setting]
    monkeypatch.setattr(sys, "argv", ["delineate", "fewshot", *map(str, typed)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    said = capsys.readouterr().err
    assert (stop.value.code, said.count("\n")) == (2, 1), said
    assert words in said
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_is_refused_before_data_are_read(
    slice_folder: Path, episodes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from delineate.fewshot.episode_file import EpisodeFile

    monkeypatch.setattr(EpisodeFile, "open", lambda *_: pytest.fail("data were read"))
    run = {"episodes": episodes, "out": tmp_path / "out"}
    with pytest.raises(RecipeError, match="did you mean 'width'"):
        fewshot_evaluate("alpnet@tiny:untrained", slice_folder, settings=["method.widht=8"], **run)
    with pytest.raises(DelineateError, match="'efficientnet_lite0', which takes the same tensors but pads otherwise"):
        fewshot_evaluate(
            "alpnet@small:untrained", slice_folder, settings=["method.encoder.name=efficientnet_lite0"], **run
        )
    with pytest.raises(DataError, match="there is no model 'copy-suport-mask'"):
        fewshot_evaluate("copy-suport-mask", slice_folder, **run)
