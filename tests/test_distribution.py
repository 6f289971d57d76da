"""The package as it is installed: its name on the index is not another project's, and the wheel has all that it needs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAMED = re.compile(r"pip install[^\n`]*\bdelineate\b(?!-seg)")
"""Advice that would install another project's package."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="hatchling is in the extra `dev`")
    folder = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


def run(command: list[str], **options: object) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    if "hatchling" in command:
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


def test_what_make_installs_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["dev"], *extras["docs"]]
    own = next(one for one in wanted if one.startswith("delineate-seg["))
    for extra in own.partition("[")[2].rstrip("]").split(","):
        wanted += extras[extra]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {plain(line.partition("==")[0]) for line in lines if "==" in line}
    assert sorted({plain(re.split(r"[\[>=<]", one)[0]) for one in wanted if one != own} - pinned) == []


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_wheel_holds_what_is_read_at_run_time(wheel: Path) -> None:
    assert wheel.name.startswith("delineate_seg-")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    kinds = {".py", ".yaml", ".md", ".css", ".typed", ".json", ".txt", ".js", ".html", ".xz"}
    package = ROOT / "src"
    wanted = {
        path.relative_to(package).as_posix() for path in (package / "delineate").rglob("*") if path.suffix in kinds
    }
    assert wanted <= names
    assert {name.partition("/")[0] for name in names} == {
        "delineate",
        wheel.name.removesuffix("-py3-none-any.whl") + ".dist-info",
    }


def test_it_runs_from_a_fresh_environment(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "fresh", with_pip=False, symlinks=os.name != "nt")
    scripts = tmp_path / "fresh" / ("Scripts" if os.name == "nt" else "bin")
    python = str(scripts / "python")
    run([sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps", str(wheel)])
    site = Path(run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).strip())
    # What it depends on comes from the environment of the tests; a path alone does not bring that one's editable install.
    paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "dependencies.pth").write_text("".join(f"{path}\n" for path in paths))
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    command = str(scripts / "delineate")
    assert run([command, "--version"], cwd=tmp_path).split() == ["delineate", version]
    assert "train" in run([command, "--help"], cwd=tmp_path)
    place = (
        "import delineate; from delineate.report.html.document import page; page('t', 'k'); print(delineate.__file__)"
    )
    assert Path(run([python, "-c", place], cwd=tmp_path).strip()).is_relative_to(site)


def test_no_advice_installs_another_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == "delineate-seg"
    assert not [each for each in project["optional-dependencies"]["dev"] if re.match(r"delineate(?!-seg)", each)]
    texts = [path for folder in ("src", "docs") for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".md")]
    assert texts
    assert [str(path) for path in [*texts, ROOT / "README.md"] if NAMED.search(path.read_text(encoding="utf-8"))] == []
