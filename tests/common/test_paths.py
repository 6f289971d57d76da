"""Names and paths that files bring never lead out of a folder, and names that would are changed where data are recognized."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delineate.common.file_names import name_fault, path_fault, usable_names

ODD = st.text(st.sampled_from("ab.:/\\\x00\n ~-…"), max_size=12)


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "../x",
        "a/b",
        "a\\b",
        "/x",
        "C:x",
        "C:\\x",
        "",
        ".",
        "a\nb",
        "\x00",
        "CON",
        "nul.png",
        "com1",
        "aux .x",
        "x" * 252,
    ],
)
def test_names_that_are_refused(name: str) -> None:
    assert name_fault(name)


@pytest.mark.parametrize(
    "name",
    [
        "case01",
        "a..b",
        "…",
        "TCGA_CS_4941 (2)",
        "ä",
        "<script>",
        "=cmd",
        "console",
        "ab:c",
        "-x",
        ".hidden",
        "x#y.17",
        "x" * 251,
    ],
)
def test_names_that_are_fine(name: str) -> None:
    assert name_fault(name) == ""


@pytest.mark.parametrize("path", ["images/a.png", "a/b/c.npz#image.17@signed", "a..b/c", "images/con.png"])
def test_paths_that_are_fine(path: str) -> None:
    assert path_fault(path) == ""


@given(ODD)
def test_a_good_path_stays_within_its_folder(path: str) -> None:
    if path_fault(path):
        return
    folder = Path("/data/set")
    assert Path(folder / path).resolve().is_relative_to(folder)
    windows = PureWindowsPath("D:/data/set") / path
    assert ".." not in windows.parts
    assert windows.is_relative_to(PureWindowsPath("D:/data/set"))


@given(
    st.lists(
        st.one_of(ODD, st.sampled_from(["con", "CON", "a/b", "a_b", "y" * 300, "y" * 300 + "/", "y" * 300 + "_"])),
        max_size=8,
        unique=True,
    )
)
def test_usable_names_are_usable_different_and_else_the_same(names: list[str]) -> None:
    made = usable_names(names)
    assert len(set(made)) == len(made) == len(names)
    assert all(name_fault(name) == "" for name in made)
    assert all(old == new for old, new in zip(names, made, strict=True) if not name_fault(old))
