"""OME-Zarr: pictures of both versions are read by their axes' names, and labels are written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from delineate.common.errors import DataError
from delineate.data.formats.ome_zarr_labels import OmeZarrLabels
from delineate.data.formats.registry import open_image, read_mask
from delineate.data.loading.open_data import open_data
from slides_made import halved, tissue

zarr = pytest.importorskip("zarr")
IMAGE = tissue(300, 420)


def written(
    path: Path,
    arrays: list[np.ndarray],
    axes: str,
    *,
    version: str = "0.5",
    unit: str | None = "nanometer",
    **more: Any,
) -> Path:
    """A picture whose pixels are 250 of the unit."""
    root = zarr.create_group(path, zarr_format=3 if version == "0.5" else 2)
    datasets = []
    for at, array in enumerate(arrays):
        chunks = tuple(100 if axis in "yx" else 1 for axis in axes)
        made = root.create_array(str(at), shape=array.shape, chunks=chunks, dtype=array.dtype)
        made[...] = array
        scale = [250.0 * 4**at if axis in "yx" else 1.0 for axis in axes]
        datasets.append({"path": str(at), "coordinateTransformations": [{"type": "scale", "scale": scale}]})
    named = [{"name": axis, **({"unit": unit} if unit and axis in "yx" else {})} for axis in axes]
    about = {"multiscales": [{"axes": named, "datasets": datasets, "version": version}], **more}
    root.attrs.update({"ome": about} if version == "0.5" else about)
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["yxc", "cyx", "tczyx"])
def test_axes_are_told_by_their_names(tmp_path: Path, version: str, axes: str) -> None:
    pixels = [IMAGE, halved(IMAGE, 4)]
    stored = {
        "yxc": pixels,
        "cyx": [np.moveaxis(one, 2, 0) for one in pixels],
        "tczyx": [np.moveaxis(one, 2, 0)[None, :, None] for one in pixels],
    }
    handle = open_image(written(tmp_path / "a.zarr", stored[axes], axes, version=version))
    assert (handle.shape, handle.channels, handle.block) == ((300, 420), ("red", "green", "blue"), (100, 100))
    assert handle.microns == pytest.approx((0.25, 0.25))
    assert np.array_equal(handle.read(), IMAGE)
    assert np.array_equal(handle.window(-3, 390, 90, 90), IMAGE[:87, 390:])
    assert [level.shape for level in handle.levels] == [(300, 420), (75, 105)]
    assert handle.levels[1].microns == pytest.approx((1, 1))
    assert np.array_equal(handle.levels[1].read(), pixels[1])


def test_gray_and_channels_with_names(tmp_path: Path) -> None:
    gray = IMAGE[..., 0].astype(np.uint16) * 100
    handle = open_image(written(tmp_path / "gray.ome.zarr", [gray], "yx", unit=None))
    assert (handle.channels, handle.dtype, handle.microns) == (("gray",), np.uint16, None)
    assert np.array_equal(handle.read(), gray)
    channels = {"omero": {"channels": [{"label": name} for name in ("DAPI", "FITC", "Cy5")]}}
    path = written(tmp_path / "several.zarr", [np.moveaxis(IMAGE, 2, 0)], "cyx", **channels)
    assert np.array_equal(open_image(path.with_name("several.zarr#1")).read(), IMAGE[..., 1])
    with pytest.raises(DataError, match=r"holds 3 channels .*several\.zarr#0 … #2"):
        open_image(path)


def test_an_equal_picture_is_known_again(tmp_path: Path) -> None:
    one, other = (written(tmp_path / name, [IMAGE], "yxc") for name in ("a.zarr", "b.zarr"))
    assert open_image(one).digest() == open_image(other).digest()
    changed = written(tmp_path / "c.zarr", [255 - IMAGE], "yxc")
    assert open_image(changed).digest() != open_image(one).digest()


def test_folders_of_a_data_set_are_its_pictures(tmp_path: Path) -> None:
    for at in range(4):
        written(tmp_path / f"images/c{at}.zarr", [tissue(80, 90, at)], "yxc")
        mask = (tissue(80, 90, at)[..., 0] < 128).astype(np.uint8)
        with OmeZarrLabels(tmp_path / f"masks/c{at}.zarr", mask.shape, ["a"], [(255, 0, 0)]) as file:
            file.add(mask)
    manifest, census = open_data(tmp_path)
    assert [case.id for case in manifest.cases] == ["c0", "c1", "c2", "c3"]
    assert manifest.cases[0].images == ("images/c0.zarr",)
    assert set(census.values) == {0, 1}


def test_what_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    deep = written(tmp_path / "deep.zarr", [np.zeros((5, 8, 8), np.uint8)], "zyx")
    odd = written(tmp_path / "odd.zarr", [np.zeros((5, 8), np.uint8)], "qx")
    (tmp_path / "none.zarr").mkdir()
    broken = written(tmp_path / "broken.zarr", [IMAGE[..., 0]], "yx")
    (broken / "0/c/1/1").write_bytes(b"\1\2\3")
    lost = written(tmp_path / "lost.zarr", [IMAGE[..., 0]], "yx")
    (lost / "0/zarr.json").unlink()
    for path, words in ((deep, "several planes"), (odd, "axes q, x"), (tmp_path / "none.zarr", "no OME-Zarr")):
        with pytest.raises(DataError, match=words):
            open_image(path)
    with pytest.raises(DataError, match="a chunk of its pixels is damaged"):
        open_image(broken).read()
    with pytest.raises(DataError, match=r"lost\.zarr is no OME-Zarr picture, or damaged"):
        open_image(lost)
    with pytest.raises(DataError, match="no such folder"):
        open_image(tmp_path / "absent.zarr")


def test_labels_are_written_by_rows_and_read_again(tmp_path: Path) -> None:
    mask = (np.indices((1100, 1500)).sum(0) // 300 % 3).astype(np.uint8)
    path = tmp_path / "m.ome.zarr"
    with OmeZarrLabels(path, mask.shape, ["a", "b"], [(255, 0, 0), (0, 0, 255)], (0.5, 0.25)) as file:
        assert not path.exists()
        for top in range(0, 1100, 137):
            file.add(mask[top : top + 137])
    assert np.array_equal(read_mask(path), mask)
    handle = open_image(path / "labels" / "mask")
    assert handle.microns == (0.5, 0.25)
    assert [level.shape for level in handle.levels] == [(1100, 1500), (550, 750)]
    assert np.array_equal(handle.levels[1].read(), mask[::2, ::2])
    about = json.loads((path / "labels/mask/.zattrs").read_text())["image-label"]
    assert about["properties"] == [{"label-value": 1, "class": "a"}, {"label-value": 2, "class": "b"}]
    assert about["colors"][1]["rgba"] == [0, 0, 255, 255]
    assert json.loads((path / "labels/.zattrs").read_text()) == {"labels": ["mask"]}


def test_after_a_fault_nothing_is_left(tmp_path: Path) -> None:
    def write() -> None:
        with OmeZarrLabels(tmp_path / "m.ome.zarr", (600, 600), ["a"], [(1, 2, 3)]) as file:
            file.add(np.ones((100, 600), np.uint8))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert not list(tmp_path.iterdir())
