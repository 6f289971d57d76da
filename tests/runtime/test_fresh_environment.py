"""Both distributions in environments of their own: without torch, side by side, and one without the other."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from handmade import write_exported
from PIL import Image

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.more


def run(*command: str, ok: bool = True) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    assert (done.returncode == 0) == ok, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    pytest.importorskip("hatchling", reason="hatchling is in the extra `dev`")
    found = {}
    for name, folder in (("delineate", ROOT), ("delineate_runtime", ROOT / "runtime")):
        out = tmp_path_factory.mktemp(name)
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)], cwd=folder, check=True
        )
        (wheel,) = out.glob("*.whl")
        found[name] = str(wheel)
    return found


def made(folder: Path) -> tuple[str, str]:
    """Python and folder of scripts of a new environment."""
    venv.create(folder, with_pip=True, symlinks=os.name != "nt")
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    return str(scripts / "python"), str(scripts)


def segment(scripts: str, folder: Path, out: str) -> None:
    model = write_exported(folder / "mean.onnx")
    Image.new("RGB", (8, 6), "white").save(folder / "white.png")
    told = run(
        f"{scripts}/delineate-runtime", "predict", str(model), str(folder / "white.png"), "--out", str(folder / out)
    )
    assert "polyp 100.00 %" in told


def test_it_needs_what_it_installs(wheels: dict[str, str], tmp_path: Path) -> None:
    python, scripts = made(tmp_path / "fresh")
    if subprocess.run([python, "-m", "pip", "install", "--quiet", wheels["delineate_runtime"]], check=False).returncode:
        pytest.skip("packages cannot be installed from an index here")
    assert "No module named 'torch'" in run(python, "-c", "import torch", ok=False)
    segment(scripts, tmp_path, "masks")


def test_side_by_side_and_one_without_the_other(wheels: dict[str, str], tmp_path: Path) -> None:
    python, scripts = made(tmp_path / "both")
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}  # what both need is that of the tests
    (site / "dependencies.pth").write_text("".join(f"{path}\n" for path in paths))
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--force-reinstall", *wheels.values())
    assert (
        run(f"{scripts}/delineate", "--version").split()[1]
        == run(f"{scripts}/delineate-runtime", "--version").split()[1]
    )
    run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "delineate-seg")
    segment(scripts, tmp_path, "without")
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheels["delineate"])
    run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "delineate-seg-runtime")
    assert "predict" in run(f"{scripts}/delineate", "--help")
