"""Folders of .npz slices and HDF5 volumes, from headers to scores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from delineate.common.errors import DataError
from delineate.data.cases.pixels import case_image, case_mask
from delineate.data.core.manifest import Manifest
from delineate.data.doctor.check import check
from delineate.data.doctor.fix import write_fixed
from delineate.data.formats.archives import Address, as_pixels, read_plane
from delineate.data.formats.images import decode_image, read_content
from delineate.data.formats.registry import read_image, read_mask
from delineate.data.layouts.discover import discover, recognize
from delineate.data.loading.open_data import open_data
from delineate.report.pages.data_check import write_data_report

Write = Callable[..., Path]


def pixels(*shape: int, seed: int = 0, low: float = 0.0, dtype: type = np.float32) -> np.ndarray:
    """Floats that reach both ends of low … 1."""
    image = np.random.default_rng(seed).uniform(low, 1, shape).astype(dtype)
    image.flat[0], image.flat[1] = low, 1
    return image


def labels(*shape: int, top: int = 2) -> np.ndarray:
    label = np.zeros(shape, np.float32)
    label[..., 2:6, 2:6] = 1
    label[..., 6:9, 6:9] = top
    return label


@pytest.fixture
def packed(tmp_path: Path) -> Write:
    """packed(relative, image, label, names): a .npz or HDF5 file with two arrays."""

    def write(
        relative: str, image: np.ndarray, label: np.ndarray | None, names: tuple[str, str] = ("image", "label")
    ) -> Path:
        path = tmp_path / "set" / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {names[0]: image} | ({} if label is None else {names[1]: label})
        if path.suffix == ".npz":
            np.savez(path, **arrays)
        else:
            h5py = pytest.importorskip("h5py")
            with h5py.File(path, "w") as file:
                for name, array in arrays.items():
                    file.create_dataset(name, data=array, compression="gzip")
        return tmp_path / "set"

    return write


@pytest.fixture
def synapse(packed: Write) -> Path:
    """Five patients of four training slices and one volume of three, as TransUNet keeps them, but small."""
    for patient in range(5, 10):
        for number in range(4):
            root = packed(
                f"train_npz/case{patient:04}_slice{number:03}.npz",
                pixels(12, 16, seed=patient * 9 + number),
                labels(12, 16),
            )
    packed("test_vol_h5/case0001.npy.h5", pixels(3, 12, 16, seed=77), labels(3, 12, 16))
    lists = root / "lists" / "lists_Synapse"
    lists.mkdir(parents=True)
    names = [f"case{patient:04}_slice{number:03}" for patient in range(5, 10) for number in range(4)]
    (lists / "train.txt").write_text("\n".join(names[:-1]))
    (lists / "test_vol.txt").write_text("case0001\n")
    (lists / "all.lst").write_text("case0001.npy.h5\n")
    return root


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a/train_npz/case0005_slice000.npz#image", "case0005_slice000"),
        ("test_vol_h5/case0001.npy.h5#label.17", "case0001_slice_017"),
        ("x/p.1.hdf5#img.3@signed", "p.1_slice_003"),
        ("x#y/case.h5#image@signed", "case"),
    ],
)
def test_addresses_are_read_as_they_are_written(text: str, name: str) -> None:
    address = Address.parse(Path(text))
    assert address is not None
    assert str(address) == text
    assert address.name == name


@pytest.mark.parametrize("text", ["images/a.png", "a.npz", "a#b.png", "x.h5#", "case.npz#a/b"])
def test_paths_are_no_addresses(text: str) -> None:
    assert Address.parse(text) is None


def test_slices_and_volumes_become_cases(synapse: Path) -> None:
    manifest, census = open_data(synapse)
    assert (manifest.layout, manifest.classes.names) == (
        "packed slices and volumes",
        ("background", "label 1", "label 2"),
    )
    assert manifest.split_origin.startswith("files; val seeded")
    assert [case.id for case in manifest.split("test")] == [f"case0001_slice_00{number}" for number in range(3)]
    assert {case.group for case in manifest.cases} == {f"case000{number}" for number in (1, 5, 6, 7, 8, 9)}
    assert [case.id for case in manifest.cases if case.split is None] == ["case0009_slice003"]
    assert (census.bits, set(census.sizes)) == (16, {(12, 16)})


def test_pixels_are_sixteen_bit_fractions(synapse: Path) -> None:
    manifest, _ = open_data(synapse)
    whole = pixels(3, 12, 16, seed=77).astype(np.float64)
    for number, case in enumerate(manifest.split("test")):
        assert np.array_equal(case_image(manifest, case), np.rint(whole[number] * 65535))
        assert np.array_equal(case_mask(manifest, case), labels(12, 16))


def test_a_manifest_knows_its_pictures_again(synapse: Path, tmp_path: Path, packed: Write) -> None:
    open_data(synapse)[0].save(tmp_path / "m.json")
    assert open_data(tmp_path / "m.json")[0] == Manifest.load(tmp_path / "m.json")
    packed("test_vol_h5/case0001.npy.h5", pixels(3, 12, 16, seed=78), labels(3, 12, 16))
    with pytest.raises(DataError, match=r"case0001\.npy\.h5#image\.0 is not the file"):
        open_data(tmp_path / "m.json")


def test_folders_tell_the_splits_where_no_list_does(packed: Write) -> None:
    for split, patient in (("train", 1), ("train", 2), ("valid", 3)):
        root = packed(
            f"{split}/case_{patient:03}_sliceED_0.npz", pixels(12, 12, seed=patient), labels(12, 12), ("img", "label")
        )
    packed("test/case_002_volume_ED.npz", pixels(2, 12, 12), labels(2, 12, 12), ("img", "label"))
    manifest = discover(root)
    assert {case.id: (case.split, case.group) for case in manifest.cases} == {
        "case_001_sliceED_0": ("train", "case_001"),
        "case_002_sliceED_0": ("train", "case_002"),
        "case_002_volume_ED_slice_000": ("test", "case_002"),
        "case_002_volume_ED_slice_001": ("test", "case_002"),
        "case_003_sliceED_0": ("val", "case_003"),
    }
    assert np.array_equal(
        read_mask(manifest.path(manifest.split("test")[1].masks[0])), labels(12, 12)
    )  # a volume in .npz too


def test_signed_fractions_hold_for_the_whole_set(packed: Write) -> None:
    images = [pixels(12, 12, seed=1, low=-1), pixels(12, 12, seed=2)]
    for number, image in enumerate(images):
        root = packed(f"s{number}.npz", image, labels(12, 12))
    match = recognize(root)
    assert any(
        "from -1 to 1 in the 2 pictures looked at; read as 16-bit numbers, -1…1" in one.text for one in match.findings
    )
    for case, image in zip(match.cases, images, strict=True):
        assert np.array_equal(read_image(root / case.images[0]), np.rint((image.astype(np.float64) + 1) / 2 * 65535))


def test_bytes_stay_bytes(packed: Write) -> None:
    image = np.arange(144, dtype=np.uint8).reshape(12, 12)
    root = packed("a.npz", image, labels(12, 12))
    case = recognize(root).cases[0]
    assert np.array_equal(read_image(root / case.images[0]), image)
    assert read_image(root / case.images[0]).dtype == np.uint8


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.full((4, 4), 1.5), r"values from 1.5 to 1.5, but floats are read as fractions from 0 to 1"),
        (np.array([[0.5, -0.2]]), r"values from -0.2 to 0.5, but floats are read as fractions from 0 to 1"),
        (np.array([[0.5, np.nan]]), "not numbers"),
    ],
)
def test_floats_out_of_their_range_are_refused(image: np.ndarray, words: str) -> None:
    with pytest.raises(DataError, match=words):
        as_pixels(image, Path("a.npz#image"))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_no_numbers_are_refused_with_their_file(packed: Write, value: float) -> None:
    image = pixels(12, 12) / 300
    image[3, 4] = value
    root = packed("odd.npz", image, labels(12, 12))
    (case,) = discover(root).cases
    with pytest.raises(DataError, match=r"odd\.npz#image.* has pixels that are not numbers"):
        read_image(root / case.images[0])


def test_a_little_beyond_the_range_is_clipped() -> None:
    assert as_pixels(np.array([[-1e-4, 1 + 1e-4]]), Path("a.npz#image")).tolist() == [[0, 65535]]


@pytest.mark.parametrize(
    ("image", "label", "words"),
    [
        (pixels(8, 8) * 300, labels(12, 12)[:8, :8], "which are no fractions"),
        (pixels(8, 8), None, r"holds image; expected an image .* and label"),
        (pixels(8, 8), labels(12, 12), r"'image' is 8×8 but 'label' is 12×12"),
        (pixels(2, 2, 8, 8), labels(12, 12), r"'image' has 4 axes \(2×2×8×8\)"),
    ],
)
def test_faults_are_named(packed: Write, image: np.ndarray, label: np.ndarray | None, words: str) -> None:
    with pytest.raises(DataError, match=words):
        discover(packed("a.npz", image, label))


def test_damaged_files_are_named(packed: Write) -> None:
    root = packed("a.npz", pixels(8, 8), labels(12, 12)[:8, :8])
    content = (root / "a.npz").read_bytes()
    (root / "a.npz").write_bytes(content[: len(content) // 2])
    (root / "b.npz").write_bytes(b"")
    texts = [finding.text for finding in recognize(root).findings]
    assert any("a.npz is damaged or truncated" in text for text in texts)
    assert any("b.npz is empty" in text for text in texts)
    with pytest.raises(DataError, match=r"cannot read .*: No such file"):
        read_plane(Address(root / "c.npz", "image"))


def test_what_is_not_there_is_named(packed: Write) -> None:
    root = packed("v.npz", pixels(3, 8, 8), labels(3, 12, 12)[:, :8, :8])
    with pytest.raises(DataError, match="no array 'x', only image, label"):
        read_content(root / "v.npz#x")
    with pytest.raises(DataError, match=r"no slice 3 of 'image' \(3×8×8\)"):
        read_content(root / "v.npz#image.3")


def test_objects_are_never_loaded(packed: Write) -> None:
    root = packed("a.npz", np.array([[{}]], object), None)
    with pytest.raises(DataError, match="damaged or truncated"):
        read_plane(Address(root / "a.npz", "image"))


def test_hdf5_needs_h5py(packed: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    root = packed("a.h5", pixels(8, 8), labels(12, 12)[:8, :8])
    monkeypatch.setattr("delineate.data.formats.archives.import_module", lambda name: __import__("no_" + name))
    with pytest.raises(DataError, match=r"pip install h5py"):
        discover(root)


def test_check_says_how_the_set_is_read(synapse: Path) -> None:
    report = check(synapse)
    assert report.usable, report.findings
    said = " ".join(str(finding) for finding in report.findings)
    assert "images are floats, from 0 to 1 in the 16 pictures looked at; read as 16-bit numbers, 0…1 → 0…65535" in said
    assert "1 volume of 3 slices, counted along the first axis: 3 cases" in said


def test_volumes_with_their_slices_last_are_suspected(packed: Write) -> None:
    volume = np.zeros((12, 12, 5), np.float32)
    warnings = [
        one.text for one in recognize(packed("case1.npz", volume, volume)).findings if one.severity == "warning"
    ]
    assert warnings == ["1 volume looks as if the last axis counted slices: case1.npz"]


def test_the_page_shows_packed_pictures_and_those_without_masks(synapse: Path, packed: Write, tmp_path: Path) -> None:
    packed("unlabeled/case0020_slice000.npz", pixels(12, 16, seed=99), None)
    report = check(synapse)
    assert report.usable
    assert report.manifest is not None
    bare = [case for case in report.manifest.cases if not case.masks]
    assert [(case.id, case.split, case.group) for case in bare] == [("case0020_slice000", "train", "case0020")]
    assert "without masks" in write_data_report(report, tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_clean_copy_has_files_of_its_own(synapse: Path, tmp_path: Path) -> None:
    fixed = write_fixed(check(synapse), tmp_path / "clean")
    copy, _ = open_data(fixed.folder)
    source, _ = open_data(synapse)
    assert [case.id for case in copy.split("test")] == [case.id for case in source.split("test")]
    for one, other in zip(copy.split("test"), source.split("test"), strict=True):
        assert np.array_equal(case_image(copy, one), case_image(source, other))
        assert np.array_equal(case_mask(copy, one), case_mask(source, other))


def test_real_files(shared_data: Path, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    root = tmp_path / "set"
    for target, source in (("training_slices/patient001", "slice_5"), ("test_volumes/patient002", "volume")):
        path = root / f"{target}_frame01_{source}.h5"
        path.parent.mkdir(parents=True)
        path.symlink_to(shared_data / "IO-samples" / f"acdc_patient001_frame01_{source}.h5")
    manifest = discover(root)
    test = manifest.split("test")
    assert (len(manifest.split("train")), len(test)) == (1, 10)
    with h5py.File(shared_data / "IO-samples" / "acdc_patient001_frame01_volume.h5") as file:
        image, label = file["image"][4], file["label"][4]
    read = read_image(manifest.path(test[4].images[0]))
    assert np.abs(read / 65535 - image).max() <= 0.5 / 65535 + 1e-7
    assert np.array_equal(read_mask(manifest.path(test[4].masks[0])), label)
    content = read_content(manifest.path(test[4].images[0]))
    assert np.array_equal(decode_image(content, Path("x.png")), read)


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
@pytest.mark.parametrize(
    ("image", "label"),
    [
        ((12, 10), (12, 10)),
        ((12, 10, 1), (12, 10)),
        ((12, 10, 1), (12, 10, 1)),
        ((12, 10), (12, 10, 1)),
        ((1, 12, 10), (12, 10)),
        ((12, 10), (1, 12, 10)),
        ((1, 12, 10, 1), (12, 10)),
        ((12, 10, 3), (12, 10, 1)),
        ((1, 12, 10, 3), (1, 12, 10)),
        ((1, 12, 10, 3), (12, 10)),
    ],
)
def test_a_picture_may_have_axes_of_length_one(
    packed: Write, suffix: str, image: tuple[int, ...], label: tuple[int, ...]
) -> None:
    plane = labels(12, 10)
    for number in range(4):
        root = packed(f"case{number}{suffix}", pixels(*image, seed=number), plane.reshape(label))
    manifest, census = open_data(root)
    assert [case.id for case in manifest.cases] == ["case0", "case1", "case2", "case3"]
    case = manifest.cases[0]
    assert (census.facts["case0"].height, census.facts["case0"].width) == (12, 10)
    assert case_image(manifest, case).shape == ((12, 10, 3) if 3 in image else (12, 10))
    mask = case_mask(manifest, case)
    assert mask is not None
    assert np.array_equal(mask, plane)


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
@pytest.mark.parametrize("depth", [1, 4])
def test_volumes_may_have_a_channel_axis(packed: Write, suffix: str, depth: int) -> None:
    marked = labels(depth, 12, 10)
    for number in range(4):
        root = packed(f"case{number}{suffix}", pixels(depth, 12, 10, 1, seed=number), marked)
    packed(f"case4{suffix}", pixels(12, 10), labels(12, 10))
    manifest, _ = open_data(root)
    first = [case for case in manifest.cases if case.id.startswith("case0")]
    assert [case.id for case in first] == [f"case0_slice_{at:03d}" for at in range(depth)]
    for at, case in enumerate(first):
        mask = case_mask(manifest, case)
        assert mask is not None
        assert np.array_equal(mask, marked[at])
        assert case_image(manifest, case).shape == (12, 10)
