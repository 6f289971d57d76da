"""Probabilities of slices across all three axes, averaged on the volume's grid."""

from __future__ import annotations

import tempfile
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from delineate.artefact.format import Artefact
from delineate.common.errors import DataError, DelineateError
from delineate.data.cases.volumes import as_numbers, opened
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.data.formats.contract import slab_of
from delineate.inference import axes_average as module
from delineate.inference.axes_average import AxesAverage
from delineate.inference.executors import Serial
from delineate.inference.files import predict_files
from delineate.inference.predictor import Predictor
from micro_method import Micro, MicroOptions, brightness

nib = pytest.importorskip("nibabel")
SHAPE = (7, 6, 5)
FOUR = ClassTable(names=("background", "a", "b", "c"))


def make(classes: int = 1, **spec: object) -> Predictor:
    details = InputSpec(size=(4, 4), channels="gray", axis=2, **spec)  # type: ignore[arg-type]
    table = ClassTable() if classes == 1 else FOUR
    return Predictor(Artefact(brightness(classes, 1), details, table), "cpu")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A volume whose file goes along other axes than the canonical ones, and backwards."""
    voxels = np.random.default_rng(0).integers(-500, 1500, SHAPE).astype(np.int16)
    affine = np.diag([-1.0, 2.0, 3.0, 1.0])[:, [2, 0, 1, 3]]
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "v.nii.gz"
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return path


def by_hand(predictor: Predictor, image: Path) -> np.ndarray:
    """Mean probabilities X×Y×Z×channels in the order of the file, slice by slice through the public predictor."""
    volume = opened([image])
    voxels = as_numbers(volume, "bytes")
    total = np.zeros((*voxels.shape, predictor.classes.outputs))
    for axis in range(3):
        for index in range(voxels.shape[axis]):
            slab = np.ascontiguousarray(slab_of(voxels, axis, index, predictor.spec.neighbors))
            np.moveaxis(total, axis, 0)[index] += predictor.probabilities(slab)
    return np.stack([volume.turn.undo(each) for each in np.moveaxis(total / 3, -1, 0)], -1)


@pytest.mark.parametrize("tta", ["flips", "flips+rotations"])
def test_views_and_axes_are_averaged_together(
    image: Path, tmp_path: Path, tta: Literal["flips", "flips+rotations"]
) -> None:
    torch.manual_seed(0)
    details = InputSpec(size=(4, 4), channels="gray", axis=2, all_axes=True)
    artefact = Artefact(Micro(MicroOptions(), classes=1, in_channels=1).eval(), details, ClassTable())
    predictor, plain = Predictor(artefact, "cpu", tta=tta), Predictor(artefact, "cpu")
    done = predict_files(predictor, [image], tmp_path / "out", probabilities=True)
    assert [file.error for file in done.files] == [None]
    expected = by_hand(predictor, image)[..., 0]
    found = np.asarray(nib.load(tmp_path / "out/probabilities/v.nii.gz").get_fdata())
    assert np.abs(found - expected).max() < 3 / 65535
    assert np.abs(expected - by_hand(plain, image)[..., 0]).max() > 0.01, "the views differ"


@pytest.mark.parametrize(("classes", "fit"), [(1, "stretch"), (4, "letterbox"), (4, "patch")])
@pytest.mark.parametrize("threads", [False, True])
def test_the_mask_is_decided_by_the_mean_of_the_three_axes(
    image: Path, tmp_path: Path, classes: int, fit: str, threads: bool
) -> None:
    predictor = make(classes, all_axes=True, fit=fit)
    done = predict_files(
        predictor,
        [image],
        tmp_path / "out",
        probabilities=True,
        overlay=True,
        executor=None if threads else Serial(),
    )
    assert [file.error for file in done.files] == [None]
    expected = by_hand(predictor, image)
    maps = sorted((tmp_path / "out" / "probabilities").rglob("v.nii.gz"))
    for channel, path in enumerate(maps):
        assert np.abs(np.asarray(nib.load(path).get_fdata()) - expected[..., channel]).max() < 3 / 65535
    found = np.asarray(nib.load(tmp_path / "out" / "v.nii.gz").dataobj)
    sure = expected[..., 0] if classes == 1 else np.diff(np.sort(expected, -1)[..., -2:])[..., 0]
    clear = np.abs(sure - (0.5 if classes == 1 else 0)) > 1e-4
    decided = expected[..., 0] >= 0.5 if classes == 1 else expected.argmax(-1)
    assert clear.mean() > 0.9
    assert np.array_equal(found[clear], decided[clear])
    one = predict_files(predictor, [image], tmp_path / "one", axis="sagittal")
    alone = np.asarray(nib.load(tmp_path / "one" / "v.nii.gz").dataobj)
    assert one.files[0].error is None
    assert (alone != found).any() == (fit != "patch"), "an axis that is asked for is the only one"
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith("tmp")]


@pytest.mark.parametrize("axis", [2, None])
def test_axes_that_were_not_trained_on_are_refused(image: Path, tmp_path: Path, axis: int | None) -> None:
    details = InputSpec(size=(4, 4), channels="gray", axis=axis)  # type: ignore[arg-type]
    predictor = Predictor(Artefact(brightness(1, 1), details, ClassTable()), "cpu")
    with pytest.raises(DataError, match=r"^--axis all: .* all three axes; leave it out, or train with --axis all$"):
        predict_files(predictor, [image], tmp_path / "out", axis="all")
    assert not (tmp_path / "out").exists()


@given(st.integers(1, 3), st.tuples(*[st.integers(1, 6)] * 3), st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_sums_do_not_depend_on_the_order_of_slices_nor_classes_on_blocks(
    channels: int, shape: tuple[int, int, int], seed: int, block: int
) -> None:
    rng = np.random.default_rng(seed)
    predictor = make(4 if channels > 1 else 1, all_axes=True)
    channels = predictor.classes.outputs
    maps = rng.random((3, channels, *shape), np.float32)
    places = [(axis, index) for axis, index in product(range(3), range(6)) if index < shape[axis]]
    results = []
    with pytest.MonkeyPatch.context() as patch:
        for size in (block, 1 << 20):
            patch.setattr(module, "_BLOCK", size)
            average = AxesAverage(Path(tempfile.gettempdir()), channels, shape)
            for at in rng.permutation(len(places)):
                axis, index = places[at]
                average.add(axis, index, np.moveaxis(maps[axis], axis + 1, 1)[:, index])
            results.append((average.classes(predictor), [average.probabilities(at) for at in range(channels)]))
    (first, ours), (second, theirs) = results
    assert np.array_equal(first, second)
    assert np.array_equal(ours, theirs)
    assert np.abs(np.array(ours) - maps.mean(0)).max() < 1 / 65535


def test_a_full_disk_is_told_before_anything_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, _: bytes) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.tempfile, "TemporaryFile", lambda dir: Full())
    with pytest.raises(DelineateError, match=r"cannot keep probabilities in .*: No space left on device"):
        AxesAverage(tmp_path, 2, SHAPE)
