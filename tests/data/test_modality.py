"""Which volumes are taken for computed tomography, and what is measured in them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from delineate.common.errors import DataError
from delineate.data.core.manifest import Manifest
from delineate.data.core.modality import of_ct, said_of_ct
from delineate.data.doctor.check import check
from delineate.data.doctor.intensities import measure_intensities, taken_for_ct
from delineate.data.loading.open_data import open_data
from small_volumes import as_ct, write_volumes

nibabel = pytest.importorskip("nibabel")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("CT", True),
        ("ct_arterial", True),
        ("CT 1", True),
        ("low-dose CT", True),
        ("CT1", False),
        ("T1CT", False),
        ("PET-CT", False),
        ("CBCT", False),
        ("MR CT", False),
        ("direct", False),
        ("", False),
    ],
)
def test_ct_is_a_word_of_its_own(name: str, said: bool) -> None:
    assert said_of_ct(name) is said


def test_channels_are_judged_together() -> None:
    assert (of_ct(["CT native", "CT venous"]), of_ct(["T1", "T2"]), of_ct(["CT", "PET"])) == (True, False, None)


@pytest.fixture(scope="module")
def ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return as_ct(write_volumes(tmp_path_factory.mktemp("ct") / "set", depth=4))


def opened(folder: Path, cache: Path) -> tuple[Manifest, bool, str]:
    manifest, census = open_data(folder, cache_folder=cache)
    ct, why = taken_for_ct(manifest, census, manifest.split("train"), cache_folder=cache)
    return manifest, ct, why


def test_the_channel_of_a_description_names_the_modality(ct: Path, tmp_path: Path) -> None:
    manifest, said, why = opened(ct, tmp_path)
    assert {case.modality for case in manifest.cases} == {"CT"}
    assert (said, why) == ((0,), "the data name the modality CT, in Hounsfield units")
    (tmp_path / "again.json").write_text(manifest.model_dump_json())
    assert Manifest.load(tmp_path / "again.json").cases == manifest.cases


def test_percentiles_are_those_of_the_labeled_voxels(ct: Path, tmp_path: Path) -> None:
    """By hand, over all training volumes; the second look reads no file."""
    manifest, _, _ = opened(ct, tmp_path)
    cases = manifest.split("train")
    pairs = [
        [np.asarray(nibabel.load(manifest.path(file)).dataobj) for file in (*case.images, *case.masks)]
        for case in cases
    ]
    found = measure_intensities(manifest, cases, cache_folder=tmp_path)
    inside = np.concatenate([image[mask > 0] for image, mask in pairs])
    lows, highs = np.percentile([image.ravel() for image, _ in pairs], (0.5, 99.5), axis=1)
    assert found.labeled == pytest.approx(np.percentile(inside, (0.5, 99.5)))
    assert (found.lows, found.highs) == (
        pytest.approx((lows.min(), lows.max())),
        pytest.approx((highs.min(), highs.max())),
    )
    assert found.volumes == len(cases)
    gone = manifest.model_copy(update={"root": str(tmp_path / "nowhere")})
    assert measure_intensities(gone, cases, cache_folder=tmp_path) == found
    with pytest.raises(DataError):
        measure_intensities(gone, cases, cache_folder=tmp_path / "other")


def test_without_names_values_like_air_are_told(tmp_path: Path) -> None:
    folder = as_ct(write_volumes(tmp_path / "set", depth=4), channel=None)
    _, said, why = opened(folder, tmp_path / "cache")
    assert said
    assert "taken for CT in Hounsfield units, since the values of 3 training volumes begin at -10" in why


@pytest.mark.parametrize(
    ("channel", "why"),
    [(None, "nothing says that the values have a unit"), ("T1", "nothing says that the values of T1")],
)
def test_other_volumes_have_no_unit(channel: str | None, why: str, tmp_path: Path) -> None:
    folder = write_volumes(tmp_path / "set", depth=4)
    if channel is not None:
        (folder / "dataset.json").write_text(json.dumps({"modality": {"0": channel}}))
    _, said, told = opened(folder, tmp_path / "cache")
    assert not said
    assert why in told


def test_the_data_check_says_how_values_would_be_shown(ct: Path) -> None:
    row = dict(check(ct).rows)["intensity"]
    assert row == "a window, measured in the labeled voxels: the data name the modality CT, in Hounsfield units"
