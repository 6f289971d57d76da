"""What other packages register under entry points: one that is broken, or takes a name twice, never breaks anything else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from delineate.cli import app
from delineate.common.errors import DataError
from delineate.common.plugins import Plugins
from delineate.data.formats import registry as formats
from delineate.data.layouts.tree import walk
from delineate.methods import registry as methods
from delineate.strategies import registry as strategies

Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """install(package, entry points): a package with that metadata and none of the code."""

    def write(package: str, points: str) -> None:
        info = tmp_path / "site" / f"{package}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(points)
        forget()

    def forget() -> None:
        for registry in (formats, methods, strategies):
            registry.forget_other_packages()

    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "site")])
    yield write
    monkeypatch.undo()
    forget()


@pytest.fixture
def broken(install: Install) -> None:
    install("broken", "".join(f"[delineate.{kind}]\nbroken = no_such:Thing\n" for kind in ("formats", "strategies")))


def test_a_broken_strategy_is_left_out_of_the_list(broken: None) -> None:
    result = CliRunner().invoke(app, ["strategies"])
    assert result.exit_code == 0
    assert "mean-teacher" in result.stdout
    assert result.stderr == (
        "warning: strategy 'broken' (no_such:Thing) cannot be imported: No module named 'no_such'\n"
    )


def test_a_broken_format_matters_only_to_files_of_no_other_format(broken: None, tmp_path: Path) -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    folder = tmp_path / "images"
    folder.mkdir()
    Image.fromarray(pixels).save(folder / "a.png")
    (folder / "notes.txt").touch()
    assert np.array_equal(formats.read_image(folder / "a.png"), pixels)
    assert walk(folder).findings == []
    (folder / "b.thm").write_bytes(b"THM1")
    reason = "format 'broken' (no_such:Thing) cannot be imported"
    (finding,) = walk(folder).findings
    assert finding.severity == "warning"
    assert "b.thm" in finding.text
    assert reason in finding.text
    with pytest.raises(DataError) as told:
        formats.read_image(folder / "b.thm")
    assert reason in str(told.value)
    with pytest.raises(DataError) as told:
        formats.writer_of("broken")
    assert reason in str(told.value)


def test_a_name_of_ours_stays_ours_and_the_other_is_told(install: Install) -> None:
    install("rival", "[delineate.strategies]\nsupervised = rival:Thing\n")
    assert strategies.strategy_class("supervised").__module__.startswith("delineate.")
    (line,) = strategies.STRATEGIES.hidden()
    assert "'supervised' (rival:Thing) is never used" in line


def test_what_fails_is_left_out_unless_it_is_ours(install: Install) -> None:
    install("rival", "[some.group]\nother = rival:Thing\n")
    kind = Plugins("thing", "some.group", {"ours": "delineate:Thing"})
    told: list[str] = []

    def make(name: str, bad: str) -> str:
        if name == bad:
            raise ZeroDivisionError("by zero")
        return name

    assert kind.usable(lambda name: make(name, "other"), told.append) == ["ours"]
    assert told == ["thing 'other' (rival:Thing) cannot be used: ZeroDivisionError: by zero"]
    with pytest.raises(ZeroDivisionError):
        kind.usable(lambda name: make(name, "ours"), told.append)
