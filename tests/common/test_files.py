"""Files are whole or absent, whatever goes wrong while they are written."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from delineate.common.errors import DelineateError
from delineate.common.files import append_line, atomic_path, output_folder, sha256, write_json, write_text


def test_a_failure_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")

    def fail_half_way() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            int(temporary.read_text())

    with pytest.raises(ValueError, match="half"):
        fail_half_way()
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "the disk is full"), (errno.EACCES, "permission denied"), (errno.EIO, "Input/output error")],
)
def test_errors_of_the_system_become_one_line(tmp_path: Path, number: int, words: str) -> None:
    with pytest.raises(DelineateError, match=words), atomic_path(tmp_path / "b.bin"):
        raise OSError(number, "Input/output error")
    assert not any(tmp_path.iterdir())


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for attempt in (lambda: output_folder(tmp_path / "file" / "out"), lambda: write_text(tmp_path / "file" / "x", "")):
        with pytest.raises(DelineateError, match="is a file, not a folder"):
            attempt()


def test_json_without_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="dice is not finite"):
        write_json(tmp_path / "c.json", {"dice": float("nan")})
    write_json(tmp_path / "c.json", {"ü": 1})
    assert json.loads((tmp_path / "c.json").read_text(encoding="utf-8")) == {"ü": 1}


def test_lines_and_hash(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    append_line(path, "one")
    append_line(path, "two")
    assert path.read_text() == "one\ntwo\n"
    assert sha256(path) == hashlib.sha256(b"one\ntwo\n").hexdigest()
    with pytest.raises(DelineateError, match="cannot write"):
        append_line(tmp_path / "absent" / "e", "x")


def test_modes_follow_the_umask_which_nobody_touches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.umask(0o027)

    def refuse(_: int) -> int:
        raise AssertionError("the umask belongs to all threads")

    try:
        monkeypatch.setattr(os, "umask", refuse)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: write_text(tmp_path / f"{number}.txt", "x"), range(200)))
    finally:
        monkeypatch.undo()
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o640}


def test_a_name_as_long_as_the_system_allows(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 251 + ".txt")
    write_text(target, "x")
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_a_link_is_replaced_and_what_it_points_to_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "out").symlink_to(tmp_path / "precious")
    write_text(tmp_path / "out", "new")
    assert (tmp_path / "precious").read_text() == "mine"
    assert (tmp_path / "out").read_text() == "new"


def test_names_that_are_not_utf8_can_be_written(tmp_path: Path) -> None:
    write_json(tmp_path / "e.json", {"file": "\udcff.png"})
    assert json.loads((tmp_path / "e.json").read_text(encoding="utf-8")) == {"file": "\udcff.png"}
