"""Arrays of three axes in .npz and HDF5 files: where all files of a set are volumes, each is a case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from delineate.common.errors import DataError
from delineate.data.cases.census import inspect
from delineate.data.cases.volumes import volume_image
from delineate.data.formats.archives import Address
from delineate.data.formats.packed_volume import as_volume
from delineate.data.formats.registry import file_frames, file_stem, open_image, read_image, reads_volume, write_mask
from delineate.data.layouts.discover import discover, recognize
from delineate.data.layouts.source import as_source
from delineate.inference.inputs import expand

VOXELS = np.random.default_rng(0).normal(100, 30, (5, 6, 7)).astype(np.float32)
MARKED = (VOXELS > 110).astype(np.uint8) * 2
SUFFIXES = [".npz", ".h5"]


def save(path: Path, attributes: dict[str, Any] | None = None, **arrays: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npz":
        np.savez_compressed(path, **arrays)
        return path
    with pytest.importorskip("h5py").File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, chunks=True, compression="gzip").attrs.update(attributes or {})
    return path


def volume(path: Path, array: str = "image") -> Path:
    return Path(f"{path}#{array}@volume")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", ["f4", ">i2", "u1", "?"])
def test_an_array_is_a_volume_of_its_slices(tmp_path: Path, suffix: str, kind: str) -> None:
    voxels = VOXELS.astype(kind)
    address = volume(save(tmp_path / f"a{suffix}", image=voxels[..., None]))
    handle = open_image(address)
    assert reads_volume(address)
    assert handle.shape == (6, 7, 5)
    assert handle.geometry is not None
    assert handle.geometry.millimeters is None
    assert np.array_equal(handle.read(), np.moveaxis(voxels, 0, 2))
    assert handle.dtype == handle.read().dtype == np.dtype(kind).newbyteorder("=")
    assert np.array_equal(handle.slice(2, 3), voxels[3])
    assert np.array_equal(handle.slice(1, 4), voxels[:, :, 4].T)
    with pytest.raises(DataError, match="is a volume, and a picture is needed here"):
        read_image(address)


def test_distances_only_where_an_attribute_tells_them(tmp_path: Path) -> None:
    told = save(tmp_path / "a.h5", {"element_size_um": [2.0, 0.5, 0.25]}, image=VOXELS)
    geometry = open_image(volume(told)).geometry
    assert geometry is not None
    assert geometry.millimeters == pytest.approx((0.5e-3, 0.25e-3, 2e-3))
    for attributes in ({"spacing": [2.0, 0.5, 0.25]}, {"element_size_um": [0, 1, 1]}, {"element_size_um": [1, 1]}):
        other = open_image(volume(save(tmp_path / "b.h5", attributes, image=VOXELS))).geometry
        assert other is not None
        assert other.millimeters is None


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_of_volumes_are_cases(tmp_path: Path, suffix: str) -> None:
    for name in ("case1", "case2"):
        save(tmp_path / f"{name}{suffix}", image=VOXELS, label=MARKED, scribble=MARKED)
    match = recognize(tmp_path)
    said = [str(finding) for finding in match.findings]
    assert any("2 volumes of 5 slices, counted along the first axis; each volume is a case" in one for one in said)
    manifest, census = inspect(discover(tmp_path))
    assert [(case.id, case.images) for case in manifest.cases] == [
        (name, (f"{name}{suffix}#image@volume",)) for name in ("case1", "case2")
    ]
    assert len(census.facts["case1"].planes) == 5
    assert census.facts["case1"].planes[2] == {0: int((MARKED[2] == 0).sum()), 2: int((MARKED[2] == 2).sum())}
    assert census.across == "planes"
    alone = discover(tmp_path / f"case1{suffix}")
    assert [case.id for case in alone.cases] == ["case1"]


def test_beside_pictures_volumes_are_slices(tmp_path: Path) -> None:
    save(tmp_path / "case1.npz", image=VOXELS / 1000, label=MARKED)
    save(tmp_path / "case2_slice000.npz", image=VOXELS[0] / 1000, label=MARKED[0])
    assert len(discover(tmp_path).cases) == 6


def test_several_arrays_are_channels_by_a_table(tmp_path: Path) -> None:
    save(tmp_path / "a.npz", t1=VOXELS, t2=VOXELS + 1, label=MARKED)
    table = tmp_path / "set.csv"
    table.write_text("id,image_t1,image_t2,mask\na,a.npz#t1@volume,a.npz#t2@volume,a.npz#label@volume\n")
    manifest, census = inspect(as_source(table).manifest())
    assert manifest.channels == ("t1", "t2")
    assert census.facts["a"].named == ("t1", "t2")
    save(tmp_path / "b" / "a.npz", image=np.stack([VOXELS, VOXELS]), label=MARKED)
    with pytest.raises(
        DataError, match=r"has 4 axes .* give a table with a column for each \(image_T1: a\.npz#T1@volume\)"
    ):
        discover(tmp_path / "b")


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
@pytest.mark.parametrize("last", [False, True])
def test_channels_of_one_array_have_addresses(tmp_path: Path, suffix: str, last: bool) -> None:
    deep = np.random.default_rng(0).integers(0, 900, (20, 26, 27)).astype(np.int16)
    array = np.stack([deep, deep + 1000], 3 if last else 0)
    path = save(tmp_path / f"a{suffix}", image=array, label=(deep > 450).astype(np.uint8))
    whole, second = volume(path), Path(f"{path}#image@volume#1")
    assert str(Address.parse(second)) == str(second)
    assert as_volume(Address(path, "image")) == Address(path, "image", volume=True)
    assert file_frames(whole) == 2
    handle = open_image(second)
    assert (handle.shape, handle.dtype) == ((26, 27, 20), np.int16)
    assert np.array_equal(handle.read(), np.moveaxis(deep + 1000, 0, 2))
    assert np.array_equal(open_image(second).slice(2, 3), deep[3] + 1000)
    assert handle.digest() != open_image(Path(f"{path}#image@volume#0")).digest()
    with pytest.raises(DataError, match=r"image@volume holds 2 volumes .* state one as .*image@volume#0 … #1"):
        open_image(whole)
    with pytest.raises(DataError, match="image@volume#2 does not exist: the file holds 2 volumes"):
        open_image(Path(f"{path}#image@volume#2"))
    with pytest.raises(DataError, match=rf"give a table .*\(image_T1: a\{suffix}#image@volume#0\)"):
        discover(tmp_path)
    cells = f"a{suffix}#image@volume#0,a{suffix}#image@volume#1,a{suffix}#label@volume"
    (tmp_path / "set.csv").write_text(f"id,image_t1,image_t2,mask\na,{cells}\n")
    manifest, census = inspect(as_source(tmp_path / "set.csv").manifest())
    assert manifest.channels == census.facts["a"].named == ("t1", "t2")
    both = volume_image(manifest, manifest.cases[0], "own")
    assert np.array_equal(both[..., 1], both[..., 0] + 1000)


def test_which_axis_is_that_of_channels_is_not_guessed(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", image=np.zeros((4, 20, 20, 4)), long=np.zeros((30, 20, 20, 30)))
    for name in ("image", "long"):
        with pytest.raises(DataError, match="beside that of channels, which is the first or the last"):
            open_image(volume(path, name))
    with pytest.raises(DataError, match="flat@volume#1 does not exist: the file holds 1 volume"):
        open_image(Path(f"{save(tmp_path / 'b.npz', flat=VOXELS)}#flat@volume#1"))


def test_what_is_no_volume_is_said(tmp_path: Path) -> None:
    path = save(
        tmp_path / "a.npz", image=VOXELS, flat=VOXELS[0], words=np.full((2, 5, 5), "a"), colors=VOXELS[:, :, :3]
    )
    refused = {"flat": "is an array of 6×7; a volume has three axes", "none": "has no array 'none', only colors, flat"}
    for name, words in {**refused, "words": "holds <U1; a volume is an array of"}.items():
        with pytest.raises(DataError, match=words):
            open_image(volume(path, name)).read()
    with pytest.raises(
        DataError, match=r"is an array of 5×6×7: as a volume it is a\.npz#image@volume, its slices a\.npz#image\.0"
    ):
        read_image(Path(f"{path}#image"))
    assert expand([f"{path}#image"]) == [volume(path)]
    assert as_volume(Address(path, "colors")) is None
    assert Address.parse(f"{path}#image.3@volume") is None
    assert file_stem(volume(path)) == "a"


def test_masks_of_packed_volumes_are_stacks(tmp_path: Path) -> None:
    image = open_image(volume(save(tmp_path / "a.npz", image=VOXELS)))
    mask = np.moveaxis(MARKED, 0, 2)
    write_mask(tmp_path / "mask.tif", mask, like=image)
    assert np.array_equal(open_image(tmp_path / "mask.tif").labels().pixels, mask)
