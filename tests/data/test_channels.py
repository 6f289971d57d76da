"""Images whose channels are files of their own: from a table to a trained model, and what does not fit together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from delineate.common.errors import DataError, RecipeError
from delineate.data.augment.apply import apply
from delineate.data.augment.settings import AugmentSettings, sample
from delineate.data.cache.cache import open_cache
from delineate.data.cache.store import Store
from delineate.data.cases.pixels import case_image, case_view, input_pixels, open_case
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import Manifest
from delineate.data.doctor.check import check
from delineate.data.doctor.fix import write_fixed
from delineate.data.layouts.discover import recognize
from delineate.data.layouts.source import DataSource
from delineate.data.layouts.tables import manifest_of_table
from delineate.data.loading.open_data import open_data
from delineate.engine.input_settings import settle_input
from delineate.engine.recipe import resolve

Write = Callable[[Path, Any], Path]
NAMED = InputSpec(channels=("t1", "flair"), size=(16, 16))


@pytest.fixture
def table(tmp_path: Path, write: Write) -> Path:
    """Six heads of 16×20 pixels. A lesion is where both channels are bright; each has bright places of its own."""
    lines = ["image_t1,image_flair,mask,split"]
    for number in range(6):
        generator = np.random.default_rng(number)
        t1, flair = (generator.integers(0, 60, (16, 20), np.uint8) for _ in range(2))
        t1[4:12, 2 + number : 12] += 150
        flair[6:14, 6 : 12 + number] += 150
        lesion = np.where((t1 > 100) & (flair > 100), 255, 0).astype(np.uint8)
        for name, array in (("t1", t1), ("flair", flair), ("seg", lesion)):
            write(tmp_path / "scans" / f"p{number}_{name}.png", array)
        split = ("train", "train", "train", "train", "val", "test")[number]
        lines.append(f"scans/p{number}_t1.png,scans/p{number}_flair.png,scans/p{number}_seg.png,{split}")
    path = tmp_path / "heads.csv"
    path.write_text("\n".join(lines))
    return path


def edited(table: Path, old: str, new: str) -> Path:
    table.write_text(table.read_text().replace(old, new, 1))
    return table


def test_a_table_names_channels_and_cases(table: Path, tmp_path: Path) -> None:
    manifest, census = open_data(DataSource(table))
    assert manifest.channels == ("t1", "flair")
    assert [case.id for case in manifest.cases] == [f"p{number}" for number in range(6)]
    case = manifest.cases[0]
    assert case.images == ("scans/p0_t1.png", "scans/p0_flair.png")
    assert set(case.hashes) == {*case.images, *case.masks}
    assert dict(census.channels) == {"t1 + flair": 6}
    assert (census.bits, census.named) == (8, ("t1", "flair"))
    handle = open_case(manifest, case)
    assert (handle.shape, handle.channels) == ((16, 20), ("t1", "flair"))
    assert np.array_equal(
        handle.read()[..., 1], case_view(manifest, case.model_copy(update={"images": case.images[1:]}))
    )
    assert np.array_equal(handle.slice(0, 0), handle.read())
    manifest.save(tmp_path / "manifest.json")
    again, _ = open_data(tmp_path / "manifest.json")
    assert [one.pixels for one in again.cases] == [one.pixels for one in manifest.cases]


def test_a_file_that_was_saved_as_rgb_is_one_channel(table: Path, write: Write) -> None:
    file = table.parent / "scans" / "p0_flair.png"
    before, _ = open_data(DataSource(table))
    gray = case_image(before, before.cases[0])
    write(file, np.repeat(gray[..., 1:], 3, 2))
    after, _ = open_data(DataSource(table))
    assert np.array_equal(case_image(after, after.cases[0]), gray)
    write(file, np.random.default_rng(0).integers(0, 255, (16, 20, 3), np.uint8))
    with pytest.raises(DataError, match=r"p0_flair\.png has colors; a file that is one channel of several is gray"):
        open_data(DataSource(table))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((16, 21), np.uint8), r"p0_t1\.png is 20×16 pixels but .*p0_flair\.png, another channel of it, 21×16"),
        (
            np.ones((16, 20), np.uint16),
            r"p0_t1\.png has uint8 pixels but .*p0_flair\.png, .*, uint16; save the channels",
        ),
    ],
)
def test_channels_that_do_not_fit_are_named(table: Path, write: Write, array: Any, words: str) -> None:
    write(table.parent / "scans" / "p0_flair.png", array)
    with pytest.raises(DataError, match=words):
        open_data(DataSource(table))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("scans/p1_flair.png", "", "row 3: nothing stands in column image_flair"),
        ("scans/p1_flair.png", "scans/p1_t1.png", r"row 3: p1_t1\.png is more than one channel at once"),
        ("scans/p1_flair.png", "scans/p1_seg.png", r"row 3: p1_seg\.png is image and mask at once"),
        ("scans/p1_flair.png", "scans/p1_flair.png;scans/p2_flair.png", "row 3: several images in one cell"),
        ("scans/p1_flair.png", "scans/nothing.png", r"names 1 file that is not there: .*nothing\.png"),
        ("image_t1", "image", r"a column for whole images beside some for channels \(image_flair\)"),
    ],
)
def test_tables_that_are_wrong_give_a_line(table: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        manifest_of_table(edited(table, old, new))


def test_cases_that_are_called_alike_are_told_by_their_folders(table: Path, write: Write) -> None:
    for patient in ("a", "b"):
        for name in ("t1", "flair", "seg"):
            write(table.parent / patient / f"{name}.png", np.eye(16, dtype=np.uint8) * 255)
    table.write_text("image_t1,image_flair,mask\n" + "".join(f"{p}/t1.png,{p}/flair.png,{p}/seg.png\n" for p in "ab"))
    assert [case.id for case in manifest_of_table(table).cases] == ["a", "b"]


@pytest.mark.parametrize(
    ("description", "names"),
    [
        ('{"channel_names": {"0": "T1", "1": "FLAIR"}}', ("T1", "FLAIR")),
        ('{"modality": {"0": "T1", "1": "T1"}}', ("0000", "0001")),
        ("[]", ("0000", "0001")),
    ],
)
def test_nnunets_folders_hold_channels(tmp_path: Path, write: Write, description: str, names: tuple[str, ...]) -> None:
    for number in range(4):
        planes = np.random.default_rng(number).integers(0, 255, (2, 12, 14), np.uint8)
        for channel, plane in enumerate(planes):
            write(tmp_path / "imagesTr" / f"h_{number}_{channel:04d}.png", plane)
        write(tmp_path / "labelsTr" / f"h_{number}.png", np.eye(12, 14, dtype=np.uint8) * 255)
    write(tmp_path / "imagesTs" / "h_9_0000.png", planes[0])
    (tmp_path / "dataset.json").write_text(description)
    manifest, census = open_data(tmp_path)
    assert (manifest.channels, census.named) == (names, names)
    assert [case.id for case in manifest.cases] == ["h_0", "h_1", "h_2", "h_3"]
    assert manifest.cases[3].images == ("imagesTr/h_3_0000.png", "imagesTr/h_3_0001.png")
    assert np.array_equal(case_image(manifest, manifest.cases[3]), np.moveaxis(planes, 0, -1))


def test_a_folder_with_such_a_table_names_it(table: Path) -> None:
    with pytest.raises(DataError, match=r"give .*heads\.csv"):
        recognize(table.parent)


def test_the_network_sees_the_channels_by_name(table: Path) -> None:
    manifest, census = open_data(DataSource(table))
    _, spec = settle_input(resolve("unet", "tiny", {}), census)
    assert (spec.channels, spec.in_channels) == (("t1", "flair"), 2)
    handle = open_case(manifest, manifest.cases[0])
    turned = InputSpec(channels=("flair", "t1"))
    assert np.array_equal(input_pixels(handle, turned), handle.read()[..., ::-1])
    for channels in ("rgb", ["t1"], ["flair", "t1"]):
        with pytest.raises(RecipeError, match=r"cannot be had, since the data have the channels t1, flair"):
            settle_input(resolve("unet", "tiny", {"input": {"channels": channels}}), census)


def test_other_channels_than_the_models_are_refused(table: Path, write: Write) -> None:
    manifest, _ = open_data(DataSource(table))
    handle = open_case(manifest, manifest.cases[0])
    with pytest.raises(
        DataError, match=r"p0_t1\.png: the model takes the channels t1, t2, and .* t1, flair: t2 is missing"
    ):
        input_pixels(handle, InputSpec(channels=("t1", "t2")))
    with pytest.raises(
        DataError, match="the model takes the channels t1, and this image has t1, flair: leave out flair"
    ):
        input_pixels(handle, InputSpec(channels=("t1",)))
    with pytest.raises(DataError, match="is one of the channels t1, flair; the model takes rgb images"):
        input_pixels(handle, InputSpec())
    with pytest.raises(DataError, match="give a table with the columns image_t1, image_flair and mask"):
        input_pixels(handle.handles[0], NAMED)  # type: ignore[attr-defined]


def test_each_channel_has_limits_and_colors_of_its_own() -> None:
    """Three named channels are no colors: neither one range nor hue, saturation and gray concern them together."""
    rng = np.random.default_rng(0)
    image = np.stack([rng.integers(0, top, (20, 24)) for top in (20, 90, 250)], axis=-1).astype(np.uint8)
    names = ("t1", "t2", "flair")
    for fit in ("stretch", "letterbox", "patch"):
        for rule in ("percentile", "zscore"):
            spec = InputSpec(channels=names, size=(20, 24), fit=fit, intensity=rule)  # type: ignore[arg-type]
            working = spec.working_pixels(image)
            single = InputSpec(channels="gray", size=(20, 24), fit=fit, intensity=rule)  # type: ignore[arg-type]
            limits = spec.limits_for_patches(working)
            unit = spec.to_unit(working, limits)
            for at in range(3):
                plane = single.working_pixels(image[..., at])
                assert np.array_equal(unit[..., at], single.to_unit(plane)[..., 0])
    settings = AugmentSettings(color=1, brightness=0.2, saturation=0.9, hue=0.4, gray=1)
    drawn = [sample(settings, np.random.default_rng(3), 20, 24, colors=colors) for colors in (True, False)]
    changed = np.where(np.arange(3) == 1, 0, image).astype(np.uint8)
    one, other = (apply(each, np.zeros((20, 24), np.uint8), drawn[1])[0] for each in (image, changed))
    assert np.array_equal(one[..., ::2], other[..., ::2])
    assert not np.array_equal(one, image)
    assert not np.array_equal(apply(image, np.zeros((20, 24), np.uint8), drawn[0])[0], one)


def test_patches_of_named_channels_have_the_whole_images_limits(table: Path, tmp_path: Path) -> None:
    manifest, census = open_data(DataSource(table))
    spec = InputSpec(channels=("t1", "flair"), size=(8, 8), fit="patch", intensity="percentile")
    samples = census.samples(manifest.cases, manifest.labels)
    for _ in range(2):  # made, and read again
        cache = open_cache(manifest, samples, spec, Store(tmp_path / "cache"))
        low, high = cache.contents[0].limits
        assert np.allclose([low, high], np.percentile(cache.image(0), (0.5, 99.5), axis=(0, 1)))


def test_what_reads_one_file_for_each_image_says_so(table: Path, tmp_path: Path) -> None:
    report = check(DataSource(table))
    assert not [finding for finding in report.findings if finding.severity == "error"]
    with pytest.raises(DataError, match=r"--fix: the images of .* lie in 2 files each \(t1, flair\)"):
        write_fixed(report, tmp_path.parent / "clean")


def test_manifests_whose_files_are_not_as_many_as_channels_are_refused(table: Path, tmp_path: Path) -> None:
    manifest = manifest_of_table(table)
    for channels, words in (((), "has 2 image files, not one"), (("t1",), "has 2 image files, not one for each of t1")):
        manifest.model_copy(update={"channels": channels}).save(tmp_path / "manifest.json")
        with pytest.raises(DataError, match=words):
            Manifest.load(tmp_path / "manifest.json")
