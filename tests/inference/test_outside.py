"""What `predict` says of images beside the model's training images: cases, lists, the series; and what it says nothing of."""

from __future__ import annotations

import csv
import json
import struct
from pathlib import Path
from typing import Any

import cv2
import nibabel
import numpy as np
import pytest
import torch

import delineate
from delineate.artefact.format import Artefact, save
from delineate.artefact.header import read_header
from delineate.artefact.training_images import ENTRY, TrainingImages
from delineate.cli import main
from delineate.common.errors import ArtefactError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import Case, ClassTable
from delineate.data.core.samples import Sample
from delineate.engine.training_images import Shown, summarize
from delineate.inference.encoder_features import EncoderFeatures
from delineate.inference.outside import CaseDrift
from delineate.inference.series_drift import compare_series
from delineate.methods.testing.examples import randomize_norms, tiny
from micro_method import brightness

pytestmark = pytest.mark.usefixtures("micro")
SPEC = InputSpec(channels="gray", size=(32, 32))


def pixels(seed: int, low: float = 0.2, high: float = 0.6) -> np.ndarray:
    rng = np.random.default_rng(seed)
    level, noise = rng.uniform(low, high), rng.uniform(0.02, 0.06)
    return (255 * np.clip(level + rng.normal(0, noise, (32, 32, 1)), 0, 1)).astype(np.uint8)


def summary(spec: InputSpec = SPEC, number: int = 120, held_out: int = 60, encoder: Any = None) -> TrainingImages:
    def shown(first: int, number: int) -> Shown:
        samples = [Sample(Case(id=f"c{at}", images=("a.png",)), size=(32, 32)) for at in range(number)]
        return Shown(samples, lambda at: pixels(first + at).repeat(spec.in_channels, 2))

    found = summarize(shown(0, number), shown(1000, held_out), spec, encoder)
    assert found is not None
    return found


def model_of(path: Path, provenance: dict[str, Any], spec: InputSpec = SPEC) -> Path:
    save(path, Artefact(brightness(in_channels=1), spec, ClassTable(), provenance=provenance))
    return path


@pytest.fixture(scope="module")
def known() -> TrainingImages:
    return summary()


@pytest.fixture
def summarized(known: TrainingImages, tmp_path: Path) -> Path:
    return model_of(tmp_path / "known.safetensors", {ENTRY: known.model_dump(mode="json")})


def series(folder: Path, first: int, number: int, **levels: float) -> Path:
    folder.mkdir()
    for at in range(number):
        cv2.imwrite(str(folder / f"{at:02d}.png"), pixels(first + at, **levels))
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "summary.csv").read_text(encoding="utf-8").splitlines()))


def test_cases_outside_are_told_and_listed(
    summarized: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images = series(tmp_path / "in", 3000, 6)
    cv2.imwrite(str(images / "02.png"), pixels(1, 0.03, 0.04))
    out = tmp_path / "out"
    arguments = ["predict", str(summarized), str(images), "--out", str(out), "--review", str(tmp_path / "r.csv")]
    monkeypatch.setattr("sys.argv", ["delineate", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    told = capsys.readouterr().err
    assert "outside training: 02: darker than the training images: mean brightness 0.0" in told
    assert told.count("outside training:") == 1
    assert (
        "note: outside of the training images: 1 of 6 images; of images like the 60 held-out cases at most 5 % are"
        in told
    )
    found = {row["mask"]: row for row in rows(out)}
    assert found["02.png"]["outside_training"].startswith("darker than")
    assert float(found["02.png"]["training_distance"]) > 1 > float(found["03.png"]["training_distance"])
    assert found["03.png"]["outside_training"] == "no"
    reasons = {row["mask"]: row["reason"] for row in csv.DictReader((tmp_path / "r.csv").read_text().splitlines())}
    assert "; outside training: darker than the training images" in reasons["02.png"]
    assert "outside" not in reasons["03.png"]


def test_masks_are_the_same_with_and_without(summarized: Path, tmp_path: Path) -> None:
    images = series(tmp_path / "in", 3000, 3)
    plain = model_of(tmp_path / "plain.safetensors", {})
    for name, model, asked in (("a", summarized, "auto"), ("b", summarized, "off"), ("c", plain, "auto")):
        result = delineate.predict(model, [images], out=tmp_path / name, device="cpu", drift=asked)
        assert not result.notes
        assert bool(result.compared) == (name == "a")
        assert ("outside_training" in rows(tmp_path / name)[0]) == (name == "a")
    for mask in ("00.png", "01.png", "02.png"):
        assert len({(tmp_path / name / mask).read_bytes() for name in "abc"}) == 1


def test_who_asks_is_told_why_nothing_is_compared(tmp_path: Path) -> None:
    images = series(tmp_path / "in", 3000, 2)
    few = summary(held_out=5).model_dump(mode="json")
    for name, provenance, said in (
        ("old", {}, "the model has no summary of its training images, so nothing is compared"),
        ("few", {ENTRY: few}, r"no threshold \(5 held-out cases, 20 are needed\)"),
    ):
        model = model_of(tmp_path / f"{name}.safetensors", provenance)
        assert not delineate.predict(model, [images], out=tmp_path / f"{name}_auto", device="cpu").notes
        result = delineate.predict(model, [images], out=tmp_path / name, device="cpu", drift="on")
        assert len(result.notes) == 1
        with pytest.raises(AssertionError, match=said):
            raise AssertionError(result.notes[0])


def test_another_size_lies_outside(summarized: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    cv2.imwrite(str(folder / "large.png"), pixels(3000).repeat(4, 0).repeat(4, 1))
    result = delineate.predict(summarized, [folder], out=tmp_path / "out", device="cpu")
    assert result.files[0].drift is not None
    assert "of another size: 128 × 128 pixels, training 32 × 32" in str(result.files[0].drift.reason)


def test_a_series_is_told_apart_though_no_image_is(summarized: Path, tmp_path: Path) -> None:
    darker = series(tmp_path / "darker", 3000, 20, low=0.2, high=0.3)
    result = delineate.predict(summarized, [darker], out=tmp_path / "out", device="cpu")
    assert result.series is not None
    assert result.series.reason is not None
    assert result.series.outside <= 3
    assert any(
        "the 20 images, taken together, differ from the training images: darker" in note for note in result.notes
    )
    usual = series(tmp_path / "usual", 5000, 20)
    result = delineate.predict(summarized, [usual], out=tmp_path / "on", device="cpu", drift="on")
    assert result.series is not None
    assert result.series.reason is None
    assert "lie among the training images" in result.notes[-1]


def test_the_series_test_keeps_its_rate(known: TrainingImages) -> None:
    from delineate.inference.measuring import measured, vector_of
    from delineate.inference.outside import compare

    drawn = []
    for seed in range(6000, 6200):
        vector = vector_of(measured([SPEC.to_unit(pixels(seed))], SPEC), known.names)
        assert vector is not None
        found = compare(known, [vector], (32, 32))
        assert found is not None
        drawn.append(found)
    rng = np.random.default_rng(0)
    told = [compare_series(known, [drawn[at] for at in rng.choice(200, 8, replace=False)]) for _ in range(300)]
    assert np.mean([one is not None and one.reason is not None for one in told]) <= 0.08
    assert compare_series(known, drawn[:4]) is None
    moved = [CaseDrift(one.distance, None, one.statistics + 0.1) for one in drawn[:8]]
    assert compare_series(known, moved).reason is not None  # type: ignore[union-attr]
    assert compare_series(known, moved, pictures=False).reason is None  # type: ignore[union-attr]


def test_a_volume_is_compared_by_its_slices(tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"axis": 2, "source_bits": 8})
    model = model_of(tmp_path / "v.safetensors", {ENTRY: summary(spec).model_dump(mode="json")}, spec)
    for name, level in (("usual", 0.4), ("dark", 0.02)):
        rng = np.random.default_rng(0)
        voxels = (255 * np.clip(level + rng.normal(0, 0.04, (32, 32, 6)), 0, 1)).astype(np.uint8)
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / f"{name}.nii.gz")
    result = delineate.predict(model, [tmp_path / "usual.nii.gz"], out=tmp_path / "out", device="cpu")
    assert result.files[0].drift is not None
    assert result.files[0].drift.statistics.shape == (len(summary(spec).names),)


def test_an_ensemble_is_compared_by_its_first_member(summarized: Path, tmp_path: Path) -> None:
    images = series(tmp_path / "in", 3000, 2)
    plain = model_of(tmp_path / "plain.safetensors", {})
    first = delineate.predict(summarized, [images], out=tmp_path / "a", device="cpu", ensemble=[plain])
    second = delineate.predict(plain, [images], out=tmp_path / "b", device="cpu", ensemble=[summarized])
    assert (len(first.compared), len(second.compared)) == (2, 0)


def test_a_summary_of_unknown_statistics_is_left_out(known: TrainingImages, tmp_path: Path) -> None:
    names = ("tint", *known.names[1:])
    content = known.model_dump(mode="json") | {"names": names, "added_later": 1}
    model = model_of(tmp_path / "later.safetensors", {ENTRY: content})
    images = series(tmp_path / "in", 3000, 2)
    assert not delineate.predict(model, [images], out=tmp_path / "out", device="cpu").compared


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("threshold", -1.0, "training_images: threshold"),
        ("threshold", None, "a threshold goes with 20 held-out cases or more"),
        ("names", ["brightness"], "differ in number"),
        ("height", [0, 5], "is no range of positive numbers"),
        ("quantiles", [[3.0] * 3], "training_images"),
        ("statistics", {"center": [1.0], "whitening": [[1.0, 2.0]], "held_out": []}, "not as long as its center"),
        ("images", "many", "training_images: images"),
    ],
)
def test_a_damaged_summary_is_refused(key: str, value: Any, said: str, summarized: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    raw = summarized.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    content = json.loads(header["__metadata__"]["delineate"])
    content["provenance"][ENTRY][key] = value
    header["__metadata__"]["delineate"] = json.dumps(content)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + length :])
    with pytest.raises(ArtefactError, match=rf"has a damaged Delineate header: .*{said}"):
        read_header(path)


def test_the_encoder_is_asked_where_it_is_known(tmp_path: Path, known: TrainingImages) -> None:
    images = series(tmp_path / "in", 3000, 2)
    model = model_of(tmp_path / "plain.safetensors", {ENTRY: known.model_dump(mode="json")})
    result = delineate.predict(model, [images], out=tmp_path / "out", device="cpu", drift="encoder")
    assert len(result.compared) == 2
    assert result.notes == (
        "the encoder's features are not known of this model or its training images: compared without them",
    )
    for fit in ("letterbox", "patch"):
        spec = InputSpec(channels="rgb", size=(32, 32), fit=fit)
        method = randomize_norms(tiny("unet")).eval()
        encoder = EncoderFeatures.of(method, torch.device("cpu"))
        assert encoder is not None
        provenance = {ENTRY: summary(spec, 20, 20, encoder).model_dump(mode="json")}
        save(tmp_path / f"{fit}.safetensors", Artefact(method, spec, ClassTable(), provenance=provenance))
        asked: dict[str, Any] = {"out": tmp_path / fit, "device": "cpu", "drift": "encoder"}
        result = delineate.predict(tmp_path / f"{fit}.safetensors", [images], **asked)
        assert [file.drift is not None and file.drift.encoder for file in result.files] == [True, True]


def test_a_method_without_an_encoder_to_ask_has_no_features() -> None:
    assert EncoderFeatures.of(brightness(in_channels=1), torch.device("cpu")) is None
