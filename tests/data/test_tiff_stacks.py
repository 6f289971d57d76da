"""TIFF stacks as volumes: which page is which plane, what files tell of distances, and what is refused because nothing tells it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delineate.common.errors import DataError
from delineate.data.cases.census import inspect
from delineate.data.core.geometry import Geometry, check_same_geometry
from delineate.data.formats.contract import ImageHandle
from delineate.data.formats.registry import (
    file_stem,
    frame_names,
    open_image,
    read_image,
    reader_of,
    reads_image,
    reads_volume,
    write_map,
    write_mask,
)
from delineate.data.formats.regrid import regrid
from delineate.data.formats.testing import check_format
from delineate.data.layouts.discover import discover, recognize

tifffile = pytest.importorskip("tifffile")
ZYX = np.random.default_rng(0).integers(0, 60_000, (5, 6, 7)).astype(np.uint16)
MICRONS = {"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25, "PhysicalSizeZ": 2.0}


def stack(path: Path, array: Any = ZYX, **how: Any) -> Path:
    tifffile.imwrite(path, array, photometric=how.pop("photometric", "minisblack"), **how)
    return path


def seen(path: Path) -> np.ndarray:
    """Planes × rows × columns, as other readers give them."""
    return np.moveaxis(open_image(path).read(), 2, 0)


def grid_of(handle: ImageHandle) -> Geometry:
    assert handle.geometry is not None
    return handle.geometry


@pytest.mark.parametrize(
    "how",
    [
        {"metadata": None},
        {"metadata": None, "bigtiff": True},
        {"metadata": None, "byteorder": ">"},
        {"metadata": None, "compression": "zlib", "predictor": True},
        {"metadata": None, "tile": (16, 16)},
        {"metadata": None, "rowsperstrip": 2},
        {"imagej": True, "metadata": {"axes": "ZYX"}},
        {"ome": True, "metadata": {"axes": "ZYX"}},
        {"metadata": {"axes": "ZYX"}},
        {"truncate": True},
    ],
    ids=lambda how: "-".join(map(str, how)),
)
def test_pages_are_planes(tmp_path: Path, how: dict[str, Any]) -> None:
    path = stack(tmp_path / "a.tif", **how)
    handle = open_image(path)
    assert reads_volume(path)
    assert (handle.shape, handle.dtype, handle.channels) == ((6, 7, 5), np.uint16, ("gray",))
    assert np.array_equal(seen(path), ZYX)
    assert np.array_equal(handle.slice(2, 3), ZYX[3])
    assert np.array_equal(handle.slice(0, 2), ZYX[:, 2].T)
    with pytest.raises(IndexError):
        handle.slice(2, 5)
    with pytest.raises(DataError, match=r"a\.tif is a volume, and a picture is needed here"):
        read_image(path)


@pytest.mark.parametrize("kind", ["?", "b", "i2", "u4", "i4", "f4", "f8"])
def test_numbers_stay_what_they_are(tmp_path: Path, kind: str) -> None:
    array = (ZYX % 100).astype(kind)
    path = stack(tmp_path / "a.tif", array, metadata=None)
    expected = array.astype(np.uint8) * 255 if kind == "?" else array
    assert np.array_equal(seen(path), expected)
    assert open_image(path).dtype == expected.dtype


def test_a_single_page_is_a_picture(tmp_path: Path) -> None:
    path = stack(tmp_path / "a.tif", ZYX[0])
    assert not reads_volume(path)
    assert open_image(path).shape == (6, 7)


@pytest.mark.parametrize(
    ("how", "millimeters"),
    [
        ({"ome": True, "metadata": MICRONS}, (0.25e-3, 0.5e-3, 2e-3)),
        (
            {"ome": True, "metadata": {**MICRONS, **{f"PhysicalSize{axis}Unit": "mm" for axis in "XYZ"}}},
            (0.25, 0.5, 2.0),
        ),
        ({"ome": True, "metadata": {"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}}, None),
        ({"ome": True, "metadata": {**MICRONS, **{f"PhysicalSize{axis}Unit": "pixel" for axis in "XYZ"}}}, None),
        (
            {"imagej": True, "resolution": (2.0, 4.0), "metadata": {"axes": "ZYX", "spacing": 3.0, "unit": "um"}},
            (0.25e-3, 0.5e-3, 3e-3),
        ),
        (
            {"imagej": True, "resolution": (2.0, 4.0), "metadata": {"axes": "ZYX", "spacing": 3.0, "unit": "mm"}},
            (0.25, 0.5, 3),
        ),
        ({"imagej": True, "resolution": (2.0, 4.0), "metadata": {"axes": "ZYX", "spacing": 3.0}}, None),
        ({"imagej": True, "resolution": (2.0, 4.0), "metadata": {"axes": "ZYX", "unit": "um"}}, None),
        ({"metadata": {"axes": "ZYX"}, "resolution": (2.0, 4.0)}, None),
    ],
)
def test_distances_are_told_or_not_known(tmp_path: Path, how: dict[str, Any], millimeters: Any) -> None:
    geometry = grid_of(open_image(stack(tmp_path / "a.tif", **how)))
    found = geometry.millimeters
    assert geometry.tells == ("nothing" if millimeters is None else "distances")
    assert found is None if millimeters is None else np.allclose(found, millimeters, rtol=1e-6, atol=0)


def test_what_is_not_told_is_said(tmp_path: Path) -> None:
    path = stack(tmp_path / "a.tif", metadata=None)
    said = f"{path}: nothing tells what its 5 pages are; they are taken as the planes of one volume"
    assert open_image(path).notes == (said,)
    half = stack(tmp_path / "b.tif", imagej=True, resolution=(2, 2), metadata={"axes": "ZYX", "unit": "um"})
    assert (
        "does not tell how far apart its planes are (ImageJ), so distances are in voxels" in open_image(half).notes[0]
    )
    assert open_image(stack(tmp_path / "c.tif", ome=True, metadata=MICRONS)).notes == ()


FIVE = np.random.default_rng(1).integers(0, 255, (2, 3, 4, 6, 7)).astype(np.uint8)
"""Moments, planes, channels, rows, columns."""


@pytest.mark.parametrize("axes", ["TZCYX", "TCZYX", "CTZYX", "ZTCYX"])
def test_channels_and_moments_are_frames(tmp_path: Path, axes: str) -> None:
    order = ["TZCYX".index(letter) for letter in axes]
    path = stack(tmp_path / "a.ome.tif", FIVE.transpose(order), ome=True, metadata={"axes": axes})
    with pytest.raises(DataError, match=r"a\.ome\.tif holds 8 volumes .*state one as a\.ome\.tif#0 … #7"):
        open_image(path)
    for frame in range(8):
        address = path.with_name(f"{path.name}#{frame}")
        assert reads_volume(address)
        assert file_stem(address) == "a.ome"
        assert np.array_equal(seen(address), FIVE[frame // 4, :, frame % 4])
    with pytest.raises(DataError, match="does not exist: the file holds 8 volumes, counted from 0"):
        open_image(path.with_name(f"{path.name}#8"))
    assert len({open_image(path.with_name(f"{path.name}#{frame}")).digest() for frame in range(8)}) == 8


def test_imagej_counts_channels_first(tmp_path: Path) -> None:
    path = stack(tmp_path / "a.tif", FIVE, imagej=True)
    for frame in range(8):
        assert np.array_equal(seen(tmp_path / f"a.tif#{frame}"), FIVE[frame // 4, :, frame % 4])
    film = stack(tmp_path / "b.tif", FIVE[:, 0, 0], imagej=True, metadata={"axes": "TYX"})
    with pytest.raises(
        DataError, match=r"b\.tif: ImageJ calls its pages 2 moments in time: state one as b\.tif#0 .*axes ZYX"
    ):
        open_image(film)
    picture = tmp_path / "b.tif#1"
    assert not reads_volume(picture)
    assert reads_image(picture)
    assert np.array_equal(read_image(picture), FIVE[1, 0, 0])
    assert reader_of(path).name == "tiff"


def test_named_channels_are_the_channels_of_a_case(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for name, channels in (("a", ["DAPI", "GFP"]), ("b", ["GFP", "DAPI"])):
        pair = [FIVE[0, :, ["DAPI", "GFP"].index(channel)] for channel in channels]
        about = {"axes": "CZYX", "Channel": {"Name": channels}}
        file = stack(tmp_path / "images" / f"{name}.tif", np.stack(pair), ome=True, metadata=about)
        assert frame_names(file) == tuple(channels)
        stack(tmp_path / "masks" / f"{name}.tif", (FIVE[0, :, 0] > 99).astype(np.uint8), compression="zlib")
    manifest = discover(tmp_path)
    assert manifest.channels == ("DAPI", "GFP")
    assert [case.images for case in manifest.cases] == [
        ("images/a.tif#0", "images/a.tif#1"),
        ("images/b.tif#1", "images/b.tif#0"),
    ]
    found, census = inspect(manifest)
    assert census.across == "planes"
    assert len(found.cases) == 2
    other = {"axes": "CZYX", "Channel": {"Name": ["DAPI", "RFP"]}}
    stack(tmp_path / "images" / "b.tif", FIVE[0, :, :2].swapaxes(0, 1), ome=True, metadata=other)
    with pytest.raises(
        DataError, match=r"a\.tif has the channels DAPI, GFP, but images/b\.tif has DAPI, RFP; give all"
    ):
        discover(tmp_path)


def test_unnamed_channels_are_refused_with_the_way_out(tmp_path: Path) -> None:
    for folder, array in (("images", FIVE[0]), ("masks", FIVE[0, :, 0] > 9)):
        (tmp_path / folder).mkdir()
        stack(tmp_path / folder / "a.tif", array.astype(np.uint8), imagej=True)
    with pytest.raises(
        DataError, match=r"a\.tif holds 4 volumes .* choose by a table with addresses, such as a\.tif#0"
    ):
        discover(tmp_path)
    table = tmp_path / "cells.csv"
    table.write_text("image,mask\nimages/a.tif#2,masks/a.tif\n")
    manifest = discover_table(table)
    assert manifest.cases[0].images == ("images/a.tif#2",)
    assert np.array_equal(seen(manifest.path("images/a.tif#2")), FIVE[0, :, 2])


def discover_table(path: Path) -> Any:
    from delineate.data.layouts.source import as_source

    return as_source(path).manifest()


def test_what_pages_are_is_never_guessed(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(ZYX[0], metadata=None)
        writer.write(ZYX[0, :4], metadata=None)
    refuses(path, r"2 pages that are not alike \(7×6 of 16 bits; page 2 is 7×4 of 16 bits\), so no volume: save each")
    stack(path, FIVE)
    refuses(path, "24 pages are an array of 2×3×4×6×7 whose axes have no names; save it as OME-TIFF")
    stack(path, np.zeros((4, 6, 7, 3), np.uint8), photometric="rgb", metadata=None)
    refuses(path, "is a stack of colors .*, and volumes are gray: save the channel that is meant")
    stack(path, metadata=None, description="ImageJ=1.54f\nimages=9\nslices=9\n")
    refuses(path, r"TIFF of 5 pages whose description \(ImageJ\) tells of 9; save it anew")
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(ZYX, metadata={"axes": "ZYX"})
        writer.write(ZYX, metadata={"axes": "ZYX"})
    refuses(path, "10 pages are of 2 images")
    stack(path, volumetric=True, tile=(5, 16, 16))
    refuses(path, "planes in one page, packed or in tiles, which is not readable: save each as a page")


def refuses(path: Path, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        open_image(path).read()
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_it_keeps_the_promises_of_a_format(tmp_path: Path) -> None:
    check_format("tiff", stack(tmp_path / "a.tif", ome=True, metadata=MICRONS), tmp_path)


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(2, 6)),
    spacing=st.none() | st.tuples(*[st.floats(1e-5, 50)] * 3),
    wide=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_masks_come_back_on_their_grid(
    tmp_path_factory: pytest.TempPathFactory, shape: Any, spacing: Any, wide: bool, seed: int
) -> None:
    path = tmp_path_factory.mktemp("masks") / "a.tif"
    most, kind = (60_000, np.uint16) if wide else (250, np.uint8)
    mask = np.random.default_rng(seed).integers(0, most, shape).astype(kind)
    write_mask(path, mask, like=Geometry.of_stack(shape, spacing), labels="0=background, 1=Läsion")
    back = open_image(path)
    assert np.array_equal(back.labels().pixels, mask)
    found = grid_of(back).millimeters
    assert found is None if spacing is None else np.allclose(found, spacing, rtol=1e-6, atol=0)
    assert np.array_equal(np.moveaxis(tifffile.imread(path).reshape(shape[2], *shape[:2]), 0, 2), mask)
    write_map(path, mask.astype(np.uint16), like=back)
    assert np.array_equal(open_image(path).read(), mask)


def test_a_mask_of_a_placed_volume_is_no_stack(tmp_path: Path) -> None:
    grid = Geometry((6, 7, 5), (0.0, 0.0, 0.0), np.eye(3), (1.0, 1.0, 2.0))
    with pytest.raises(DataError, match="a TIFF stack has no place in the patient"):
        write_mask(tmp_path / "a.tif", np.zeros((6, 7, 5), np.uint8), like=grid)
    assert not (tmp_path / "a.tif").exists()


def test_grids_without_a_place_are_compared_by_what_they_tell() -> None:
    a, b = Path("a.tif"), Path("b.tif")
    bare, near, far = (Geometry.of_stack((6, 7, 5), spacing) for spacing in (None, (1.0, 1.0, 2.0), (1.0, 1.0, 3.0)))
    check_same_geometry(bare, a, near, b)
    assert regrid(bare, a, far, b).kind == "same"
    with pytest.raises(DataError, match=r"a\.tif has voxels of 1×1×2 mm but b\.tif of 1×1×3 mm"):
        check_same_geometry(near, a, far, b)
    with pytest.raises(DataError, match=r"a\.tif has 6×7×5 voxels but b\.tif has 6×7×4"):
        check_same_geometry(near, a, Geometry.of_stack((6, 7, 4), None), b)
    placed = Geometry((6, 7, 5), (0.0, 0.0, 0.0), np.eye(3), (1.0, 1.0, 2.0))
    for one, other in ((near, placed), (placed, near)):
        with pytest.raises(DataError, match="does not tell where in the patient its voxels lie, and"):
            regrid(one, a, other, b)


def test_pictures_and_stacks_are_not_paired(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    stack(tmp_path / "images" / "a.tif", metadata=None)
    stack(tmp_path / "masks" / "a.tif", (ZYX[0] > 9).astype(np.uint8), metadata=None)
    with pytest.raises(DataError, match=r"holds 1 volume \(a\.tif\) but no label volumes for them"):
        recognize(tmp_path)


def test_stacks_beside_pictures_are_told(tmp_path: Path) -> None:
    for name, array in (("a", ZYX[0]), ("b", ZYX)):
        stack(tmp_path / f"{name}.tif", array, metadata=None)
        stack(tmp_path / f"{name}_mask.tif", (array > 9).astype(np.uint8), metadata=None)
    match = recognize(tmp_path)
    assert [case.images for case in match.cases] == [("a.tif",)]
    told = [str(one) for one in match.findings if one.severity == "warning"]
    assert told == [
        "2 volumes beside the pictures not used: b.tif, b_mask.tif; pictures and volumes are sets of their own: give each its "
        "folder"
    ]
