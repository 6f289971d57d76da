"""Training on windows of large pictures: the patches are those of the picture in memory, drawn by an index, and nothing is decoded
whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from safetensors.torch import load_file

from delineate.common.errors import DataError
from delineate.data.augment.patches import BlockContents, Contents, draw
from delineate.data.cache import large_cache
from delineate.data.cache.large_cache import by_regions, open_with_large
from delineate.data.cache.store import Store
from delineate.data.cases import overview
from delineate.data.cases.census import examine
from delineate.data.cases.large import LargeMask
from delineate.data.cases.large_facts import counted_by_rows
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable, Manifest
from delineate.data.core.mask_values import mask_values
from delineate.data.formats.composed_mask import ComposedMask
from delineate.data.formats.registry import open_image
from delineate.data.formats.tiff_picture import TiffPicture
from delineate.data.layouts.source import as_source
from delineate.data.loading.open_data import open_data
from delineate.data.loading.patch_loader import PatchLoader
from delineate.engine.request import TrainRequest
from delineate.engine.run import train
from delineate.inference.geojson import write_geojson
from delineate.inference.outlines import Outlines
from slides_made import tissue

Maker = Callable[..., TrainRequest]
HEIGHT, WIDTH = 700, 900
SPEC = InputSpec(size=(64, 64), fit="patch")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three pictures that count as large, of 0.5 µm, each with a smaller copy; the marked class is dark."""
    monkeypatch.setattr(overview, "LARGE", 1)
    for name in ("images", "masks"):
        (tmp_path / "data" / name).mkdir(parents=True)
    tags: dict[str, Any] = {"resolution": (20000, 20000), "resolutionunit": "CENTIMETER", "metadata": None}
    for at in range(3):
        image = tissue(HEIGHT, WIDTH, at)
        image[:300, :300] = 245
        with tifffile.TiffWriter(tmp_path / f"data/images/c{at}.tif") as file:
            file.write(image, tile=(128, 128), photometric="rgb", subifds=1, compression="zlib", **tags)
            file.write(image[::2, ::2], tile=(128, 128), photometric="rgb", subfiletype=1, compression="zlib")
        mask = ((image[..., 0] < 90) * 255).astype(np.uint8)
        tifffile.imwrite(tmp_path / f"data/masks/c{at}.tif", mask, tile=(128, 128), compression="zlib")
    return tmp_path / "data"


@pytest.fixture
def whole_never(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any) -> Any:
        raise AssertionError("decoded whole")

    monkeypatch.setattr(TiffPicture, "read", refuse)
    monkeypatch.setattr(TiffPicture, "labels", refuse)


def in_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    with monkeypatch.context() as patch:
        patch.setattr(overview, "LARGE", 1 << 40)
        return open_data(folder, seed=0)


def test_the_census_is_that_of_decoded_pictures(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, census = open_data(folder, seed=0)
    other, expected = in_memory(folder, monkeypatch)
    assert census.large == ("c0", "c1", "c2")
    assert census.values == expected.values
    assert [fact.values for fact in census.facts.values()] == [fact.values for fact in expected.facts.values()]
    assert census.facts["c0"].spacing == (0.0005, 0.0005)
    assert manifest.labels == other.labels
    assert [case.hashes for case in manifest.cases] == [case.hashes for case in other.cases]


@pytest.mark.parametrize("kind", ["noise", "labels", "edges", "framed"])
def test_masks_are_counted_by_rows_as_whole_ones(folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    steps = np.indices((HEIGHT, WIDTH)).sum(0) // 64 % 2 * 255
    masks = {
        "noise": rng.integers(0, 256, (HEIGHT, WIDTH)),
        "labels": rng.integers(0, 6, (HEIGHT // 4, WIDTH // 4)).repeat(4, 0).repeat(4, 1),
        "framed": np.pad(np.zeros((HEIGHT - 2, WIDTH - 2)), 1, constant_values=255),
        "edges": np.where(rng.random((HEIGHT, WIDTH)) < 0.01, 128, steps),
    }
    path = folder / "masks/c0.tif"
    tifffile.imwrite(path, masks[kind].astype(np.uint8), tile=(128, 128), compression="zlib")
    assert counted_by_rows(open_image(path), "m") == mask_values(open_image(path).labels(), "m")


@pytest.mark.usefixtures("whole_never")
def test_patches_are_those_of_the_picture(folder: Path, tmp_path: Path) -> None:
    manifest, census = open_data(folder, seed=0)
    samples = census.samples(manifest.cases, manifest.labels)
    cache = open_with_large(manifest, samples, SPEC, Store.at(tmp_path / "cache"), pytest.fail)
    loader = PatchLoader(cache, SPEC, None, batch_size=4, seed=3, foreground=0.5)
    batches = list(loader.batches(0, 6))
    glass = 0
    for number, batch in enumerate(batches):
        for place in range(4):
            position = 4 * number + place
            at, (top, left) = loader.index(position), loader.corner(position)
            image = tissue(HEIGHT, WIDTH, int(samples[at].case.id[1]))
            image[:300, :300] = 245
            expected = image[top : top + 64, left : left + 64]
            assert np.array_equal(np.rint(batch.image[place] * 255), expected)
            assert np.array_equal(batch.mask[place], expected[..., 0] < 90)
            glass += bool((expected == 245).all())
    assert glass == 0, "empty glass is not drawn"
    again = PatchLoader(cache, SPEC, None, batch_size=4, seed=3, foreground=0.5)
    (resumed,) = again.batches(5, 6)
    assert np.array_equal(resumed.image, batches[5].image)


def test_pixels_of_a_class_are_found_by_the_index(folder: Path, tmp_path: Path) -> None:
    manifest, census = open_data(folder, seed=0)
    samples = census.samples(manifest.cases[:1], manifest.labels)
    cache = open_with_large(manifest, samples, SPEC, Store.at(tmp_path / "cache"), pytest.fail)
    mask, contents = cache.mask(0), cache.contents[0]
    assert isinstance(contents, BlockContents)
    whole = mask[:, :]
    assert contents.totals.tolist() == Contents.of((0, 1), whole, 1).totals.tolist()
    drawn = {contents.pixel(mask, 0, number) for number in range(0, int(contents.totals[0]), 997)}
    assert all(whole[place] == 1 for place in drawn)
    assert len(drawn) == len(range(0, int(contents.totals[0]), 997))
    rng = np.random.default_rng(0)
    centers = [draw(rng, mask, contents, (1, 1), 1.0) for _ in range(20)]
    assert all(whole[place] == 1 for place in centers)


def test_a_smaller_size_is_read_and_resized(folder: Path, tmp_path: Path) -> None:
    manifest, census = open_data(folder, seed=0)
    samples = census.samples(manifest.cases[:1], manifest.labels)
    image = tissue(HEIGHT, WIDTH, 0)
    image[:300, :300] = 245
    for spacing, size in ((0.001, (350, 450)), (0.0015, (233, 300))):
        spec = SPEC.model_copy(update={"spacing": (spacing, spacing)})
        cache = open_with_large(manifest, samples, spec, Store.at(tmp_path / "cache"), pytest.fail)
        assert cache.mask(0).shape == size
        part = cache.image(0)[100:160, 200:290]
        whole = cache.image(0)[:, :]
        assert np.array_equal(part, whole[100:160, 200:290])
        assert np.array_equal(cache.mask(0)[100:160, 200:290], cache.mask(0)[:, :][100:160, 200:290])
        if spacing == 0.001:
            assert np.array_equal(whole, image[::2, ::2]), "the copy in the file"


@pytest.fixture
def outlined(folder: Path) -> Path:
    """The same set with outlines in place of masks, as people draw them in QuPath."""
    for path in sorted((folder / "masks").iterdir()):
        mask = tifffile.imread(path)
        outlines = Outlines(WIDTH)
        outlines.add((mask > 0).astype(np.uint8))
        write_geojson(folder / f"{path.stem}.geojson", outlines, ClassTable(names=("background", "gland")))
        path.unlink()
    (folder / "masks").rmdir()
    return folder


def test_masks_may_be_outlines(outlined: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise AssertionError("drawn whole")

    monkeypatch.setattr(ComposedMask, "_pixels", property(refuse))
    manifest, census = open_data(outlined, seed=0)
    assert manifest.classes.names == ("background", "gland")
    samples = census.samples(manifest.cases, manifest.labels)
    cache = open_with_large(manifest, samples, SPEC, Store.at(tmp_path / "cache"), pytest.fail)
    for at, sample in enumerate(samples):
        image = tissue(HEIGHT, WIDTH, int(sample.case.id[1]))
        image[:300, :300] = 245
        expected = image[..., 0] < 90
        assert np.array_equal(cache.mask(at)[:, :], expected)
        assert int(cache.contents[at].totals[0]) == expected.sum()
        assert np.array_equal(cache.mask(at)[290:340, 295:310], expected[290:340, 295:310])


def test_a_run_on_outlines(outlined: Path, request_for: Maker, recorder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_cache, "REGIONS", 2)
    train(request_for("outlined", data=outlined, steps=2, settings=["input.fit=patch"]), recorder())
    record = Manifest.load(request_for("outlined").out / "manifest.json")
    assert record.layout == "GeoJSON outlines"
    assert (request_for("outlined").out / "validation/scores.csv").exists()


class Killed(BaseException):
    """Stands for a kill."""


@pytest.mark.usefixtures("whole_never")
def test_a_run_is_judged_by_regions_and_resumed_to_the_bit(
    folder: Path, request_for: Maker, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_cache, "REGIONS", 2)
    settings = ["input.fit=patch", "engine.save_minutes=0.00001", "data.foreground=0.6"]

    def kill(step: int) -> None:
        if step == 2:
            raise Killed

    told = recorder()
    train(request_for("whole", data=folder, steps=4, settings=settings), told)
    with pytest.raises(Killed):
        train(request_for("killed", data=folder, steps=4, settings=settings), recorder(kill))
    train(request_for("killed", data=folder, steps=4, settings=settings, resume=True), recorder())
    ours, theirs = (load_file(request_for(name).out / "model.safetensors") for name in ("whole", "killed"))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    scored = (request_for("whole").out / "validation/scores.csv").read_text().splitlines()
    assert all(line.split(",")[0].startswith("c") and line.split(",")[0].count("_") == 2 for line in scored[1:])
    manifest = Manifest.load(request_for("whole").out / "manifest.json")
    assert {case.id for case in manifest.split("val")} < {"c0", "c1", "c2"}


def test_validation_regions_are_always_the_same(folder: Path, tmp_path: Path) -> None:
    manifest, census = open_data(folder, seed=0)
    samples = census.samples(manifest.cases, manifest.labels)
    cache = open_with_large(manifest, samples, SPEC, Store.at(tmp_path / "cache"), pytest.fail)
    regions, corners = by_regions(cache, SPEC)
    other, same = by_regions(cache, SPEC)
    assert corners == same
    assert len(regions) == sum(map(len, corners.values()))
    assert all(image.shape == (256, 256, 3) for image in regions.images)
    assert all(np.array_equal(one, two) for one, two in zip(regions.masks, other.masks, strict=True))


def test_what_does_not_fit_is_one_line(folder: Path, tmp_path: Path) -> None:
    tifffile.imwrite(
        folder / "masks/c1.tif", np.zeros((HEIGHT, WIDTH, 3), np.uint8), tile=(128, 128), photometric="rgb"
    )
    tifffile.imwrite(folder / "masks/c2.tif", np.zeros((HEIGHT, 10), np.uint8), tile=(128, 128))
    manifest = as_source(folder).manifest()
    lines = [str(one.text) for one in examine(manifest).findings if one.severity == "error"]
    assert any(
        "c1.tif is the mask of a picture that is read by windows, and has red + green + blue" in one for one in lines
    )
    assert any("c2.tif is 10×700 pixels" in one for one in lines)


def test_rules_that_measure_whole_pictures_are_refused(folder: Path, tmp_path: Path) -> None:
    manifest, census = open_data(folder, seed=0)
    samples = census.samples(manifest.cases, manifest.labels)
    spec = SPEC.model_copy(update={"intensity": "percentile"})
    with pytest.raises(DataError, match="measured on whole pictures: set input"):
        open_with_large(manifest, samples, spec, Store.at(tmp_path / "cache"), pytest.fail)


def test_without_a_mask_all_is_ignored(folder: Path) -> None:
    manifest, _ = open_data(folder, seed=0)
    bare = manifest.cases[0].model_copy(update={"masks": ()})
    assert (LargeMask(manifest, bare, (40, 50))[3:5, :] == 255).all()
