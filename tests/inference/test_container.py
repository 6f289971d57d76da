"""The container's entry point on a folder tree as Grand-Challenge mounts it, with the copied code and without Docker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import delineate
from delineate.artefact.format import Artefact, save
from delineate.common.errors import DelineateError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.inference.export.container import export_container
from delineate.inference.export.grand_challenge import main, run_case

UNET = {"encoder": {"name": "resnet10t", "pretrained": False}, "decoder_channels": [8, 8, 8, 8, 8]}


def make_model(folder: Path, spec: InputSpec, *names: str, **changes: object) -> Path:
    torch.manual_seed(0)
    method = delineate.create(
        "unet", classes=1 if len(names) == 1 else len(names) + 1, in_channels=spec.in_channels, **UNET
    )
    table = ClassTable(names=("background", *names))
    save(folder / "model.safetensors", Artefact(method, spec, table, **changes))  # type: ignore[arg-type]
    return folder


@pytest.fixture(scope="module")
def of_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("pictures"), InputSpec(size=(32, 32)), "polyp")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "job" / "input" / "images" / "colon-image"
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "0b1c.tif")
    return tmp_path / "job"


def listed(tree: Path, *slugs: str, key: str = "socket") -> None:
    entries = [{key: {"slug": slug, "relative_path": f"images/{slug}", "super_kind": "Image"}} for slug in slugs]
    entries.append({key: {"slug": "age", "relative_path": "age.json", "super_kind": "Value"}})
    (tree / "input" / "inputs.json").write_text(json.dumps(entries))


def test_a_job_runs_with_the_copied_code_alone(of_pictures: Path, tree: Path, tmp_path: Path) -> None:
    made = export_container(of_pictures, tmp_path / "box", license="mit")
    assert made.files == (
        ".dockerignore",
        "Dockerfile",
        "README.md",
        "delineate",
        "model",
        "requirements.txt",
        "sockets.json",
    )
    listed(tree, "colon-image")
    (made.folder / "sockets.json").write_text('{"input": "colon-image", "output": "polyp-mask"}')
    words = ["--input", str(tree / "input"), "--output", str(tree / "output"), "--model", str(made.folder / "model")]
    module = "delineate.inference.export.grand_challenge"
    done = subprocess.run(
        [sys.executable, "-m", module, *words, "--device", "cpu"],
        env={**os.environ, "PYTHONPATH": str(made.folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    (mask,) = [path for path in (tree / "output").rglob("*") if path.is_file()]
    assert mask.relative_to(tree).as_posix() == "output/images/polyp-mask/0b1c.tif"
    found = np.asarray(Image.open(mask))
    expected = delineate.load(of_pictures, device="cpu").predict(np.asarray(Image.open(next(tree.rglob("0b1c.tif")))))
    assert np.array_equal(found, expected)
    assert set(np.unique(found)) <= {0, 1}
    requirements = (made.folder / "requirements.txt").read_text().splitlines()
    assert any(line.startswith("torch==") for line in requirements)
    assert not any("lightning" in line or "+" in line for line in requirements)
    card = (made.folder / "README.md").read_text()
    assert "- This model's weights: mit" in card
    assert "docker build --tag box ." in card
    docker = (made.folder / "Dockerfile").read_text()
    assert "USER user" in docker
    assert module in docker
    assert not list(made.folder.rglob("__pycache__"))


def test_masks_of_metaimages_have_their_grid(tree: Path, tmp_path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK")
    spec = InputSpec(channels="gray", size=(32, 32), axis=2, intensity="percentile")
    model = make_model(tmp_path, spec, "liver", "lesion")
    for path in tree.rglob("0b1c.tif"):
        path.unlink()
    values = np.random.default_rng(1).integers(-500, 500, (4, 20, 24)).astype(np.int16)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((0.5, 0.75, 3.0))
    image.SetOrigin((10.0, -20.0, 30.0))
    sitk.WriteImage(image, str(tree / "input/images/colon-image/ct.mha"))
    mask = run_case(tree / "input", tree / "output", model, device="cpu")
    assert mask == tree / "output/images/segmentation/ct.mha"
    read = sitk.ReadImage(str(mask))
    assert read.GetSize() == image.GetSize()
    assert np.allclose(read.GetSpacing(), image.GetSpacing())
    assert np.allclose(read.GetOrigin(), image.GetOrigin())
    assert set(np.unique(sitk.GetArrayFromImage(read))) <= {0, 1, 2}
    sitk.WriteImage(image[:, :, 0], str(tree / "input/images/colon-image/ct.mha"))
    with pytest.raises(DelineateError, match="has 2 axes"):
        run_case(tree / "input", tree / "again", model, device="cpu")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("no images", "has 0 image sockets (none), not one"),
        ("two sockets", "has 2 image sockets (colon-image, other), not one; say in sockets.json which is read"),
        ("two files", "has 2 images"),
        ("other socket", "has no image of the socket 'mri'"),
        ("damaged list", "inputs.json cannot be read as JSON"),
        ("outside", "lies outside of the inputs"),
        ("damaged image", "0b1c.tif"),
        ("bad sockets", "sockets.json is not"),
    ],
)
def test_jobs_that_cannot_run(
    fault: str, said: str, of_pictures: Path, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model").symlink_to(of_pictures)
    images = tree / "input" / "images"
    if fault == "no images":
        images.rename(tree / "input" / "pictures")
    elif fault == "two sockets":
        (images / "other").mkdir()
    elif fault == "two files":
        Image.new("L", (8, 8)).save(images / "colon-image" / "b.tif")
    elif fault == "other socket":
        (tmp_path / "sockets.json").write_text('{"input": "mri"}')
    elif fault == "damaged list":
        (tree / "input" / "inputs.json").write_text("[")
    elif fault == "outside":
        (tree / "input" / "inputs.json").write_text('[{"interface": {"slug": "x", "relative_path": "images/../../x"}}]')
    elif fault == "damaged image":
        (images / "colon-image" / "0b1c.tif").write_bytes(b"II*\0")
    else:
        (tmp_path / "sockets.json").write_text('{"output": "../../x"}')
    words = ["--input", str(tree / "input"), "--output", str(tree / "output"), "--model", str(tmp_path / "model")]
    assert main([*words, "--device", "cpu"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert said in error
    assert not [path for path in (tree / "output").rglob("*") if path.is_file()]


def test_models_that_no_job_can_run(of_pictures: Path, tmp_path: Path) -> None:
    spec = InputSpec(size=(32, 32))
    (tmp_path / "part").mkdir()
    (tmp_path / "named").mkdir()
    part = make_model(tmp_path / "part", spec, "polyp", complete=False)
    with pytest.raises(DelineateError, match="only a part of a model"):
        export_container(part, tmp_path / "box")
    episodes = make_model(tmp_path / "part", spec, "polyp", provenance={"episodes": {}})
    with pytest.raises(DelineateError, match="few-shot"):
        export_container(episodes, tmp_path / "box")
    named = make_model(tmp_path / "named", InputSpec(size=(32, 32), channels=("T1", "FLAIR")), "tumor")
    with pytest.raises(DelineateError, match=r"channels T1 \+ FLAIR from files of their own"):
        export_container(named, tmp_path / "box")
    assert not (tmp_path / "box").exists()
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "mine.txt").touch()
    with pytest.raises(DelineateError, match="is there already"):
        export_container(of_pictures, tmp_path / "box")
