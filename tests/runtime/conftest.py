from __future__ import annotations

from importlib import util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

import delineate
from delineate.artefact.format import Artefact, save
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.methods.testing.examples import randomize_norms, tiny

PROJECT = Path(__file__).parents[2] / "runtime"


@pytest.fixture(scope="session")
def build() -> ModuleType:
    """What makes the package."""
    pytest.importorskip("hatchling", reason="hatchling is in the extra `dev`")
    spec = util.spec_from_file_location("hatch_build", PROJECT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def package(build: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds `delineate_runtime`."""
    folder = tmp_path_factory.mktemp("package")
    build.write_package(PROJECT.parent, folder / "delineate_runtime")
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save(path, Artefact(randomize_norms(tiny("unet")).eval(), InputSpec(size=(64, 64)), ClassTable()))
    return path


@pytest.fixture(scope="session")
def exported(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnxscript", reason="onnxscript is in the extra `onnx`")
    return delineate.export(model, out=tmp_path_factory.mktemp("exported") / "polyps.onnx", cases=1).path


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    numbers = np.random.default_rng(0)
    Image.fromarray(numbers.integers(0, 256, (50, 71, 3), np.uint8)).save(folder / "color.png")
    Image.fromarray(numbers.integers(0, 256, (64, 64), np.uint8)).save(folder / "gray.png")
    Image.fromarray(numbers.integers(0, 256, (90, 33, 4), np.uint8)).save(folder / "alpha.tif")
    return folder
