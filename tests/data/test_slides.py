"""Slides through openslide: pixels, sizes, micrometers, bounds, and what is said of damaged ones."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from delineate.common.errors import DataError
from delineate.data.formats import slides
from delineate.data.formats.registry import image_suffix, open_image, read_image
from delineate.data.formats.slides import SlideHandle
from slides_made import halved, tissue, write_svs

HEIGHT, WIDTH = 610, 830


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("openslide")
    folder = tmp_path_factory.mktemp("slides")
    write_svs(folder / "a.svs", tissue(HEIGHT, WIDTH))
    return folder / "a.svs"


def test_pixels_are_those_that_were_written(made: Path) -> None:
    handle, pixels = open_image(made), tissue(HEIGHT, WIDTH)
    assert handle.shape == (HEIGHT, WIDTH)
    assert (handle.channels, handle.dtype, handle.block) == (("red", "green", "blue"), np.uint8, (240, 240))
    assert np.array_equal(read_image(made), pixels)
    assert np.array_equal(handle.window(-4, 200, 300, 5000), pixels[:296, 200:])
    with pytest.raises(IndexError):
        handle.window(HEIGHT, 0, 1, 1)


def test_sizes_and_micrometers(made: Path, tmp_path: Path) -> None:
    levels = open_image(made).levels
    assert [level.shape for level in levels] == [(610, 830), (152, 207), (38, 51)]
    assert np.array_equal(levels[1].read(), halved(tissue(HEIGHT, WIDTH), 4))
    assert levels[1].microns == pytest.approx((2, 2), rel=0.01)
    write_svs(tmp_path / "unknown.svs", tissue(300, 300), mpp=None)
    assert open_image(tmp_path / "unknown.svs").microns is None


def test_names_are_those_of_pictures_and_found_in_any_case() -> None:
    assert [image_suffix(Path(f"a{end}")) for end in (".svs", ".NDPI", ".mrxs", ".scn", ".bif", ".vms")] == [
        *(".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".vms")
    ]


def test_damage_is_one_line_that_names_the_file(made: Path, tmp_path: Path) -> None:
    content = made.read_bytes()
    page = tifffile.TiffFile(made).pages[0]
    at = page.dataoffsets[5]  # type: ignore[union-attr]
    files = {
        "cut.svs": (content[: len(content) // 2], "no slide|damaged"),
        "text.svs": (b"hello", "no slide"),
        "empty.svs": (b"", "empty"),
        "tile.svs": (content[:at] + b"\xff" * 300 + content[at + 300 :], "damaged or truncated"),
    }
    for name, (data, words) in files.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=words) as told:
            open_image(tmp_path / name).read()
        assert name in str(told.value)
        assert "\n" not in str(told.value)
    with pytest.raises(DataError, match="cannot read"):
        open_image(tmp_path / "none.svs")


def test_a_missing_package_is_named(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slides._package.cache_clear()
    monkeypatch.setitem(sys.modules, "openslide", None)
    try:
        with pytest.raises(DataError, match=r'a\.svs is a slide.*pip install "delineate-seg\[slides\]"'):
            open_image(made)
    finally:
        slides._package.cache_clear()


class Scanned:
    """Stands for a slide of openslide's of which only a part was scanned, in two sizes. Each pixel tells its own place."""

    dimensions, level_dimensions, level_downsamples, level_count = (400, 300), ((400, 300), (200, 150)), (1.0, 2.0), 2

    def __init__(self, **told: str) -> None:
        names = {"x": "40", "y": "20", "width": "100", "height": "60", **told}
        self.properties = {f"openslide.bounds-{name}": value for name, value in names.items()}
        self.properties |= {"openslide.background-color": "FF00FF", "openslide.mpp-x": "0,25", "openslide.mpp-y": "0.5"}

    def read_region(self, place: tuple[int, int], level: int, size: tuple[int, int]) -> Any:
        y, x = np.mgrid[: size[1], : size[0]] * 2**level
        clear = (x + place[0] >= 60) * 255
        return Image.fromarray(np.stack([x + place[0], y + place[1], 0 * x, clear], axis=2).astype(np.uint8), "RGBA")


def test_the_part_that_was_scanned_is_the_picture_on_its_background() -> None:
    handle = SlideHandle(Path("a.mrxs"), Scanned())
    assert handle.shape == (60, 100)
    assert handle.microns == (0.5, 0.25)
    assert handle.window(3, 30, 1, 1).tolist() == [[[70, 23, 0]]]
    assert handle.window(0, 5, 1, 1).tolist() == [[[255, 0, 255]]], "not scanned"
    small = handle.levels[1]
    assert small.shape == (30, 50)
    assert small.window(3, 30, 1, 1).tolist() == [[[100, 26, 0]]]
    assert small.microns == (1, 0.5)


@pytest.mark.parametrize("wrong", [{"x": "390"}, {"width": "0"}, {"height": "many"}])
def test_bounds_that_cannot_be_are_left_out(wrong: dict[str, str]) -> None:
    assert SlideHandle(Path("a.mrxs"), Scanned(**wrong)).shape == (300, 400)


def test_a_slide_in_several_files_is_known_by_what_openslide_tells(tmp_path: Path) -> None:
    told = SimpleNamespace(
        **vars(Scanned()), **{name: getattr(Scanned, name) for name in vars(Scanned) if name[0] != "_"}
    )
    told.properties = {**Scanned().properties, "openslide.quickhash-1": "abc"}
    (tmp_path / "a.mrxs").write_bytes(b"x")
    assert SlideHandle(tmp_path / "a.mrxs", told).digest() == "abc"
