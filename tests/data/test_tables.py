"""Data sets as CSV files: what is read from them, and the lines for what does not fit."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from delineate.common.errors import DataError
from delineate.data.doctor.check import check
from delineate.data.layouts.discover import recognize
from delineate.data.layouts.source import DataSource
from delineate.data.layouts.tables import manifest_of_table
from delineate.data.loading.open_data import open_data

Write = Callable[[Path, Any], Path]


@pytest.fixture
def table(tmp_path: Path, write: Write) -> Callable[..., Path]:
    """table(text): a CSV of that text beside scans/a … d.jpg and marked/m_a … m_d.png, m_b_2.png."""
    for number, name in enumerate("abcd"):
        write(tmp_path / "scans" / f"{name}.jpg", np.full((16, 16, 3), 40 * number + 30, np.uint8))
        mask = np.zeros((16, 16), np.uint8)
        mask[2 + number : 6 + 2 * number, 4:8] = 255
        write(tmp_path / "marked" / f"m_{name}.png", mask)
    write(tmp_path / "marked" / "m_b_2.png", np.full((16, 16), 255, np.uint8) * np.eye(16, dtype=np.uint8))

    def make(text: str, name: str = "data.csv", encoding: str = "utf-8") -> Path:
        (tmp_path / name).write_bytes(text.encode(encoding))
        return tmp_path / name

    return make


Table = Callable[..., Path]


def test_all_columns(table: Table) -> None:
    path = table(
        "image,mask,group,split,domain,age\r\n"
        "scans/a.jpg,marked/m_a.png,p1,train,north,31\r\n"
        "scans/b.jpg,marked/m_b.png;marked/m_b_2.png,p1,Training,north,31\r\n"
        "scans\\c.jpg,marked\\m_c.png,p2,val,south,55\r\n"
        "scans/d.jpg,,p3,,south,60\r\n",
        encoding="utf-8-sig",
    )
    manifest = manifest_of_table(path)
    assert (manifest.layout, manifest.split_origin, manifest.root) == ("table", "table", str(path.parent))
    assert [(c.id, c.masks, c.group, c.split, c.domain) for c in manifest.cases] == [
        ("a", ("marked/m_a.png",), "p1", "train", "north"),
        ("b", ("marked/m_b.png", "marked/m_b_2.png"), "p1", "train", "north"),
        ("c", ("marked/m_c.png",), "p2", "val", "south"),
        ("d", (), "p3", "train", "south"),
    ]
    assert manifest.grouping == "3 groups of data.csv"
    assert manifest.notes == (f"columns of {path} that are not used: age",)
    opened, census = open_data(path)
    assert len(opened.split("train")) == 3
    assert census.facts["b"].values[255] > census.facts["a"].values[255]


def test_other_names_of_columns_ids_and_separators(table: Table, tmp_path: Path) -> None:
    path = table("Case;Img;Label;Patient\nx;scans/a.jpg;marked/m_a.png;7\ny;scans/b.jpg;marked/m_b.png;8\n")
    assert [(case.id, case.group) for case in manifest_of_table(path).cases] == [("x", "7"), ("y", "8")]
    absolute = f"image,mask\n{tmp_path}/scans/a.jpg,{tmp_path}/marked/m_a.png\n"
    assert manifest_of_table(table(absolute)).cases[0].images == ("scans/a.jpg",)
    (tmp_path / "lists").mkdir()
    outside = manifest_of_table(table("image,mask\n../scans/a.jpg,../marked/m_a.png\n", "lists/x.csv"))
    assert (outside.root, outside.cases[0].images) == (str(tmp_path), ("scans/a.jpg",))


def test_names_that_macos_decomposes(table: Table, tmp_path: Path, write: Write) -> None:
    name = unicodedata.normalize("NFD", "müller.png")
    for folder in ("scans", "marked"):
        write(tmp_path / folder / name, np.zeros((8, 8), np.uint8))
    found = manifest_of_table(table("image,mask\nscans/müller.png,marked/müller.png\n"))
    assert found.cases[0].id == unicodedata.normalize("NFC", "müller")
    assert (tmp_path / found.cases[0].images[0]).is_file()


FAULTS = {
    "picture,mask\nscans/a.jpg,marked/m_a.png\n": r"has no column 'image', only picture, mask",
    "image,group\nscans/a.jpg,1\n": r"has no column 'mask', only image, group",
    "image,img,mask\nscans/a.jpg,scans/a.jpg,marked/m_a.png\n": r"several columns for the image: image and img; keep one",
    "image,mask\nscans/z.jpg,marked/m_a.png\n": r"names 1 file that is not there: .*z\.jpg; paths are relative to ",
    "image,mask,split\nscans/a.jpg,marked/m_a.png,trian\n": r"row 2: unknown split 'trian'; did you mean 'train'\?",
    "image,mask\nscans/a.jpg,marked/m_a.png\nscans/a.jpg,marked/m_b.png\n": r"1 image twice, such as .*a\.jpg \(rows 2, 3\)",
    "image,mask\n,marked/m_a.png\n": r"row 2: the image is missing",
    "image,mask\nscans/a.jpg,data.csv\n": r"data\.csv is not an image that can be read",
    "image,mask\nscans/a.jpg,scans/a.jpg\n": r"a\.jpg is image and mask at once",
}


@pytest.mark.parametrize("text", FAULTS)
def test_faults_of_tables(text: str, table: Table) -> None:
    path = table(text)
    with pytest.raises(DataError, match=FAULTS[text]) as caught:
        manifest_of_table(path)
    assert "\n" not in str(caught.value)
    assert not check(path).usable


def test_a_table_is_no_folder(table: Table, tmp_path: Path) -> None:
    path = table("image,mask\nscans/a.jpg,marked/m_a.png\n")
    with pytest.raises(DataError, match=r"data\.csv is a table, which names every file; leave out --masks"):
        DataSource(path, masks="marked").manifest()
    (tmp_path / "marked").rename(tmp_path / "xx")
    path = table("image,mask\nscans/a.jpg,xx/m_a.png\n")
    with pytest.raises(
        DataError, match=r"no folders that are known, but a table of images and masks: give .*data\.csv$"
    ):
        DataSource(tmp_path).manifest()


def test_a_table_beside_folders_that_are_known_is_told(make_pairs: Callable[..., Path]) -> None:
    """Its splits would be missed, so it is a warning where it has any."""
    root = make_pairs(["a", "b"])
    rows = [f"images/{name}.png,masks/{name}.png" for name in "ab"]
    (root / "list.csv").write_text("\n".join(["image,mask", *rows]) + "\n")
    assert [str(note).split("; ")[0] for note in recognize(root).findings] == [
        "list.csv lists images and masks, and is not used"
    ]
    (root / "list.csv").write_text("\n".join(["image,mask,split", *(f"{row},train" for row in rows)]) + "\n")
    (told,) = recognize(root).findings
    assert told.severity == "warning"
    assert "with a split for each" in told.text
    assert "list.csv in place of the folder" in told.mend
    (root / "list.csv").write_text("case,group\na,1\n")
    (told,) = recognize(root).findings
    assert (told.severity, told.text) == ("note", "list.csv says what belongs together, and is not used")
    assert told.mend.startswith("--group-by ")


def test_sources_take_paths_and_text(tmp_path: Path) -> None:
    source = DataSource(str(tmp_path), images=Path("a"), masks=tmp_path / "b", group_by=Path("g.csv"))  # type: ignore[arg-type]
    assert source == DataSource(tmp_path, images="a", masks=str(tmp_path / "b"), group_by="g.csv")
    with pytest.raises(DataError, match="unknown join 'nearly'"):
        DataSource(tmp_path, join="nearly")  # type: ignore[arg-type]
