"""Setting 2 on made-up volumes in which the leaking reading ("all of the classes") would keep nearly everything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from delineate.common.errors import DataError
from delineate.data.core.manifest import Case
from delineate.data.core.samples import Sample
from delineate.data.loading.samples import SampleSet, open_samples
from delineate.fewshot.exclusion import allowed, excluded

Writer = Callable[..., Path]
LABELED = Case(id="one", images=("one.png",), masks=("one.png",))


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory, make_slices: Writer) -> SampleSet:
    """90 training slices: label 1 in all but the first of each volume, label 2 in six of nine, label 3 in two; one has all."""
    return open_samples(make_slices(tmp_path_factory.mktemp("many"), patients=14, depth=9)).split("train")


def test_a_slice_with_any_excluded_class_goes(training: SampleSet) -> None:
    kept = allowed(training, [2, 3], least=1)
    for (_, one), stays in zip(training, kept, strict=True):
        mask = training.mask(one)
        assert stays == (not ((mask == 2) | (mask == 3)).any())
    assert sum(kept) == 20


def test_the_leaking_reading_would_have_kept_them(training: SampleSet) -> None:
    """Combined by "and", setting 2 leaves every organ in training: eight of nine slices stay, and most of them show one."""
    labels = [1, 2, 3]
    leaking, kept = allowed(training, labels, "legacy_all", least=1), allowed(training, labels, least=1)
    masks = [training.mask(one) for _, one in training]
    assert sum(leaking) == 80
    assert sum(bool(mask.any()) for mask, stays in zip(masks, leaking, strict=True) if stays) == 70
    assert sum(kept) == 10
    assert not any(mask.any() for mask, stays in zip(masks, kept, strict=True) if stays)


def test_too_few_slices_are_refused_with_their_number(training: SampleSet) -> None:
    assert sum(allowed(training, [3])) == 70
    with pytest.raises(
        DataError, match=r"without label 1, label 3, 10 slices of 90 would be left .* label 1 10, label 3 70$"
    ):
        allowed(training, [1, 3])
    with pytest.raises(
        DataError, match=r"without label 2, 30 slices of 90 would be left to train on, and 50 are needed"
    ):
        allowed(training, [2])


def test_nothing_excluded_keeps_everything(training: SampleSet) -> None:
    assert allowed(training, []) == (True,) * 90


def test_a_slice_without_mask_might_hold_anything() -> None:
    bare = Sample(LABELED.model_copy(update={"masks": ()}))
    assert excluded(bare, [1])
    assert not excluded(bare, [])
    assert not excluded(Sample(LABELED), [1])


@pytest.mark.data
def test_what_is_left_of_real_slices(shared_data: Path) -> None:
    """Counts known beforehand: of 396 training slices 73 without the right ventricle, 16, 19, and 15 without any structure."""
    training = open_samples(shared_data / "ACDC-slices").split("train")
    assert [sum(allowed(training, [label], least=1)) for label in (1, 2, 3)] == [73, 16, 19]
    assert sum(allowed(training, [1, 2, 3], least=1)) == 15
    with pytest.raises(DataError, match="15 slices of 396"):
        allowed(training, [1, 2, 3])
