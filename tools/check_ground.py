"""What is published stands on its own: wheel and sdist, every supported Python, the oldest dependencies that are allowed.

Run it before a release, from a clean checkout, with `uv` and the Pythons on the PATH (`pip install uv`):

    python tools/check_ground.py                     everything: about half an hour on two cores
    python tools/check_ground.py --only build 3.12   some of it: build, 3.11, 3.12, 3.13, oldest
    python tools/check_ground.py --no-tests          without the test suite, which runs with the oldest dependencies

It works on the commit HEAD, in a new folder outside the repository. Each environment gets the wheel and what the package
index gives for it, without the pins of `constraints.txt`, and is removed afterwards. The table is printed and written to
`build/ground/ground.md`, the output of each step beside it. The exit code is 1 where a step failed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13")
OLDEST = "oldest"
EXTRAS = "[medical,hdf5,tensorboard,smp,dev]"
"""What the tests need, all of it with its oldest version."""
BESIDE = ("LICENSE", "README.md", "CHANGELOG.md", "SECURITY.md", "pyproject.toml", "constraints.txt", "Makefile")
"""What the sdist holds besides `src/` and `tests/`."""
USE = {
    "help": ["delineate --help"],
    "methods": ["delineate methods"],
    "demo": ["delineate demo --out demo"],
    "train, predict, evaluate": [
        "delineate train demo/phantoms --method unet --preset tiny --steps 5 --out run",
        "delineate predict run demo/phantoms --split test --out masks",
        "delineate evaluate masks demo/phantoms --split test --out scores",
    ],
}
"""Step → commands, run in an empty folder."""


class Ground:
    """The rows of the table, and the folders that the steps share."""

    def __init__(self, work: Path, out: Path) -> None:
        self.work, self.out = work, out
        self.rows: list[tuple[str, str, bool, float]] = []
        self.versions: dict[str, str] = {}

    def step(self, where: str, name: str, action: Callable[[Path], None]) -> bool:
        """Do one thing, with a file for what it says; tells whether it went well."""
        log = self.out / f"{where} {name.replace(',', '')}.log".replace(" ", "-")
        log.write_text("")
        start = time.monotonic()
        try:
            action(log)
            well = True
        except (subprocess.CalledProcessError, AssertionError, OSError) as error:
            log.write_text(f"{log.read_text()}\n{type(error).__name__}: {error}\n")
            well = False
        self.rows.append((where, name, well, time.monotonic() - start))
        print(f"{where:8} {name:28} {'passed' if well else f'FAILED, see {log}'}", flush=True)
        return well

    def table(self) -> str:
        """Markdown."""
        lines = ["| Where | Step | Result | Seconds |", "| --- | --- | --- | ---: |"]
        for where, name, well, seconds in self.rows:
            lines.append(f"| {where} | {name} | {'passed' if well else 'FAILED'} | {seconds:.0f} |")
        lines += ["", *(f"{where}: {versions}" for where, versions in self.versions.items())]
        return "\n".join(lines) + "\n"


def run(command: list[str], log: Path, *, cwd: Path, path: Path | None = None) -> None:
    """Run one command outside of this checkout's reach. `path`: an environment's folder of programs."""
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    if path is not None:
        environment["PATH"] = os.pathsep.join([str(path), environment["PATH"]])
    with log.open("a") as stream:
        stream.write(f"$ {' '.join(command)}\n")
        stream.flush()
        subprocess.run(command, cwd=cwd, env=environment, stdout=stream, stderr=subprocess.STDOUT, check=True)


def export(source: Path, log: Path) -> None:
    """The files of HEAD, without those that git does not know."""
    archive = source.with_suffix(".tar")
    run(["git", "archive", "--output", str(archive), "HEAD"], log, cwd=ROOT)
    with tarfile.open(archive) as files:
        files.extractall(source, filter="data")


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def build(source: Path, dist: Path, log: Path) -> None:
    """Both archives, and what is in them; the sdist must give the same wheel as the checkout."""
    run(["uv", "build", "--wheel", "--sdist", str(source), "--out-dir", str(dist)], log, cwd=source)
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    found = contents(wheel)
    package = {path.relative_to(source / "src").as_posix() for path in (source / "src").rglob("*") if path.is_file()}
    inside = {name for name in found if ".dist-info/" not in name}
    assert inside == package, f"the wheel and src/ differ: {sorted(inside ^ package)}"
    needed = {"delineate/py.typed", "delineate/methods/unet/card.md", "delineate/methods/unet/recipe.yaml"}
    assert needed <= inside, f"not in the wheel: {sorted(needed - inside)}"
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in found), "the wheel has no LICENSE"
    with tarfile.open(sdist) as files:
        files.extractall(dist / "unpacked", filter="data")
    (unpacked,) = (dist / "unpacked").iterdir()
    wanted = {path.relative_to(source) for top in ("src", "tests") for path in (source / top).rglob("*")}
    lacking = [str(path) for path in {*wanted, *map(Path, BESIDE)} if not (unpacked / path).exists()]
    assert not lacking, f"not in the sdist: {sorted(lacking)}"
    run(["uv", "build", "--wheel", str(unpacked), "--out-dir", str(dist / "again")], log, cwd=unpacked)
    (again,) = (dist / "again").glob("*.whl")
    assert contents(again) == found, "the wheel made from the sdist is another one"


def check_environment(ground: Ground, where: str, source: Path, wheel: Path, *, tests: bool) -> None:
    """Install the wheel for one Python, or with the oldest dependencies, and use it."""
    environment, place = ground.work / "environment", ground.work / "place"
    place.mkdir()
    scripts = environment / ("Scripts" if os.name == "nt" else "bin")
    python = str(scripts / "python")
    oldest = where == OLDEST
    version = PYTHONS[0] if oldest else where
    options = ["--resolution", "lowest-direct"] if oldest else []
    wanted = f"delineate-seg{EXTRAS if oldest else ''} @ {wheel.as_uri()}"

    def install(log: Path) -> None:
        run(["uv", "venv", "--clear", "--seed", "--python", version, str(environment)], log, cwd=place)
        run(["uv", "pip", "install", "--python", python, *options, wanted], log, cwd=place)

    def use(commands: list[str], log: Path) -> None:
        for command in commands:
            run(command.split(), log, cwd=place, path=scripts)

    def test(log: Path) -> None:
        words = ["-m", "pytest", "-n", "2", "-m", "not more and not slow", "-p", "no:cacheprovider"]
        run([python, *words], log, cwd=source, path=scripts)

    try:
        if ground.step(where, "install", install):
            listed = subprocess.run(
                ["uv", "pip", "freeze", "--python", python], capture_output=True, text=True, check=True
            )
            (ground.out / f"{where}-versions.txt").write_text(listed.stdout)
            ground.versions[where] = ", ".join(line for line in listed.stdout.split("\n") if line.startswith("torch"))
            for name, commands in USE.items():
                ground.step(where, name, lambda log, commands=commands: use(commands, log))  # type: ignore[misc]
            if oldest and tests:
                ground.step(where, "tests", test)
    finally:
        shutil.rmtree(environment, ignore_errors=True)
        shutil.rmtree(place)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=["build", *PYTHONS, OLDEST], default=[*PYTHONS, OLDEST])
    parser.add_argument(
        "--out", type=Path, default=ROOT / "build" / "ground", help="folder for the table and the output"
    )
    parser.add_argument("--no-tests", action="store_true", help="leave out the test suite")
    given = parser.parse_args()
    if shutil.which("uv") is None:
        parser.error("the program uv is not on the PATH: pip install uv")
    out = given.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ground-") as folder:
        work = Path(folder)
        ground, source, dist = Ground(work, out), work / "source", work / "dist"
        if ground.step("build", "export of HEAD", lambda log: export(source, log)) and ground.step(
            "build", "wheel and sdist", lambda log: build(source, dist, log)
        ):
            (wheel,) = dist.glob("*.whl")
            for where in given.only:
                if where != "build":
                    check_environment(ground, where, source, wheel, tests=not given.no_tests)
        (out / "ground.md").write_text(ground.table())
        print("\n" + ground.table())
        return 0 if all(well for _, _, well, _ in ground.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
