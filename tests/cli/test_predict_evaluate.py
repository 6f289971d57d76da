"""`predict`, `evaluate` and `import` as they are typed: exit codes, one-line errors, and what they do not load."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from delineate import cli
from delineate.artefact.format import Artefact, save
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.inference.predictor import load
from micro_method import Micro, MicroOptions, brightness

pytestmark = pytest.mark.usefixtures("micro")
Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Run a command line; exit code, stdout, stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["delineate", *map(str, words)])
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0
        else:
            code = 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    save(tmp_path / "run" / "model.safetensors", Artefact(brightness(), InputSpec(size=(32, 32)), ClassTable()))
    return tmp_path / "run"


def images(folder: Path, count: int = 3) -> Path:
    """Images with masks: right half bright."""
    for index in range(count):
        pixels = np.zeros((20, 30 + index), np.uint8)
        pixels[:, 15:] = 255
        for name in ("images", "masks"):
            (folder / name).mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(folder / name / f"{index}.png"), pixels)
    return folder


def test_predict_then_evaluate(tmp_path: Path, model: Path, typed: Typed):
    data = images(tmp_path / "data")
    code, out, err = typed("predict", model, data / "images", "--out", tmp_path / "p", "--overlay", "--probabilities")
    assert (code, err) == (0, "")
    assert "3 masks in" in out
    assert "foreground %" in out
    code, out, err = typed("evaluate", tmp_path / "p", data / "masks", "--out", tmp_path / "scores")
    assert (code, err) == (0, "")
    assert "3 images, protocol native" in out
    assert "3 found, 0 missed" in out
    assert (tmp_path / "scores" / "scores.csv").is_file()
    code, out, err = typed("evaluate", tmp_path / "p", data, "--out", tmp_path / "scores", "--split", "all")
    assert (code, out) == (2, "")
    assert "holds an evaluation already (scores.json); give another --out, or --overwrite" in err
    again = ("--out", tmp_path / "scores", "--split", "all", "--overwrite")
    code, out, err = typed("evaluate", tmp_path / "p", data, *again)
    assert code == 0


def test_a_bad_image_gives_exit_code_1(tmp_path: Path, model: Path, typed: Typed):
    data = images(tmp_path / "data")
    (data / "images" / "bad.png").write_text("not an image")
    cv2.imwrite(str(data / "images" / "deep.png"), np.full((9, 9), 60000, np.uint16))
    code, out, err = typed("predict", model, data / "images", "--out", tmp_path / "p")
    assert code == 1
    assert "4 masks in" in out
    lines = err.splitlines()
    assert lines[0].startswith("note: 16-bit gray image given to a model trained on 8-bit RGB images")
    assert lines[0].endswith("(1 of 4 images)")
    assert lines[1].startswith("failed: ")
    assert "bad.png" in lines[1]
    assert lines[2] == "1 of 5 images has no mask"


def test_errors_are_one_line_and_write_nothing(tmp_path: Path, model: Path, typed: Typed):
    data = images(tmp_path / "data")
    (tmp_path / "x.pth").write_bytes(b"PK\x03\x04")
    out = ("--out", tmp_path / "out")
    commands = {
        "does not exist": ("predict", tmp_path / "none", data / "images", *out),
        "pickled": ("predict", tmp_path / "x.pth", data / "images", *out),
        "absent does not exist": ("predict", model, tmp_path / "absent", *out),
        "no masks": ("evaluate", data, data / "masks", *out),
        "without a prediction": ("evaluate", data / "masks", images(tmp_path / "more", 4), *out),
        "unknown method 'mikro'": ("import", "mikro", tmp_path / "x.pth", *out),
        "checkpoint": ("import", "micro", tmp_path / "x.pth", *out),
    }
    if not torch.cuda.is_available():
        commands["cuda is not available"] = ("predict", model, data / "images", *out, "--device", "cuda")
    for words, command in commands.items():
        code, _, err = typed(*command)
        assert code == 2, command
        assert err.startswith("error: ")
        assert len(err.splitlines()) == 1
        assert words in err
        assert not (tmp_path / "out").exists(), command


def test_import(tmp_path: Path, typed: Typed):
    torch.save(Micro(MicroOptions(), classes=1, in_channels=3).state_dict(), tmp_path / "theirs.pth")
    code, out, _ = typed("import", "micro", tmp_path / "theirs.pth", "--out", tmp_path / "ours.safetensors")
    assert code == 0
    assert out.startswith("a micro checkpoint: ")
    assert load(tmp_path / "ours.safetensors").spec.channels == "bgr"


def loaded_after(words: list[str]) -> set[str]:
    """Top-level packages that a fresh interpreter has loaded after this command line (with the micro method) succeeded."""
    script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
sys.argv = ['delineate', *{words}]
if sys.argv[1] == 'predict':
    from delineate.methods import registry
    registry.BUILT_IN['micro'] = 'micro_method:Micro'
from delineate.cli import main
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
print('LOADED', *sorted({{name.split('.')[0] for name in sys.modules}}))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(result.stdout.splitlines()[-1].split()[1:])


def test_what_predict_and_evaluate_do_not_load(tmp_path: Path, model: Path):
    data = images(tmp_path / "data")
    predict = ["predict", str(model), str(data / "images"), "--out", str(tmp_path / "p"), "--overlay"]
    assert loaded_after(predict) & {"lightning", "torchvision"} == set()
    evaluate = ["evaluate", str(tmp_path / "p"), str(data / "masks"), "--out", str(tmp_path / "s")]
    assert loaded_after(evaluate) & {"torch", "lightning", "torchvision", "timm"} == set()
