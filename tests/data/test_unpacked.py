"""Data sets in zip and tar files: unpacked once, inside of their folder alone, whole or not at all."""

from __future__ import annotations

import io
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from delineate.common.errors import DataError
from delineate.data.cases.census import inspect
from delineate.data.doctor.check import check
from delineate.data.formats import containers
from delineate.data.layouts.source import as_source
from delineate.data.layouts.unpacked import unpacked
from delineate.data.loading.open_data import open_data

MakePairs = Callable[..., Path]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    return tmp_path / "xdg" / "delineate" / "delineate-cache" / "unpacked"


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar", "xztar"])
@pytest.mark.parametrize("top", [True, False])
def test_a_packed_set_is_the_set(make_pairs: MakePairs, tmp_path: Path, kind: str, top: bool) -> None:
    root = make_pairs([f"p{number}" for number in range(12)])
    inside = {"root_dir": root.parent, "base_dir": root.name} if top else {"root_dir": root}
    archive = Path(shutil.make_archive(str(tmp_path / "polyps"), kind, **inside))  # type: ignore[arg-type]
    packed, plain = open_data(archive)[0], open_data(root)[0]
    assert packed.cases == plain.cases
    assert packed.notes[0] == f"{archive.name} was unpacked into {packed.root}"
    assert Path(packed.root).name == ("set" if top else "polyps")


def test_it_is_unpacked_once_and_anew_where_files_are_lost(make_pairs: MakePairs, tmp_path: Path, cache: Path) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "a"), "zip", make_pairs(["x", "y", "z"])))
    told: list[str] = []
    first = unpacked(archive, told.append)
    twin = archive.rename(tmp_path / "b.zip")
    assert unpacked(twin, told.append) == first, "the content decides, not the name"
    assert told == [f"unpacking a.zip into {next(cache.glob('*/from.json')).parent}"]
    (first / "images" / "x.png").unlink()
    assert (unpacked(twin, told.append) / "images" / "x.png").is_file()
    assert len(told) == 2
    zipped(twin, {"images/x.png": b"other"})
    assert unpacked(twin) not in (first, first.parent / "b")


def test_what_systems_leave_behind_is_left_out(tmp_path: Path) -> None:
    names = [
        "set/images/a.png",
        "__MACOSX/set/images/._a.png",
        "set/.DS_Store",
        "set\\masks\\a.png",
        "./set/masks/b.png",
    ]
    folder = unpacked(zipped(tmp_path / "a.zip", dict.fromkeys(names, b"x")))
    assert files_in(folder) == ["images/a.png", "masks/a.png", "masks/b.png"]


def test_folders_that_say_what_they_hold_stay(tmp_path: Path) -> None:
    folder = unpacked(zipped(tmp_path / "a.zip", {"outer/set/train/a.png": b"x"}))
    assert (folder.name, files_in(folder)) == ("set", ["train/a.png"])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../out.png", r"leads out of the folder by '\.\.'"),
        ("a/../../out.png", r"leads out of the folder by '\.\.'"),
        ("/etc/out.png", "an absolute path"),
        ("C:\\out.png", "an absolute path"),
        ("a\n.png", "control characters"),
        ("images/inner.zip", r"another archive in it \(images/inner\.zip\)"),
        ("images.tar.gz", "another archive in it"),
    ],
)
def test_names_that_are_not_unpacked(tmp_path: Path, cache: Path, name: str, words: str) -> None:
    info = zipfile.ZipInfo("x")
    info.filename = name
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("good.png", b"x")
        archive.writestr(info, b"x")
    tar = tarred(tmp_path / "a.tar", (tarfile.TarInfo("good.png"), b"x"), (tarfile.TarInfo(name), b"x"))
    for path in (tmp_path / "a.zip", tar):
        with pytest.raises(DataError, match=words) as fault:
            unpacked(path)
        assert path.name in str(fault.value)
    assert not [path for path in cache.iterdir() if path.name not in ("locks", "known")]
    assert not list(tmp_path.rglob("out.png"))


def test_links_devices_and_passwords_are_refused(tmp_path: Path) -> None:
    link, device = tarfile.TarInfo("link"), tarfile.TarInfo("pipe")
    link.type, link.linkname, device.type = tarfile.SYMTYPE, "/etc/passwd", tarfile.FIFOTYPE
    with pytest.raises(DataError, match=r"a link in it \(link\)"):
        unpacked(tarred(tmp_path / "a.tar", (link, b"")))
    with pytest.raises(DataError, match="pipe in it, which is no file"):
        unpacked(tarred(tmp_path / "b.tar", (device, b"")))
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match="a link in it"):
        unpacked(tmp_path / "c.zip")
    path = zipped(tmp_path / "d.zip", {"a.png": b"x"})
    content = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + flags] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="locked with a password"):
        unpacked(path)


def test_more_than_its_size_lets_expect_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "_SPARE_BYTES", 1000)
    bomb = {f"{number}.png": bytes(200_000) for number in range(3)}
    with pytest.raises(DataError, match="far more than its size"):
        unpacked(zipped(tmp_path / "a.zip", bomb))
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        for name, content in bomb.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    with pytest.raises(DataError, match="far more than its size"):
        unpacked(tmp_path / "a.tar.gz")


def test_damage_names_the_archive_and_leaves_nothing(tmp_path: Path, cache: Path) -> None:
    whole = zipped(tmp_path / "a.zip", {"a.png": bytes(range(256)) * 40, "b.png": b"b"}).read_bytes()
    for name, content in (
        ("cut.zip", whole[: len(whole) // 2]),
        ("none.zip", b"text"),
        ("none.tar", b"text" * 300),
        ("empty.zip", b""),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=rf"{name} is damaged or no archive"):
            unpacked(tmp_path / name)
    flipped = bytearray(whole)
    flipped[60] ^= 0xFF
    (tmp_path / "flipped.zip").write_bytes(flipped)
    with pytest.raises(DataError, match=r"flipped\.zip is damaged or no archive"):
        unpacked(tmp_path / "flipped.zip")
    with pytest.raises(DataError, match="has no files in it"):
        unpacked(zipped(tmp_path / "bare.zip", {}))
    with pytest.raises(DataError, match=r"has a\.png and A\.png in it, which are one file"):
        unpacked(zipped(tmp_path / "two.zip", {"a.png": b"x", "A.png": b"y"}))
    assert not [path for path in cache.iterdir() if path.name not in ("locks", "known")]


def test_archives_of_other_kinds_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.rar").write_bytes(b"Rar!")
    found = check(tmp_path / "a.rar")
    assert "is an archive of a kind that is not read; unpack it" in str(found.findings[0])


def test_packed_arrays_inside_of_a_zip(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.savez(
        stream, train_images=np.zeros((3, 8, 8), np.uint8), train_label=np.eye(8, dtype=np.uint8)[None].repeat(3, 0)
    )
    source = as_source(zipped(tmp_path / "set.zip", {"set.npz": stream.getvalue()}))
    assert source.path.name == "set"
    assert len(inspect(source.manifest())[0].cases) == 3
