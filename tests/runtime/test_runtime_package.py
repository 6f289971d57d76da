"""The distribution without torch: what it is made of, what it needs, and that it runs without the rest."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import delineate

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "runtime"
NEEDED = {"cv2": "opencv-python-headless", "numpy": "numpy", "PIL": "pillow", "pydantic": "pydantic"}
"""Import name → distribution of what its files import at their top. onnxruntime is imported when a model is loaded."""
LATE = "common.yaml_text"
"""Imported where a file of codes is read; it needs PyYAML."""
UNKNOWN = (
    *(
        "delineate",
        "torch",
        "torchvision",
        "timm",
        "lightning",
        "safetensors",
        "scipy",
        "skimage",
        "yaml",
        "typer",
        "rich",
    ),
    *("nibabel", "SimpleITK", "pydicom", "highdicom", "h5py", "tifffile", "imagecodecs"),
)
"""What is not installed beside the runtime."""
BLOCKED = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {UNKNOWN!r}:
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
"""


def run(package: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(package)}
    command = [sys.executable, "-c", BLOCKED + code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment, cwd=package)


def test_it_needs_no_more_than_it_says(build: ModuleType) -> None:
    modules = set(build.closure(ROOT / "src")) - {f"delineate.{LATE}"}
    assert len(modules) < 280
    rooms = {name.split(".")[1] for name in modules}
    assert rooms == {"artefact", "common", "data", "evaluation", "inference", "nn", "requests", "runtime"}
    found = set().union(*(build.other_packages(build.file_of(name, ROOT / "src")) for name in modules))
    assert found - sys.stdlib_module_names == NEEDED.keys()
    named = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    assert sorted(re.split(r"[>=<]", one)[0] for one in named) == sorted([*NEEDED.values(), "onnxruntime"])


def test_it_agrees_with_the_other_distribution() -> None:
    mine, other = (
        tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"] for folder in (PROJECT, ROOT)
    )
    for key in ("version", "requires-python", "license"):
        assert mine[key] == other[key]
    theirs = {*other["dependencies"], *(one for extra in other["optional-dependencies"].values() for one in extra)}
    ours = {*mine["dependencies"], *(one for extra in mine["optional-dependencies"].values() for one in extra)}
    assert ours - theirs <= {"imagecodecs>=2025.3.30"}


def test_all_of_it_is_imported_without_the_rest(package: Path) -> None:
    names = sorted(
        ".".join(path.relative_to(package).with_suffix("").parts).removesuffix(".__init__")
        for path in package.rglob("*.py")
    )
    names.remove(f"delineate_runtime.{LATE}")
    assert "delineate_runtime.cli" in names
    code = f"import importlib\nfor name in {names!r}: importlib.import_module(name)\nprint(len(sys.modules))"
    done = run(package, code)
    assert done.returncode == 0, done.stderr
    light = run(package, "import delineate_runtime.cli\nprint({'numpy', 'cv2', 'onnxruntime'} & sys.modules.keys())")
    assert light.stdout.strip() == "set()", light.stderr


def test_it_writes_what_predict_writes(
    package: Path, model: Path, exported: Path, pictures: Path, tmp_path: Path
) -> None:
    asked: dict[str, Any] = {"overlay": True, "probabilities": True}
    delineate.predict(model, [pictures], out=tmp_path / "torch", device="cpu", **asked)
    delineate.predict(exported, [pictures], out=tmp_path / "exported", **asked)
    code = "from delineate_runtime.cli import main\nmain()"
    options = ("--out", str(tmp_path / "runtime"), "--overlay", "--probabilities", "--threads", "1")
    done = run(package, code, "predict", str(exported), str(pictures), *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith(f"3 masks in {tmp_path / 'runtime'}")
    files = [path.relative_to(tmp_path / "torch") for path in sorted((tmp_path / "torch").rglob("*")) if path.is_file()]
    assert {path.as_posix() for path in files} >= {
        "color.png",
        "alpha.tif",
        "overlays/gray.png",
        "probabilities/gray.png",
    }
    for path in files:
        one, other, third = (tmp_path / name / path for name in ("torch", "exported", "runtime"))
        if path.suffix in (".json", ".csv"):
            assert third.is_file()
            continue
        assert other.read_bytes() == third.read_bytes()
        if path.parts[0] != "probabilities":
            assert one.read_bytes() == other.read_bytes()
