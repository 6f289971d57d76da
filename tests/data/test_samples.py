"""One view of slice folders, NIfTI volumes and plain pictures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from delineate.common.errors import DataError
from delineate.data.cache.cache import open_cache
from delineate.data.cache.store import Store
from delineate.data.cases import volume_facts
from delineate.data.cases.volumes import widest
from delineate.data.core.input_spec import InputSpec
from delineate.data.formats.registry import open_image
from delineate.data.layouts.discover import VOLUMES
from delineate.data.loading.samples import SINGLE, open_samples
from small_volumes import reorder

pytest.importorskip("nibabel")
Writer = Callable[..., Path]


def test_slice_names_become_stacks(slice_folder: Path) -> None:
    slices = open_samples(slice_folder)
    assert len(slices.stacks) == 10
    assert len(slices) == 70
    stack = slices.stacks[0]
    assert (stack.volume, stack.group, stack.split) == ("patient000_frame01", "patient000", "train")
    assert [one.name for one in stack.slices] == [f"patient000_frame01_slice_{at:02d}" for at in range(7)]
    assert stack.holding(1) == (1, 2, 3, 4, 5, 6)
    assert stack.holding(2) == (2, 3, 4, 5)
    assert stack.holding(3) == (5, 6)
    for one in stack.slices:
        mask = slices.mask(one)
        assert dict(one.pixels) == {
            label: int((mask == label).sum()) for label in slices.labels if (mask == label).any()
        }
        assert slices.image(one).shape == mask.shape


def test_parts_and_seal(slice_folder: Path) -> None:
    slices = open_samples(slice_folder)
    training, sealed = slices.split("train"), slices.sealed()
    assert {stack.split for stack in training.stacks} == {"train"}
    assert {case.split for case in sealed.manifest.cases} == {"train", "val"}
    assert sealed.census.facts.keys() == {case.id for case in sealed.manifest.cases}
    with pytest.raises(DataError, match="no volume 'patient009_frame01'"):
        sealed.stack("patient009_frame01")


def test_a_rule_of_ones_own_and_single_pictures(slice_folder: Path) -> None:
    by_patient = open_samples(slice_folder, stack=r"(?P<volume>patient\d+)_frame01_slice_(?P<slice>\d+)")
    assert by_patient.stacks[0].volume == "patient000"
    single = open_samples(slice_folder, stack=SINGLE)
    assert len(single.stacks) == 70
    assert single.stacks[3].group == "patient000"


def test_bare_numbers_are_no_slices(tmp_path: Path) -> None:
    """`phantom_0001` is a picture, not slice 1 of one volume that all splits share."""
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        for number in range(12):
            picture = np.eye(8, dtype=np.uint8) * (255 if name == "masks" else 100 + number)
            cv2.imwrite(str(tmp_path / name / f"phantom_{number:04d}.png"), picture)
    assert len(open_samples(tmp_path).stacks) == 12


def test_a_volume_in_two_splits_is_refused(make_slices: Writer, tmp_path: Path) -> None:
    folder = make_slices(tmp_path / "data", patients=5)
    lines = (folder / "train.txt").read_text().split()
    (folder / "train.txt").write_text("\n".join(lines[1:]))
    (folder / "val.txt").write_text("\n".join([lines[0], *(folder / "val.txt").read_text().split()]))
    with pytest.raises(DataError, match="are of one volume, 'patient000_frame01', but in two splits"):
        open_samples(folder)


def test_volumes(volume_folder: Path, tmp_path: Path) -> None:
    slices = open_samples(volume_folder, cache_folder=tmp_path)
    assert slices.axis == 2
    assert len(slices.stacks) == 6
    assert slices.manifest.layout == VOLUMES
    stack = slices.stacks[1]
    assert (stack.volume, len(stack.slices)) == ("case_01", 7)
    for one in stack.slices:
        mask, image = slices.mask(one), slices.image(one)
        assert dict(one.pixels) == {
            label: int((mask == label).sum()) for label in slices.labels if (mask == label).any()
        }
        assert image.dtype == np.uint8
    voxels = open_image(volume_folder / "images" / "case_01.nii.gz").read()
    low, high = np.percentile(voxels, (0.5, 99.5))
    expected = np.clip((voxels[..., 3] - low) / (high - low), 0, 1) * 255
    assert np.abs(slices.image(stack.slices[3]) - expected).max() <= 0.51
    assert {stack.split for stack in slices.stacks} == {"train", "val", "test"}


@pytest.mark.parametrize("fit", ["stretch", "letterbox", "patch"])
def test_own_values_are_those_of_the_file(make_volumes: Writer, tmp_path: Path, fit: Any) -> None:
    folder = make_volumes(tmp_path / "data", patients=3)
    plain = open_samples(folder, cache_folder=tmp_path)
    own = plain.with_numbers("own")
    name, one = plain.stacks[1].volume, plain.stacks[1].slices[3]
    voxels = np.asarray(open_image(folder / "images" / f"{name}.nii.gz").read())[..., 3]
    assert own.image(one).dtype == np.float32
    assert np.array_equal(own.image(one), voxels)
    assert plain.image(one).dtype == np.uint8
    spec = InputSpec(channels="gray", size=(30, 44), fit=fit, intensity="window", window_level=900, window_width=2000)
    store = Store.at(tmp_path / "cache")
    cache = open_cache(own.manifest, own.samples, spec, store, axis=own.axis)
    at = own.samples.index(one)
    assert cache.image(at).dtype == np.float32
    assert np.array_equal(cache.image(at), spec.working_pixels(own.image(one)))
    if fit == "patch":
        assert np.allclose(spec.to_unit(cache.image(at))[..., 0], np.clip((voxels + 100) / 2000, 0, 1), atol=1e-6)
    byte = open_cache(
        own.manifest, own.samples, InputSpec(channels="gray", size=(30, 44), fit=fit), store, axis=own.axis
    )
    assert byte.image(at).dtype == np.uint8, "another entry"


def test_the_slice_axis_is_the_coarsest_or_given(make_volumes: Writer, tmp_path: Path) -> None:
    folder = make_volumes(tmp_path / "data", patients=3, axis=0)
    slices = open_samples(folder, cache_folder=tmp_path)
    assert slices.axis == 0
    assert len(slices.stacks[0].slices) == 7
    assert slices.manifest.cases[0].spacing == (5.0, 1.0, 1.0)
    assert len(open_samples(folder, axis=1, cache_folder=tmp_path).stacks[0].slices) == 48
    assert widest([(1.0, 1.0, 1.0)], [(9, 9, 9)]) == 2
    thin = [(1.0, 1.0, 0.3)] * 2
    assert widest(thin, [(9, 9, 1), (8, 9, 1)]) == 2, "slices as thin as may be are not cut across"
    assert widest(thin, [(9, 9, 9), (8, 9, 9)]) == 1


def test_an_axis_of_pictures_is_refused(slice_folder: Path) -> None:
    with pytest.raises(DataError, match="holds no volumes"):
        open_samples(slice_folder, axis=2)


def test_the_index_is_kept_and_mended(volume_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_samples(volume_folder, cache_folder=tmp_path)
    files = sorted(tmp_path.rglob("slices/*.json"))
    assert files
    files[0].write_text("broken")
    second = open_samples(volume_folder, cache_folder=tmp_path)
    assert second.stacks == first.stacks
    assert json.loads(files[0].read_text())
    monkeypatch.setattr(volume_facts, "_counted", lambda *_: pytest.fail("decoded again"))
    assert open_samples(volume_folder, cache_folder=tmp_path).stacks == first.stacks


def test_a_saved_manifest_opens_the_same_volumes(make_volumes: Writer, tmp_path: Path) -> None:
    folder = make_volumes(tmp_path / "data", patients=4)
    first = open_samples(folder, seed=3, cache_folder=tmp_path)
    first.manifest.save(tmp_path / "manifest.json")
    again = open_samples(tmp_path / "manifest.json", seed=9, cache_folder=tmp_path)
    assert again.manifest == first.manifest
    assert again.stacks == first.stacks
    shutil.copy(folder / "masks" / "case_01.nii.gz", folder / "masks" / "case_02.nii.gz")
    with pytest.raises(DataError, match=r"case_02\.nii\.gz is not the file that the manifest was made from"):
        open_samples(tmp_path / "manifest.json", cache_folder=tmp_path)


def test_a_volume_without_labels(make_volumes: Writer, tmp_path: Path) -> None:
    folder = make_volumes(tmp_path / "data", patients=4)
    (folder / "masks" / "case_02.nii.gz").unlink()
    with pytest.raises(DataError, match=r"1 of 4 images .* without mask: case_02"):
        open_samples(folder, cache_folder=tmp_path)


@pytest.mark.data
def test_real_sets(shared_data: Path, tmp_path: Path) -> None:
    """Counts as the sets' own pages state them."""
    acdc = open_samples(shared_data / "ACDC-slices")
    assert len(acdc) == 588
    assert [len(acdc.split(name)) for name in ("train", "val", "test")] == [396, 100, 92]
    assert not {stack.group for stack in acdc.split("train").stacks} & {s.group for s in acdc.split("val").stacks}
    hippocampus = open_samples(shared_data / "MSD-Hippocampus", cache_folder=tmp_path)
    assert [len(hippocampus.split(name).stacks) for name in ("train", "val", "test")] == [54, 6, 12]


@pytest.mark.parametrize(
    ("axes", "flips"), [((2, 0, 1), ()), ((0, 1, 2), (0, 1)), ((1, 0, 2), (2,)), ((2, 1, 0), (0, 2))]
)
def test_volumes_are_seen_alike_whatever_the_order_of_their_voxels(
    make_volumes: Writer, tmp_path: Path, axes: tuple[int, int, int], flips: tuple[int, ...]
) -> None:
    plain = open_samples(make_volumes(tmp_path / "plain", patients=4), cache_folder=tmp_path)
    folder = make_volumes(tmp_path / "turned", patients=4)
    reorder(folder, "case_02", axes, flips)
    found = open_samples(folder, cache_folder=tmp_path)
    assert found.axis == plain.axis
    for one, other in zip(plain.stacks, found.stacks, strict=True):
        assert [(each.name, each.pixels, each.size) for each in one.slices] == [
            (each.name, each.pixels, each.size) for each in other.slices
        ]
        assert one.slices[0].case.spacing == pytest.approx(other.slices[0].case.spacing)
        for first, second in zip(one.slices, other.slices, strict=True):
            assert np.array_equal(plain.mask(first), found.mask(second))
            assert np.array_equal(plain.image(first), found.image(second))


def test_volumes_with_a_picture_in_common_are_one_group(make_slices: Writer, tmp_path: Path) -> None:
    folder = make_slices(tmp_path / "data", patients=5)
    images = sorted((folder / "images").iterdir())
    first = open_samples(folder)
    one, other = (
        next(stack for stack in first.stacks if stack.group == group) for group in ("patient000", "patient001")
    )
    source, copy = (folder / stack.slices[0].case.images[0] for stack in (one, other))
    copy.write_bytes(source.read_bytes())
    for name in ("train", "val", "test"):
        (folder / f"{name}.txt").unlink()
    joined = open_samples(folder)
    groups = {stack.volume: stack.group for stack in joined.stacks}
    assert groups[one.volume] == groups[other.volume] == "patient000"
    assert len({stack.split for stack in joined.stacks if stack.group == "patient000"}) == 1
    assert len(set(groups.values())) == 4
    assert len(images) == len(joined)
