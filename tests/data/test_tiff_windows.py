"""Windows of TIFF files: whatever the file's form, a window is what the whole picture shows there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from delineate.common.errors import DataError
from delineate.data.formats.registry import open_image, read_image, read_mask
from delineate.data.formats.tiff_tiled import TiledTiff

FORMS: dict[str, dict[str, Any]] = {
    "tiles": {"tile": (64, 48), "compression": "zlib"},
    "big": {"tile": (64, 64), "bigtiff": True, "compression": "zlib", "predictor": True},
    "strips": {"rowsperstrip": 37, "compression": "lzw"},
    "rows": {"rowsperstrip": 50},
    "whole": {"rowsperstrip": 1000},
    "planes": {"tile": (64, 64), "planarconfig": "separate", "compression": "zlib"},
    "big-endian": {"tile": (32, 32), "byteorder": ">"},
    "jpeg": {"tile": (64, 64), "compression": "jpeg", "photometric": "ycbcr"},
    "jpeg-rgb": {"tile": (64, 64), "compression": "jpeg", "photometric": "rgb"},
    "jpeg-strips": {"rowsperstrip": 64, "compression": "jpeg", "photometric": "ycbcr"},
}


def picture(height: int = 300, width: int = 410, channels: int = 3, dtype: str = "uint8") -> np.ndarray:
    rng = np.random.default_rng(0)
    full = np.iinfo(dtype).max
    rough = cv2.GaussianBlur(rng.random((height, width, 3)), (0, 0), 3)
    rough = (full * (rough - rough.min()) / np.ptp(rough)).astype(dtype)
    return rough if channels == 3 else np.ascontiguousarray(rough[..., 0])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder, found = tmp_path_factory.mktemp("tiff"), {}
    for name, how in FORMS.items():
        for kind, channels, dtype in (("rgb", 3, "uint8"), ("gray", 1, "uint8"), ("deep", 1, "uint16")):
            if (kind == "deep" and "jpeg" in name) or (kind != "rgb" and name in ("planes", "jpeg-rgb")):
                continue
            more = dict(how)
            more.setdefault("photometric", "rgb")
            if channels == 1:
                more["photometric"] = "minisblack"
            path = folder / f"{name}-{kind}.tif"
            image = picture(channels=channels, dtype=dtype)
            stored = np.moveaxis(image, 2, 0) if name == "planes" else image
            tifffile.imwrite(path, stored, metadata=None, **more)
            found[path.stem] = path
    return found


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_a_window_is_what_the_whole_shows_there(files: dict[str, Path], data: st.DataObject) -> None:
    path = files[data.draw(st.sampled_from(sorted(files)))]
    handle = open_image(path)
    whole = read_image(path)
    y, x = data.draw(st.integers(0, 299)), data.draw(st.integers(0, 409))
    height, width = data.draw(st.integers(1, 310)), data.draw(st.integers(1, 420))
    found = handle.window(y, x, height, width)
    assert np.array_equal(found, whole[y : y + height, x : x + width])
    assert found.dtype == handle.dtype == whole.dtype


def test_forms_that_windows_cost_less_in_are_known(files: dict[str, Path]) -> None:
    blocks = {name: open_image(path).block for name, path in files.items() if name.endswith("rgb")}
    assert blocks["tiles-rgb"] == (64, 48)
    assert blocks["strips-rgb"] == (37, 410)
    assert blocks["rows-rgb"] == blocks["whole-rgb"] == (1, 410)
    assert blocks["jpeg-strips-rgb"] == (64, 410)
    assert all(open_image(path).channels == ("red", "green", "blue") for name, path in files.items() if "rgb" in name)


def test_a_window_beyond_the_picture_is_refused(files: dict[str, Path]) -> None:
    handle = open_image(files["tiles-rgb"])
    with pytest.raises(IndexError, match="outside of"):
        handle.window(300, 0, 5, 5)


def test_a_damaged_tile_is_a_fault_of_the_file(files: dict[str, Path], tmp_path: Path) -> None:
    for name in ("tiles-rgb", "jpeg-rgb"):
        content = bytearray(files[name].read_bytes())
        with tifffile.TiffFile(files[name]) as file:
            offset = file.pages[0].dataoffsets[0]
        content[offset : offset + 40] = bytes(40)
        path = tmp_path / f"{name}.tif"
        path.write_bytes(content)
        with pytest.raises(DataError, match=rf"{name}\.tif is damaged"):
            open_image(path).window(0, 0, 10, 10)
        if name == "tiles-rgb":
            assert open_image(path).window(64, 48, 10, 10).shape == (10, 10, 3)


def pyramid(path: Path, image: np.ndarray, *, sub: bool, **how: Any) -> None:
    """Three sizes, in sub-directories or as pages that call themselves small copies."""
    sizes = [image, image[::2, ::2], image[::4, ::4]]
    with tifffile.TiffWriter(path, **({"ome": True} if "metadata" in how else {})) as writer:
        options = {"tile": (64, 64), "photometric": "rgb", "compression": "zlib", **how}
        writer.write(image, subifds=2 if sub else 0, **options)
        options = {name: value for name, value in options.items() if name not in ("metadata", "resolution")}
        for size in sizes[1:]:
            writer.write(size, subfiletype=1, metadata=None, **options)


@pytest.mark.parametrize("sub", [True, False])
def test_the_sizes_of_a_pyramid(tmp_path: Path, sub: bool) -> None:
    image = picture(301, 410)
    pyramid(tmp_path / "p.tif", image, sub=sub, resolution=(20000, 10000), resolutionunit="centimeter")
    handle = open_image(tmp_path / "p.tif")
    assert [level.shape for level in handle.levels] == [(301, 410), (151, 205), (76, 103)]
    assert handle.microns == pytest.approx((1.0, 0.5))
    assert handle.levels[1].microns == pytest.approx((301 / 151, 1.0))
    for level, step in zip(handle.levels, (1, 2, 4), strict=True):
        whole = image[::step, ::step]
        assert np.array_equal(level.read(), whole)
        assert np.array_equal(level.window(30, 40, 33, 50), whole[30:63, 40:90])
        assert level.channels == ("red", "green", "blue")
        assert level.dtype == np.uint8


def test_ome_tells_how_large_pixels_are(tmp_path: Path) -> None:
    about = {"axes": "YXS", "PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.5}
    pyramid(tmp_path / "p.ome.tif", picture(), sub=True, metadata=about)
    assert open_image(tmp_path / "p.ome.tif").microns == pytest.approx((0.5, 0.25))
    assert len(open_image(tmp_path / "p.ome.tif").levels) == 3


def test_the_resolution_of_a_printer_says_nothing(tmp_path: Path) -> None:
    for dots, unit in ((300, "inch"), (1200, "inch"), (72, "centimeter")):
        tifffile.imwrite(tmp_path / "a.tif", picture(), resolution=(dots, dots), resolutionunit=unit)
        assert open_image(tmp_path / "a.tif").microns is None
    tifffile.imwrite(
        tmp_path / "b.tif", picture(), metadata=None, description="Aperio Image\n40x|AppMag = 40|MPP = 0.2520|Left = 2"
    )
    assert open_image(tmp_path / "b.tif").microns == (0.252, 0.252)


def test_a_damaged_pyramid_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "p.tif"
    pyramid(path, picture(), sub=True)
    with tifffile.TiffFile(path) as file:
        offset = file.pages[0].pages[1].offset
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"\xff" * 200)
    handle = open_image(path)
    assert handle.window(0, 0, 5, 5).shape == (5, 5, 3)
    with pytest.raises(DataError, match=r"p\.tif is damaged"):
        _ = handle.levels


@settings(max_examples=30, deadline=None)
@given(
    st.tuples(st.integers(1, 1500), st.integers(1, 1500)),
    st.sampled_from(["uint8", "uint16"]),
    st.integers(1, 700),
)
def test_what_is_written_row_by_row_is_read_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, size: tuple[int, int], dtype: str, step: int
) -> None:
    path = tmp_path_factory.mktemp("written") / "mask.tif"
    values = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, size).astype(dtype)
    with TiledTiff(path, size, np.dtype(dtype), labels="0=no, 255=yes", microns=(0.5, 0.25)) as file:
        for top in range(0, size[0], step):
            file.add(values[top : top + step])
    assert np.array_equal(tifffile.imread(path, key=0), values)
    assert np.array_equal(read_mask(path), values)
    handle = open_image(path)
    assert handle.microns == pytest.approx((0.5, 0.25), rel=1e-5)
    for number, level in enumerate(handle.levels):
        assert np.array_equal(level.read(), values[:: 2**number, :: 2**number])


def test_a_file_that_was_not_finished_is_not_there(tmp_path: Path) -> None:
    def stopped() -> None:
        with TiledTiff(tmp_path / "mask.tif", (600, 600), np.dtype("uint8")) as file:
            file.add(np.zeros((300, 600), np.uint8))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert list(tmp_path.iterdir()) == []
