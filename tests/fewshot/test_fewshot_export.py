"""A few-shot model as two ONNX files: they do what the model does, say what they take, and are run by numpy as the docs show."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image

import delineate
from delineate.artefact.format import Artefact, save
from delineate.common.errors import DelineateError
from delineate.common.files import sha256
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.fewshot.export import export as module
from delineate.fewshot.export.export import FewShotExportResult
from delineate.inference.export.contract import FACTS, ExportFacts
from delineate.inference.export.preprocess import Preprocess
from delineate.inference.export.resize import labels_into_frame
from delineate.methods import registry
from delineate.methods.testing.examples import randomize_norms, tiny

DOCS = Path(__file__).resolve().parents[2] / "docs" / "exported-files.md"
EPISODIC = [name for name in registry.names() if registry.method_class(name).kind == "episodic"]


def model_of(name: str, folder: Path, **spec: object) -> Path:
    path = folder / "model.safetensors"
    save(path, Artefact(randomize_norms(tiny(name)).eval(), InputSpec(size=(64, 64), **spec), ClassTable()))
    return path


def pictures(folder: Path, number: int = 4) -> Path:
    """Bright ellipses at changing places, of changing sizes, two classes."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for at in range(number):
        height, width = 80 + 9 * at, 100 - 7 * at
        mask = np.zeros((height, width), np.uint8)
        cv2.ellipse(mask, (width // 3, height // 2), (15, 12 + at), 0, 0, 360, 1, -1)
        cv2.ellipse(mask, (2 * width // 3, height // 3 + at), (11, 13), 0, 0, 360, 2, -1)
        noise = np.random.default_rng(at).integers(0, 40, (height, width, 3))
        Image.fromarray((noise + 90 * mask[..., None]).astype(np.uint8)).save(folder / "images" / f"{at}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{at}.png")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> FewShotExportResult:
    folder = tmp_path_factory.mktemp("few")
    result = delineate.export(
        model_of("panet", folder), out=folder / "made.onnx", data=pictures(folder / "data"), cases=4
    )
    assert isinstance(result, FewShotExportResult)
    return result


def test_two_files_do_what_the_model_does_and_say_what_they_take(made: FewShotExportResult) -> None:
    assert [path.name for path in made.files] == ["made.condition.onnx", "made.forward.onnx"]
    assert made.parity.real
    assert made.parity.images.endswith(" episodes of data")
    assert made.parity.network_difference <= 1e-5
    assert made.parity.dice >= 0.9999
    assert made.parity.largest_difference <= 1e-2  # of two classes, which compete in predict, too
    assert len(made.parity.sizes) == 8
    report = json.loads(made.report.read_text())
    for path, graph in zip(made.files, ("condition", "forward"), strict=True):
        metadata = {one.key: one.value for one in onnx.load(path).metadata_props}
        facts = ExportFacts.model_validate_json(metadata[FACTS])
        assert facts.graph == graph
        assert [(one.name, one.type, one.shape) for one in facts.state] == [
            ("state.prototypes", "float32", ("classes", 2, 128))
        ]
        assert report[graph]["sha256"] == sha256(path)
    assert delineate.info(made.condition).method == "panet"
    assert any("a support" in line for line in made.lines)
    with pytest.raises(DelineateError, match=r"made\.condition\.onnx is there already"):
        delineate.export(made.path.parent, out=made.path.parent / "made.onnx")


def test_the_example_of_the_docs_segments_as_predict_does(
    made: FewShotExportResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = re.search(r"```python\n(import numpy as np\n.*?)```", DOCS.read_text(), re.DOTALL)
    assert example is not None
    lines = [line for line in example[1].splitlines() if line.strip()]
    assert len(lines) <= 15
    for path, name in zip(made.files, ("organs.condition.onnx", "organs.forward.onnx"), strict=True):
        (tmp_path / name).write_bytes(path.read_bytes())
    data = made.path.parent / "data"
    for at, name in enumerate(("a", "b", "query")):
        (tmp_path / f"{name}.png").write_bytes((data / "images" / f"{at}.png").read_bytes())
        mask = np.asarray(Image.open(data / "masks" / f"{at}.png"))
        Image.fromarray((mask == 1).astype(np.uint8)).save(tmp_path / f"{name}_mask.png")
    monkeypatch.chdir(tmp_path)
    found: dict[str, np.ndarray] = {}
    exec(compile(example[1], "docs", "exec"), found)
    model = delineate.load(made.path.parent, device="cpu")
    expected = model.segment_like(["a.png", "b.png"], ["a_mask.png", "b_mask.png"], "query.png")
    assert found["mask"].shape == (1, *expected.shape)
    assert (found["mask"][0] != expected).mean() < 1e-3


def test_a_shot_without_the_class_is_as_good_as_absent(made: FewShotExportResult) -> None:
    session = onnxruntime.InferenceSession(made.condition)
    draw = np.random.default_rng(0)
    image = draw.integers(0, 255, (2, 70, 80, 3), np.uint8)
    mask = np.zeros((2, 70, 80), np.uint8)
    mask[0, 20:50, 20:60] = 1
    size = np.array([[70, 80], [60, 50]])
    both = session.run(None, {"support_image": image, "support_mask": mask, "support_size": size})[0]
    image[1] = 0  # beyond 60×50 and inside: neither is seen
    one = session.run(None, {"support_image": image[:1], "support_mask": mask[:1], "support_size": size[:1]})[0]
    cosine = (both * one).sum(-1) / np.linalg.norm(both, axis=-1) / np.linalg.norm(one, axis=-1)
    assert (cosine > 1 - 1e-5).all()


@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
def test_labels_are_brought_to_the_working_size_as_training_does(fit: str) -> None:
    spec = InputSpec(size=(64, 48), fit=fit)
    for height, width in ((64, 48), (1, 1), (128, 96), (97, 131), (33, 200), (31, 24)):
        labels = np.random.default_rng(height).integers(0, 3, (height, width)).astype(np.uint8)
        place = Preprocess(spec).place(torch.zeros(1, 3, height, width))
        found = labels_into_frame(torch.from_numpy(labels).long()[None], place, 255)[0]
        assert np.array_equal(found.numpy(), spec.working_mask(labels))


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"graph": "network"}, "exported whole, as two files"),
        ({"precision": "fp16"}, "single precision: leave --precision out"),
        ({"force": True}, "single precision"),
    ],
)
def test_what_two_files_cannot_be_is_one_line(
    asked: dict[str, object], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "build", lambda *_: pytest.fail("traced"))
    source = model_of("panet", tmp_path)
    with pytest.raises(DelineateError, match=line):
        delineate.export(source, out=tmp_path / "made.onnx", **asked)
    assert [one.name for one in tmp_path.iterdir()] == ["model.safetensors"]


@pytest.mark.more
@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
@pytest.mark.parametrize("name", EPISODIC)
def test_every_method_exports(name: str, fit: str, tmp_path: Path) -> None:
    if not registry.method_class(name).info.exportable:
        pytest.skip("says so")
    # A letterbox keeps whole gray levels after percentiles, of which a few may differ by one; random weights of IPSL, which chooses
    # the largest of many similarities, make more of that than the file is allowed.
    rule = "range" if (name, fit) == ("ipsl", "letterbox") else "percentile"
    source = model_of(name, tmp_path, fit=fit, intensity=rule)
    made = delineate.export(source, out=tmp_path / "made.onnx", data=pictures(tmp_path / "data"), cases=3)
    assert made.parity.network_difference <= 1e-4
    assert made.parity.dice >= 0.999
