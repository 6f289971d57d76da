"""From support and query to masks, on a method that knows its answer (`prototype_method`), and as the verbs are typed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from prototype_method import Prototype

import delineate
from delineate import cli
from delineate.artefact.format import Artefact, save
from delineate.common.errors import ArtefactError, DataError, DelineateError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.data.formats.registry import read_mask
from delineate.evaluation.inputs.prediction_list import PredictionList
from delineate.fewshot.predictor import FewShotPredictor
from delineate.inference.predictor import Predictor
from delineate.methods import registry
from delineate.methods.contract import MethodOptions
from micro_method import brightness

Typed = Callable[..., tuple[int, str]]
GRAYS = {0: 20, 1: 120, 2: 220}


@pytest.fixture(autouse=True)
def prototype(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.BUILT_IN, "prototype", "prototype_method:Prototype")
    monkeypatch.setitem(registry.BUILT_IN, "micro", "micro_method:Micro")


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Run a command line; exit code and stderr."""

    def run(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["delineate", *map(str, words)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0
        return code, capsys.readouterr().err

    return run


def model(**spec: object) -> FewShotPredictor:
    details = InputSpec(**{"channels": "gray", "size": (32, 40)} | spec)
    method = Prototype(MethodOptions(), classes=1, in_channels=details.in_channels).eval()
    return FewShotPredictor(Artefact(method, details, ClassTable()), "cpu")


def stored(folder: Path) -> Path:
    save(folder / "model.safetensors", model().artefact)
    return folder / "model.safetensors"


def scene(height: int = 40, width: int = 48, *, classes: int = 1, at: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Dark, with a square of its own gray for each class; class indices."""
    mask = np.zeros((height, width), np.uint8)
    for label in range(1, classes + 1):
        left = 4 + at + (label - 1) * width // 2
        mask[height // 5 : height // 2, left : left + width // 4] = label
    gray = {**GRAYS, 1: 220} if classes == 1 else GRAYS
    return np.vectorize(gray.get)(mask).astype(np.uint8), mask


def write(folder: Path, name: str, image: np.ndarray, mask: np.ndarray) -> Path:
    for part, pixels in (("images", image), ("masks", mask)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(folder / part / f"{name}.png"), pixels)
    return folder


@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
@pytest.mark.parametrize(("height", "width"), [(40, 48), (64, 40), (17, 90)])
def test_a_query_is_segmented_at_its_own_size(fit: str, height: int, width: int) -> None:
    image, mask = scene()
    query, wanted = scene(height, width, at=3)
    found = model(fit=fit).segment_like([image], [mask], query)
    assert found.shape == (height, width)
    assert found.dtype == np.uint8
    agree = 2 * (found & wanted).sum() / (found.sum() + wanted.sum())
    assert agree > (0.99 if (height, width, fit) == (40, 48, "stretch") else 0.7)


def test_several_classes_are_softmax_over_zero_and_their_logits() -> None:
    image, mask = scene(classes=2)
    ready = model(size=(40, 48)).condition([image], [mask])
    query, wanted = scene(classes=2, at=2)
    assert ready.classes.names == ("background", "label 1", "label 2")
    network = ready.artefact.method
    pixels = torch.from_numpy(ready.prepare(query)).permute(2, 0, 1)[None]
    shown = torch.from_numpy(ready.prepare(image)).permute(2, 0, 1)[None, None]
    logits = [
        network(pixels, network.condition(shown, torch.from_numpy(mask == label).long()[None, None]))
        for label in (1, 2)
    ]
    by_hand = torch.cat([torch.zeros_like(logits[0]), *logits], 1).softmax(1)[0].permute(1, 2, 0)
    assert np.allclose(ready.probabilities(query), by_hand.detach().numpy(), atol=1e-6)
    assert (ready.predict(query) == wanted).mean() > 0.99


def test_a_class_is_conditioned_on_the_images_that_show_it() -> None:
    """The second support image holds label 2 alone; label 1 must not be diluted by it, nor a gap in the indices be chosen."""
    first, second = scene(classes=2), scene(classes=2)
    only_two = np.where(second[1] == 2, 2, 0).astype(np.uint8)
    ready = model().condition([first[0], second[0]], [first[1], only_two])
    alone = model().condition([first[0]], [np.where(first[1] == 1, 1, 0).astype(np.uint8)])
    assert torch.equal(ready.network.states[0]["foreground"], alone.network.states[0]["foreground"])
    gap = model().condition([first[0]], [only_two]).predict(first[0])
    assert set(np.unique(gap)) == {0, 2}


def test_many_queries_come_one_by_one_and_equal_single_ones() -> None:
    image, mask = scene()
    queries = [scene(30 + index, 50, at=index)[0] for index in range(7)]
    taken = []

    def source():
        for query in queries:
            taken.append(1)
            yield query

    ready = model().condition(image, mask)
    each = ready.predict_each(source(), batch_size=2)
    first = next(each)
    assert len(taken) == 2
    for found, query in zip([first, *each], queries, strict=True):
        assert np.array_equal(found, ready.predict(query))


def test_masks_may_be_black_and_white_or_boolean(tmp_path: Path) -> None:
    image, mask = scene()
    expected = model().segment_like(image, mask, image)
    write(tmp_path, "a", image, mask * 255)
    files = (tmp_path / "images" / "a.png", tmp_path / "masks" / "a.png")
    for given in (mask.astype(bool), mask * 255, files[1]):
        assert np.array_equal(model().segment_like([files[0]], [given], image), expected)


def test_what_python_is_told(tmp_path: Path) -> None:
    image, mask = scene()
    few = model()
    with pytest.raises(DataError, match="differ in size"):
        few.condition(image, mask[:10])
    with pytest.raises(DataError, match=r"2 images but 1 mask;"):
        few.condition([image, image], [mask])
    with pytest.raises(DataError, match="empty: number 2"):
        few.condition([image, image], [mask, mask * 0])
    with pytest.raises(DataError, match="class indices"):
        few.condition(image, mask.astype(float))
    speck = np.zeros((400, 400), np.uint8)
    speck[1, 1] = 1
    with pytest.raises(DataError, match="shows too little"):
        few.condition(speck, speck)
    with pytest.raises(ArtefactError, match="patches"):
        model(fit="patch")
    with pytest.raises(ArtefactError, match="fewshot predict"):
        Predictor(few.artefact, "cpu")


def test_load_gives_the_kind_of_the_model(tmp_path: Path) -> None:
    assert isinstance(delineate.load(stored(tmp_path / "few")), FewShotPredictor)
    with pytest.raises(DelineateError, match="overlap is for dense models"):
        delineate.load(tmp_path / "few", overlap=0.25)
    save(tmp_path / "dense.safetensors", Artefact(brightness(), InputSpec(size=(32, 32)), ClassTable()))
    assert isinstance(delineate.load(tmp_path / "dense.safetensors"), Predictor)


def test_the_verb_writes_what_predict_writes(tmp_path: Path, typed: Typed) -> None:
    image, mask = scene(classes=2)
    support = write(tmp_path / "support", "shown", image, mask)
    wanted = {}
    for name in ("p", "q"):
        query, wanted[name] = scene(50, 60, classes=2, at=2)
        write(tmp_path / "queries", name, query, wanted[name])
    queries = tmp_path / "queries" / "images"
    code, err = typed(
        *("fewshot", "predict", stored(tmp_path), "--support", support, "--out", tmp_path / "out", "--device", "cpu"),
        *("--query", queries / "p.png", queries / "q.png", "--overlay"),
    )
    assert code == 0, err
    for name, reference in wanted.items():
        found = read_mask(tmp_path / "out" / f"{name}.png")
        assert (found == reference).mean() > 0.95
        assert (tmp_path / "out" / "overlays" / f"{name}.png").exists()
    listed = PredictionList.find(tmp_path / "out")
    assert listed is not None
    assert listed.class_names == ("background", "label 1", "label 2")
    shown = json.loads((tmp_path / "out" / "support.json").read_text())
    assert len(shown["support"]) == 1
    assert len(shown["support"][0]["mask_sha256"]) == 64


def test_wrong_input_is_one_line(tmp_path: Path, typed: Typed) -> None:
    image, mask = scene()
    support = write(tmp_path / "support", "a", image, mask * 255)
    write(tmp_path / "empty", "a", image, mask * 0)
    write(tmp_path / "odd", "a", image, mask[:20] * 255)
    few, query = stored(tmp_path), support / "images" / "a.png"
    save(tmp_path / "dense.safetensors", Artefact(brightness(), InputSpec(size=(32, 32)), ClassTable()))
    out = ("--out", tmp_path / "out")
    pair = ("--support-image", query, "--support-mask", support / "masks" / "a.png")
    wrong = {
        "support mask is empty": (few, "--support", tmp_path / "empty", "--query", query, *out),
        "differ in size": (few, "--support", tmp_path / "odd", "--query", query, *out),
        "2 images but 1 mask": (few, *pair, "--support-image", query, "--query", query, *out),
        "not both": (few, *pair, "--support", support, "--query", query, *out),
        "there is no support": (few, "--query", query, *out),
        "there is no query": (few, *pair, *out),
        "give it with them": (few, *pair, "--masks", "masks", "--query", query, *out),
        "delineate predict": (tmp_path / "dense.safetensors", *pair, "--query", query, *out),
        "use `delineate predict`": (
            tmp_path / "dense.safetensors",
            "--support",
            tmp_path / "empty",
            "--query",
            query,
            *out,
        ),
    }
    for said, words in wrong.items():
        code, err = typed("fewshot", "predict", *words)
        assert (code, err.count("\n")) == (2, 1), err
        assert said in err
    code, err = typed("predict", few, query, *out)
    assert code == 2
    assert "delineate fewshot predict" in err
    assert not (tmp_path / "out").exists()
