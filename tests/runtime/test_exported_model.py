"""Exported models as they are used: in Python, and by the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from handmade import write_exported
from PIL import Image

import delineate
from calibration_record import record
from delineate.artefact.postprocessing import Postprocessing, StructureRule
from delineate.common.errors import ArtefactError, DataError, DelineateError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import Case
from delineate.data.core.samples import Sample
from delineate.engine.training_images import Shown, summarize
from delineate.runtime import load, predict
from delineate.runtime.cli import run

nibabel = pytest.importorskip("nibabel", reason="nibabel is in the extra `medical`")


@pytest.fixture(scope="module")
def mean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of colored pictures: where they are bright is foreground."""
    return write_exported(tmp_path_factory.mktemp("mean") / "mean.onnx")


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A gray picture with a bright square of 16 pixels and one of 4."""
    pixels = np.full((30, 40), 10, np.uint8)
    pixels[2:6, 2:6] = pixels[20:22, 20:22] = 200
    Image.fromarray(pixels).save(tmp_path / "two.png")
    return tmp_path / "two.png"


def of_slices(path: Path, **header: Any) -> Path:
    facts = {"channels": ("value",), "source": "slices"}
    return write_exported(path, facts=facts, input=InputSpec(size=(64, 64), channels="gray", axis=2), **header)


def test_images_outside_of_training_are_told(tmp_path: Path, two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    training = Shown(
        [Sample(Case(id=f"c{at}", images=("a.png",)), size=(30, 40)) for at in range(40)],
        lambda at: np.random.default_rng(at).integers(90, 160, (64, 64, 3), np.uint8),
    )
    seen = summarize(training, training, InputSpec(size=(64, 64)))
    assert seen is not None
    model = write_exported(tmp_path / "m.onnx", provenance={"training_images": seen.model_dump(mode="json")})
    assert run(["predict", str(model), str(two), "--out", str(tmp_path / "out"), "--threads", "1"]) == 0
    assert (
        "outside training: two: less noisy than the training images: noise 0, training 0.0" in capsys.readouterr().err
    )
    arguments = ["predict", str(model), str(two), "--out", str(tmp_path / "json"), "--json", "--drift", "off"]
    assert run(arguments) == 0
    assert json.loads(capsys.readouterr().out)["files"][0]["outside_training"] is None


def test_what_is_given_comes_as_the_file_takes_it(mean: Path, two: Path, tmp_path: Path) -> None:
    model = load(mean, threads=1)
    assert model.predict(two).sum() == 20
    pixels = np.asarray(Image.open(two))
    assert model.probabilities(pixels)[2, 2, 0] == pytest.approx(200 / 255)
    with_alpha = np.dstack([pixels] * 3 + [np.full_like(pixels, 7)])
    np.testing.assert_array_equal(model.probabilities(with_alpha), model.probabilities(pixels))
    deep = load(
        write_exported(
            tmp_path / "deep.onnx", facts={"numbers": "uint16"}, input=InputSpec(size=(64, 64), source_bits=16)
        )
    )
    with pytest.warns(UserWarning, match="8-bit gray image given to a model trained on 16-bit RGB images"):
        np.testing.assert_allclose(deep.probabilities(pixels), model.probabilities(pixels), atol=1e-6)
    with (
        pytest.warns(UserWarning, match="16-bit"),
        pytest.raises(DataError, match="takes images of uint8, not of uint16"),
    ):
        model.predict(pixels.astype(np.uint16))


def test_a_threshold_of_ones_own(mean: Path, two: Path, tmp_path: Path) -> None:
    assert load(mean, threshold=0.9).predict(two).sum() == 0
    assert load(mean, threshold=0).predict(two).all()
    with pytest.raises(DelineateError, match="--threshold 2: probabilities lie between 0 and 1"):
        load(mean, threshold=2)
    competing = write_exported(tmp_path / "competing.onnx", facts={"threshold": None})
    with pytest.raises(DelineateError, match="its classes compete, and the most probable one wins"):
        load(competing, threshold=0.5)


def test_masks_are_post_processed(two: Path, tmp_path: Path) -> None:
    rules = (StructureRule(name="polyp", largest=True),)
    chosen = Postprocessing(threshold=0.7, rules=rules, dimensions=2, unit="px")
    path = write_exported(tmp_path / "chosen.onnx", facts={"threshold": 0.7}, postprocessing=chosen)
    assert load(path).predict(two).sum() == 16
    plain = load(path, postprocess=False)
    assert plain.threshold == 0.5
    assert plain.predict(two).sum() == 20
    assert run(["predict", str(path), str(two), "--out", str(tmp_path / "masks")]) == 0
    assert (np.asarray(Image.open(tmp_path / "masks" / "two.png")) == 255).sum() == 16


def test_what_was_done_as_json(mean: Path, two: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    Image.fromarray(np.zeros((5, 6), np.uint16)).save(tmp_path / "deep.png")
    images = [str(two), str(tmp_path / "broken.png"), str(tmp_path / "deep.png")]
    assert run(["predict", str(mean), *images, "--out", str(tmp_path / "masks"), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    good, broken, deep = told["files"]
    assert good["mask"] == str(tmp_path / "masks" / "two.png")
    assert good["size"] == [40, 30]
    assert good["percent"] == {"polyp": pytest.approx(100 * 20 / 1200)}
    assert broken["mask"] is None
    assert "broken.png" in broken["error"]
    assert "deep.png" in deep["error"]
    assert "not of uint16" in deep["error"]
    with pytest.raises(DelineateError, match="exists already; give another --out, or --overwrite"):
        run(["predict", str(mean), images[0], "--out", str(tmp_path / "masks")])


def test_volumes_are_segmented_slice_by_slice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = np.random.default_rng(0).normal(100, 30, (12, 10, 5)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([2, 2, 4, 1])), tmp_path / "case.nii.gz")
    path = of_slices(tmp_path / "slices.onnx")
    assert run(["predict", str(path), str(tmp_path / "case.nii.gz"), "--out", str(tmp_path / "masks"), "--json"]) == 0
    low, high = np.percentile(values, (0.5, 99.5))
    expected = np.rint(np.clip(255 * (values - low) / (high - low), 0, 255)) >= 128
    mask = nibabel.load(tmp_path / "masks" / "case.nii.gz")
    np.testing.assert_array_equal(np.asarray(mask.dataobj) == 1, expected)
    np.testing.assert_array_equal(mask.affine, np.diag([2, 2, 4, 1]))
    (file,) = json.loads(capsys.readouterr().out)["files"]
    assert file["milliliters"] == {"polyp": pytest.approx(expected.sum() * 16 / 1000)}


def test_a_model_is_given_what_it_was_trained_on(mean: Path, two: Path, tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6), np.uint8), np.eye(4)), tmp_path / "case.nii.gz")
    named = write_exported(
        tmp_path / "named.onnx",
        facts={"channels": ("t1", "flair")},
        input=InputSpec(size=(64, 64), channels=("t1", "flair")),
    )
    for model, image, line in (
        (mean, tmp_path / "case.nii.gz", "is a volume, and the model was trained on pictures"),
        (named, two, "takes? .*t1, flair"),
    ):
        for segment in (run, delineate_predict):
            with pytest.raises(DelineateError, match=line):
                segment(["predict", str(model), str(image), "--out", str(tmp_path / "masks")])
    assert not (tmp_path / "masks").exists()


def delineate_predict(arguments: list[str]) -> None:
    delineate.predict(arguments[1], [arguments[2]], out=arguments[4])


def test_an_exported_file_is_what_it_is(mean: Path, tmp_path: Path) -> None:
    for asked, line in (
        ({"device": "cuda"}, "is run by onnxruntime on the CPU, not on cuda"),
        ({"precision": "bf16"}, "has the precision that it was exported with"),
        ({"tta": "flips"}, "--tta is for models that are no exported files"),
        ({"ensemble": [mean]}, "--ensemble is for models that are no exported files"),
    ):
        with pytest.raises(DelineateError, match=line):
            delineate.predict(mean, [tmp_path], out=tmp_path / "masks", **asked)
        with pytest.raises(DelineateError, match=line):
            delineate.load(mean, **asked)
    assert type(delineate.load(mean)) is type(load(mean))


def test_a_calibrated_file_tells_the_dice_that_it_expects(mean: Path, two: Path, tmp_path: Path) -> None:
    line = {"intercept": 0.4, "weights": (0.0, 0.0, -0.1), "low": (-9,) * 3, "high": (9,) * 3}
    missing = {"intercept": 0.5, "weights": (0.0,), "low": (0,), "high": (0,)}
    error = {"value": 0.1, "low": 0.05, "high": 0.2}
    expected = {"found": {"polyp": line}, "missing": {"polyp": missing}}
    found = record(1.5, expected_dice={**expected, "error": error, "baseline": error, "gain": error})
    file = write_exported(tmp_path / "model.onnx", format=5, calibration=found)
    asked = {"uncertainty": True, "review": tmp_path / "review.csv", "calibrated": True, "overwrite": True}
    result = predict(file, [two], out=tmp_path / "masks", **asked)
    (case,) = result.files
    assert case.doubt is not None
    assert case.doubt.expected_dice == pytest.approx(0.4 - 0.1 * np.log(20 / 1200))
    assert "0.1000" in (tmp_path / "review.csv").read_text()
    for options in ({"threshold": 0.3}, {"threshold": 0.5}):
        (other,) = predict(file, [two], out=tmp_path / "masks", **asked, **options).files
        assert other.doubt is not None
        assert (other.doubt.expected_dice is None) == (options["threshold"] != 0.5)
    for refused in (predict, delineate.predict):
        with pytest.raises(ArtefactError, match=r"mean.onnx is not calibrated.*export it again"):
            refused(mean, [two], out=tmp_path / "refused", calibrated=True)


def test_what_a_model_is(mean: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", str(mean), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == delineate.info(mean).to_json()
    assert run(["info", str(mean)]) == 0
    assert "polyp" in capsys.readouterr().out


def test_a_reader_that_has_seen_enough_ends_info_quietly(tmp_path: Path) -> None:
    write_exported(tmp_path / "model.onnx")
    reading, writing = os.pipe()
    os.close(reading)
    main = "import sys; from delineate.runtime.cli import main; sys.argv[1:] = ['info', 'model.onnx']; main()"
    done = subprocess.run(
        [sys.executable, "-c", main], stdout=writing, stderr=subprocess.PIPE, cwd=tmp_path, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


def test_files_that_cannot_be_run(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    (tmp_path / "empty.onnx").write_bytes(b"")
    for path, line in (
        (tmp_path / "none.onnx", "does not exist"),
        (tmp_path, "does not exist"),
        (tmp_path / "text.onnx", "truncated or not an ONNX file"),
        (tmp_path / "empty.onnx", "without Delineate's metadata"),
        (write_exported(tmp_path / "network.onnx", facts={"graph": "network"}), "holds the network alone"),
        (write_exported(tmp_path / "half.onnx", facts={"graph": "condition"}), "give its state to the forward file"),
        (write_exported(tmp_path / "other.onnx", facts={"graph": "forward"}), "give it the condition file's state"),
        (
            write_exported(tmp_path / "newer.onnx", facts={"format": 2}),
            "has export format 2, this version reads up to 1; update",
        ),
        (
            write_exported(tmp_path / "opset.onnx", opset=99),
            r"is written for opset 99 of ONNX, .* pip install --upgrade onnxruntime$",
        ),
    ):
        with pytest.raises(ArtefactError, match=line) as error:
            load(path)
        assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "required: COMMAND"),
        (["predict", "model.onnx"], "required: INPUT, --out"),
        (["predict", "m.onnx", "a.png", "--out", "o", "--threads", "0"], "argument --threads: 0 is not at least 1"),
        (
            ["predict", "m.onnx", "a.png", "--out", "o", "--threshold", "high"],
            "argument --threshold: invalid number value: 'high'",
        ),
        (["predict", "m.onnx", "a.png", "--out", "o", "--format", "bmp"], "invalid choice: 'bmp'"),
    ],
)
def test_wrong_arguments(arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(arguments)
    assert stopped.value.code == 2
    assert line in capsys.readouterr().err


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], ["predict", "--help"], ["info", "--help"]):
        with pytest.raises(SystemExit):
            run(arguments)
        assert "\n  delineate-runtime " in capsys.readouterr().out
