"""NIfTI volumes: geometry in and out, labels in any number type, and what is refused."""

from __future__ import annotations

import gzip
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from delineate.common.errors import DataError
from delineate.data.formats.contract import plane_of
from delineate.data.formats.registry import (
    check_same_grid,
    file_stem,
    open_image,
    read_geometry,
    read_mask,
    write_mask,
)

nib = pytest.importorskip("nibabel")

LABELS = np.arange(24).reshape(2, 3, 4) % 3


def save(path: Path, array: Any, *, affine: Any = None, edit: Callable[[Any], None] | None = None) -> Path:
    """A NIfTI file; `edit` changes its header afterwards, byte for byte, without nibabel's mending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = nib.Nifti1Image(np.asarray(array), np.diag([2.0, 3, 4, 1]) if affine is None else affine).to_bytes()
    if edit is not None:
        header = nib.Nifti1Header(content[:348], check=False)
        edit(header)
        content = header.binaryblock + content[348:]
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_labels_of_any_number_type_are_whole_numbers(tmp_path: Path, dtype: type):
    path = save(tmp_path / "x.nii.gz", LABELS.astype(dtype))
    voxels = read_mask(path)
    assert voxels.dtype == np.uint8
    assert np.array_equal(voxels, LABELS)
    assert read_geometry(path).spacing == (2, 3, 4)


def test_many_labels_need_sixteen_bits(tmp_path: Path):
    voxels = read_mask(save(tmp_path / "x.nii", (LABELS * 1000).astype(np.int32)))
    assert voxels.dtype == np.uint16
    assert voxels.max() == 2000


def test_scaled_values_are_scaled(tmp_path: Path):
    def half(header: Any) -> None:
        header["scl_slope"], header["scl_inter"] = 0.5, 1

    path = save(tmp_path / "x.nii.gz", LABELS.astype(np.int16), edit=half)
    assert np.allclose(open_image(path).read(), LABELS / 2 + 1)
    with pytest.raises(DataError, match=r"x\.nii\.gz is no label volume: it has 8 voxels with fractions, such as 1\.5"):
        read_mask(path)


def test_one_frame_counts_as_none_and_many_are_refused(tmp_path: Path):
    one = save(tmp_path / "one.nii.gz", LABELS[..., None].astype(np.uint8))
    assert read_mask(one).shape == (2, 3, 4)
    many = save(tmp_path / "many.nii.gz", np.zeros((2, 3, 4, 5), np.uint8))
    with pytest.raises(DataError, match=r"many\.nii\.gz holds 5 volumes .*state one as many\.nii\.gz#0 … #4"):
        read_geometry(many)
    row = save(tmp_path / "row.nii.gz", np.zeros(3, np.uint8))
    with pytest.raises(DataError, match="has 1 axes"):
        read_geometry(row)


def test_lengths_in_metres_become_millimeters(tmp_path: Path):
    def meters(header: Any) -> None:
        header["xyzt_units"] = 1

    path = save(tmp_path / "x.nii", LABELS.astype(np.uint8), affine=np.diag([0.002, 0.003, 0.004, 1]), edit=meters)
    assert read_geometry(path).spacing == pytest.approx((2, 3, 4))
    assert read_geometry(path).to_ras()[2, 2] == pytest.approx(4)


def _pixdim(*values: float) -> Callable[[Any], None]:
    def edit(header: Any) -> None:
        header["pixdim"][1 : 1 + len(values)] = values

    return edit


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (_pixdim(0, 3, 4), "spacing 0×3×4, which cannot be"),
        (_pixdim(2, -3, 4), "spacing 2×-3×4, which cannot be"),
        (_pixdim(2, 3, float("nan")), "not a number"),
        (_pixdim(1, 1, 1), r"two spacings: 1×1×1 mm \(pixdim\) and 2×3×4 mm \(affine\)"),
    ],
)
def test_impossible_spacing_names_the_file(tmp_path: Path, edit: Callable[[Any], None], words: str):
    path = save(tmp_path / "x.nii.gz", LABELS.astype(np.uint8), edit=edit)
    with pytest.raises(DataError, match=rf"x\.nii\.gz .*{words}"):
        read_mask(path)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("dim", [3, 2, -3, 4, 1, 1, 1, 1], "2×-3×4 voxels, which cannot be"),
        ("dim", [3, 2, 0, 4, 1, 1, 1, 1], "2×0×4 voxels, which cannot be"),
        ("vox_offset", float("nan"), "voxels begin at byte nan, which cannot be"),
        ("vox_offset", -8, "voxels begin at byte -8, which cannot be"),
        ("datatype", 9999, r"unknown type \(code 9999\)"),
    ],
)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_what_a_header_cannot_say_is_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], suffix: str, field: str, value: Any, words: str
):
    def change(header: Any) -> None:
        header[field] = value

    path = save(tmp_path / f"x{suffix}", LABELS.astype(np.uint8), edit=change)
    capfd.readouterr()
    with pytest.raises(DataError, match=rf"x\{suffix} .*{words}"):
        read_mask(path)
    assert capfd.readouterr().err == "", "nibabel has written lines of its own"


def test_a_header_without_directions_is_told(tmp_path: Path):
    def none(header: Any) -> None:
        header["sform_code"] = header["qform_code"] = 0

    (note,) = open_image(save(tmp_path / "x.nii", LABELS.astype(np.uint8), edit=none)).notes
    assert note.startswith(f"{tmp_path / 'x.nii'} does not tell where its axes go")
    affine = read_geometry(tmp_path / "x.nii").to_ras()
    assert np.allclose(np.sign(np.diag(affine))[:3], (-1, 1, 1)), "to the left, the front and the head"


@pytest.mark.parametrize(
    ("value", "words"), [(np.nan, "NaN"), (0.5, "fractions, such as 0.5"), (-1, "label -1"), (70000, "label 70000")]
)
def test_what_is_no_label(tmp_path: Path, value: float, words: str):
    array = LABELS.astype(np.float32)
    array[1, 2, 3] = value
    with pytest.raises(DataError, match=words):
        read_mask(save(tmp_path / "x.nii.gz", array))


@pytest.mark.parametrize("keep", [0, 10, 200, -20, -1])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_truncated_files_are_one_line(tmp_path: Path, keep: int, suffix: str):
    noise = np.random.default_rng(0).integers(0, 9, (20, 20, 20), np.uint8)
    path = save(tmp_path / f"x{suffix}", noise)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"x\.nii") as caught:
        read_mask(path)
    assert "\n" not in str(caught.value)


def test_a_flipped_bit_is_noticed(tmp_path: Path):
    path = save(tmp_path / "x.nii.gz", np.random.default_rng(0).integers(0, 9, (20, 20, 20), np.uint8))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.nii\.gz is damaged"):
        read_mask(path)


def test_other_files_under_its_name(tmp_path: Path):
    for content in (b"not a volume at all" * 50, gzip.compress(b"nor this" * 100)):
        (tmp_path / "x.nii.gz").write_bytes(content)
        with pytest.raises(DataError, match=r"x\.nii\.gz is (damaged|not a NIfTI file)"):
            read_geometry(tmp_path / "x.nii.gz")
    with pytest.raises(DataError, match=r"cannot read .*none\.nii\.gz: No such file"):
        read_geometry(tmp_path / "none.nii.gz")


def test_a_header_that_promises_too_much_is_refused_before_decoding(tmp_path: Path):
    def huge(header: Any) -> None:
        header["dim"][1:4] = 30000

    with pytest.raises(DataError, match="30000×30000×30000 voxels, above the limit"):
        open_image(save(tmp_path / "x.nii.gz", LABELS.astype(np.uint8), edit=huge))


def test_the_extra_is_named_where_nibabel_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = save(tmp_path / "x.nii.gz", LABELS.astype(np.uint8))
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(DataError, match=r"pip install nibabel"):
        read_mask(path)


def test_geometry_is_compared_in_millimeters(tmp_path: Path):
    here = save(tmp_path / "a.nii.gz", LABELS.astype(np.uint8))
    moved = np.diag([2.0, 3, 4, 1])
    moved[0, 3] = 0.02
    check_same_grid(here, save(tmp_path / "near.nii.gz", LABELS.astype(np.uint8), affine=moved))
    moved[0, 3] = 5
    with pytest.raises(DataError, match=r"a\.nii\.gz and .*far\.nii\.gz have the same shape but lie up to 5 mm apart"):
        check_same_grid(here, save(tmp_path / "far.nii.gz", LABELS.astype(np.uint8), affine=moved))
    flipped = np.diag([-2.0, 3, 4, 1])
    flipped[0, 3] = 2
    with pytest.raises(DataError, match="up to 2 mm apart"):
        check_same_grid(here, save(tmp_path / "f.nii.gz", LABELS.astype(np.uint8), affine=flipped))
    with pytest.raises(DataError, match=r"a\.nii\.gz has 2×3×4 voxels but .*b\.nii\.gz has 2×3×5"):
        check_same_grid(here, save(tmp_path / "b.nii.gz", np.zeros((2, 3, 5), np.uint8)))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_written_mask_lies_where_its_image_lies(tmp_path: Path, suffix: str):
    turn = np.array([[0, -3.0, 0, 7], [2, 0, 0, -8], [0, 0, 4, 9], [0, 0, 0, 1]])
    image = nib.Nifti1Image(LABELS.astype(np.float32) / 7, turn)
    image.header.set_sform(turn, 2)
    image.header.set_qform(turn, 1)
    image.header["cal_max"] = 5
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"patient name"))
    image.header["descrip"] = image.header["aux_file"] = image.header["db_name"] = b"patient name"
    nib.save(image, tmp_path / "image.nii.gz")
    mask = (LABELS == 2).astype(np.uint8)
    write_mask(tmp_path / f"mask{suffix}", mask, like=open_image(tmp_path / "image.nii.gz"))
    back = nib.load(tmp_path / f"mask{suffix}")
    assert np.array_equal(np.asanyarray(back.dataobj), mask)
    assert back.get_data_dtype() == np.uint8
    assert (int(back.header["sform_code"]), int(back.header["qform_code"])) == (2, 1)
    assert np.allclose(back.header.get_sform(), turn)
    assert np.allclose(back.header.get_qform(), turn, atol=1e-5)
    assert back.header["cal_max"] == 0
    assert back.header.get_intent()[0] == "label"
    assert not back.header.extensions
    assert not any(back.header[text].item() for text in ("descrip", "aux_file", "db_name"))
    check_same_grid(tmp_path / f"mask{suffix}", tmp_path / "image.nii.gz")
    assert [path.name for path in tmp_path.glob(".*")] == [], "no temporary file is left"


def test_masks_that_do_not_fit_are_not_written(tmp_path: Path):
    image = save(tmp_path / "image.nii.gz", LABELS.astype(np.uint8))
    for mask in (LABELS.astype(np.int64), np.zeros((2, 3, 5), np.uint8)):
        with pytest.raises(ValueError, match=r"a volume to write (is uint8|has the shape)"):
            write_mask(tmp_path / "mask.nii.gz", mask, like=open_image(image))


@pytest.mark.parametrize(
    ("name", "stem"), [("a.nii.gz", "a"), ("a.b.nii", "a.b"), ("a.png", "a"), ("A.NII.GZ", "A"), ("a.b.tif", "a.b")]
)
def test_names_lose_their_whole_suffix(name: str, stem: str):
    assert file_stem(Path(name)) == stem


def test_real_label_volumes_have_few_labels_and_their_images_geometry(shared_data: Path):
    masks = sorted((shared_data / "MSD-Hippocampus" / "masks").glob("*.nii.gz"))
    assert masks
    for mask in masks:
        assert set(np.unique(read_mask(mask))) <= {0, 1, 2}
        check_same_grid(mask, mask.parents[1] / "images" / mask.name)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_slice_is_cut_without_copying_the_volume(axis: int, order: str):
    voxels = np.asarray(np.arange(60**3, dtype=np.int32).reshape(60, 60, 60), order=order)  # type: ignore[call-overload]
    tracemalloc.start()
    try:
        plane = plane_of(voxels, axis, 7)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.array_equal(plane, voxels.take(7, axis))
    assert plane.flags.c_contiguous
    assert peak < 2 * plane.nbytes
