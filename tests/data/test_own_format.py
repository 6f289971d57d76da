"""The how-to's example is a format like any other: its files are taken from the page, installed, checked and used."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from delineate.artefact.format import Artefact
from delineate.common.errors import DataError
from delineate.data.cache.cache import open_cache
from delineate.data.cache.store import Store
from delineate.data.core.input_spec import InputSpec
from delineate.data.formats import registry
from delineate.data.formats.testing import check_format
from delineate.data.loading.open_data import open_data
from delineate.inference.files import predict_files
from delineate.inference.predictor import Predictor
from micro_method import brightness
from package_of_page import installed


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The page's files as an installed package."""
    with installed("own-format.md", tmp_path_factory.mktemp("own-format")) as root:
        registry.forget_other_packages()
        yield root
    registry.forget_other_packages()


@pytest.fixture
def picture(package: Path) -> Callable[[Path, Any], None]:
    """picture(path, pixels): a file of the page's format."""
    header = runpy.run_path(str(package / "thermal_format.py"))["HEADER"]

    def write(path: Path, pixels: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(header.pack(b"THM1", *pixels.shape) + pixels.astype("<u2").tobytes())

    return write


def test_the_pages_own_test_passes(package: Path, tmp_path: Path) -> None:
    runpy.run_path(str(package / "test_thermal.py"))["test_promises"](tmp_path)


def test_who_has_no_images_is_told_what_is_read(package: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "scan.xyz").write_bytes(b"?")
    with pytest.raises(
        DataError, match=r"only scan\.xyz; PNG, JPEG, TIFF, .*, NIfTI, MetaImage, NRRD, .*thermal are read"
    ):
        open_data(tmp_path)


def test_a_format_that_breaks_a_promise_is_told(
    package: Path, tmp_path: Path, picture: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(tmp_path / "a.thm", np.arange(12).reshape(3, 4))
    module = sys.modules[type(registry.readers()["thermal"]).__module__]
    monkeypatch.setattr(module.ThermalPicture, "dtype", np.dtype(np.uint8))
    with pytest.raises(AssertionError, match="read\\(\\) gives uint16, dtype says uint8"):
        check_format("thermal", tmp_path / "a.thm", tmp_path)


def test_it_is_read_and_predicted_like_any_other(package: Path, tmp_path: Path, picture: Callable[..., None]) -> None:
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 400, (24, 32))
        pixels[4:12, 6 + number : 14] += 60000
        picture(tmp_path / "set" / "images" / f"{number}.thm", pixels)
        registry.write_mask(
            tmp_path / "set" / "masks" / f"{number}.png", np.where(pixels > 9000, 255, 0).astype(np.uint8)
        )
    manifest, census = open_data(tmp_path / "set")
    assert (census.bits, census.gray) == (16, True)
    spec = InputSpec(channels="gray", size=(24, 32), source_bits=16)
    cache = open_cache(manifest, census.samples(manifest.cases, manifest.labels), spec, Store(tmp_path / "cache"))
    assert np.array_equal(cache.image(0)[..., 0], registry.read_image(tmp_path / "set" / "images" / "0.thm"))
    model = Predictor(Artefact(brightness(in_channels=1), spec, manifest.table), device="cpu")
    done = predict_files(model, [tmp_path / "set" / "images"], tmp_path / "masks", overlay=True)
    assert [file.error for file in done.files] == [None] * 6
    for number in range(6):
        found, reference = (registry.read_mask(tmp_path / at / f"{number}.png") for at in ("masks", "set/masks"))
        assert np.array_equal(found, reference)
    (tmp_path / "bad.thm").write_bytes(b"THM2")
    with pytest.raises(DataError, match=r"bad\.thm is not a picture of the thermal camera"):
        registry.read_image(tmp_path / "bad.thm")
