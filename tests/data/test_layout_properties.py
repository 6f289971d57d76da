"""Folders made at random from the words, nestings, suffixes and spellings that people use: paired as they were made."""

from __future__ import annotations

import tempfile
import unicodedata
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from delineate.common.errors import DataError
from delineate.common.file_names import name_fault, too_long
from delineate.data.core.naming import unique_names
from delineate.data.layouts.discover import Match, discover, find_volumes, recognize

IMAGE_WORDS = ("images", "image", "imgs", "img", "Original", "input", "JPEGImages", "raw_images", "photos")
MASK_WORDS = (
    "masks",
    "mask",
    "labels",
    "label",
    "Ground Truth",
    "groundtruth",
    "gt",
    "annotations",
    "1st_manual",
    "manual1",
)
ENDINGS = ("", "_mask", "_segmentation", "_seg", "_label", "_gt", "_lesion", "_manual1", "_anno", "-mask")
SIDE_FOLDERS = ("instances", "fov", "2nd_manual", "notes", "bbox", "roi")
NESTINGS = ("flat", "patients around", "patients inside", "splits around", "splits inside", "both around")
SPLITS = ("train", "val", "test")

stems = st.lists(
    st.text("abcxyz0123456789éüñ -.()#", min_size=1, max_size=8).map(lambda text: f"q{text.strip(' .')}e"),
    min_size=2,
    max_size=4,
    unique_by=lambda stem: unicodedata.normalize("NFC", stem).casefold(),
)
cases_of = st.sampled_from((str.lower, str.upper, str.title, str))


@st.composite
def folders(draw: st.DrawFn) -> tuple[list[str], dict[str, str]]:
    """File names, and image → mask among them."""
    image, mask = draw(st.sampled_from(IMAGE_WORDS)), draw(st.sampled_from(MASK_WORDS))
    spelled = draw(st.sampled_from((str, str.lower, str.upper)))
    image, mask = spelled(image), spelled(mask)
    end, nesting = draw(st.sampled_from(ENDINGS)), draw(st.sampled_from(NESTINGS))
    image_form, mask_form = (draw(st.sampled_from(("NFC", "NFD"))) for _ in range(2))
    image_suffix = draw(st.sampled_from((".png", ".JPG", ".tif", ".bmp", ".Jpeg")))
    mask_suffix = draw(st.sampled_from((".png", ".PNG", ".gif", ".tiff")))
    wrapper = draw(st.sampled_from(("", "my data/", "Polyp-Segmentation/", "set/inner/")))
    groups = {"flat": [""], "patients around": ["P1", "P2", "P3"], "patients inside": ["case_7", "case_8"]}.get(
        nesting, list(SPLITS)
    )
    groups = [f"{split}/{who}" for split in SPLITS for who in ("a1", "b2")] if nesting == "both around" else groups
    pairs = {}
    for group in groups:
        for stem in draw(stems):
            places = [f"{word}/{group}/" if "inside" in nesting else f"{group}/{word}/" for word in (image, mask)]
            names = [place.replace("//", "/").lstrip("/") for place in places]
            made = unicodedata.normalize(image_form, f"{wrapper}{names[0]}{stem}{image_suffix}")
            pairs[made] = unicodedata.normalize(mask_form, f"{wrapper}{names[1]}{stem}{end}{mask_suffix}")
    files = [*pairs, *pairs.values()]
    for side in draw(st.lists(st.sampled_from(SIDE_FOLDERS), max_size=2, unique=True)):
        files += [f"{wrapper}{side}/{Path(name).name}" for name in list(pairs)[:2]]
    files += draw(
        st.sampled_from(([], [f"{wrapper}Thumbs.db", f"{wrapper}{image}/.DS_Store", f"{wrapper}__MACOSX/x.png"]))
    )
    return files, pairs


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(folders())
def test_every_made_folder_is_paired_as_it_was_made(made: tuple[list[str], dict[str, str]]) -> None:
    files, pairs = made
    with tempfile.TemporaryDirectory() as folder:
        for name in files:
            path = Path(folder, "root", name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        manifest = discover(Path(folder, "root"))
    assert {case.images[0]: case.masks for case in manifest.cases} == {image: (mask,) for image, mask in pairs.items()}
    ids = [case.id for case in manifest.cases]
    assert len(set(ids)) == len(ids)
    assert not any(name_fault(name) or too_long(f"{name}.png") for name in ids)
    for case in manifest.cases:
        words = [part for part in case.images[0].split("/") if part in SPLITS]
        assert case.split == (words[0] if words else None)


@settings(max_examples=40, deadline=None)
@given(folders(), st.data())
def test_a_lost_or_doubled_file_is_never_passed_over(
    made: tuple[list[str], dict[str, str]], data: st.DataObject
) -> None:
    files, pairs = made
    image = data.draw(st.sampled_from(sorted(pairs)))
    lost = data.draw(st.booleans())
    match: Match | None = None
    with tempfile.TemporaryDirectory() as folder:
        for name in files if lost else [*files, str(Path(pairs[image]).with_suffix(".bmp"))]:
            if not (lost and name == pairs[image]):
                path = Path(folder, "root", name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        with suppress(DataError):
            match = recognize(Path(folder, "root"))
    if match is None:
        return
    kept = {case.images[0]: case.masks for case in match.cases}
    if image not in kept:
        assert match.findings
        whole = [name for name in pairs if Path(name).parent == Path(image).parent]
        told = any(finding.severity == "error" for finding in match.findings) or len(whole) == 1
        assert told or any("without" in finding.text for finding in match.findings)
    else:
        assert kept[image] == (pairs[image],)


@given(st.lists(st.tuples(st.text("ab_", max_size=4), st.tuples(st.text("ab_", min_size=1, max_size=3))), unique=True))
def test_ids_are_unique_whatever_the_folders_are_called(names: list[tuple[str, tuple[str, ...]]]) -> None:
    found = unique_names(names)
    assert len(set(found)) == len(found)
    assert all(found)
    for name, (stem, _) in zip(found, names, strict=True):
        assert sum(other == stem for other, _ in names) > 1 or not stem or name == stem


def test_ids_made_equal_by_flattening(tmp_path: Path) -> None:
    for name in (
        "train/images/1",
        "train/masks/1",
        "val/images/1",
        "val/masks/1",
        "val/images/train_1",
        "val/masks/train_1",
    ):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    ids = {case.images[0]: case.id for case in discover(tmp_path).cases}
    assert ids == {"train/images/1.png": "train__1", "val/images/1.png": "val__1", "val/images/train_1.png": "train_1"}


@pytest.mark.parametrize("length", [245, 251])
def test_names_of_any_length_that_disks_allow(length: int, tmp_path: Path) -> None:
    for stem in ("a" * length, "b"):
        for folder in ("P1/images", "P1/masks", "P2/images", "P2/masks"):
            path = tmp_path / folder / f"{stem}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    ids = [case.id for case in discover(tmp_path).cases]
    assert len(set(ids)) == 4
    assert not any(too_long(f"{name}.png") for name in ids)


def test_links_that_lead_nowhere_are_told_and_circles_walked_once(tmp_path: Path) -> None:
    for name in ("images/a.png", "masks/a.png", "images/b.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "masks" / "b.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "images" / "again").symlink_to(tmp_path / "images")
    with pytest.raises(
        DataError, match=r"^1 link leads nowhere: masks/b\.png → .*gone\.png; restore what they point to"
    ):
        discover(tmp_path)
    (tmp_path / "masks" / "b.png").unlink()
    (tmp_path / "masks" / "b.png").symlink_to(tmp_path / "masks" / "a.png")
    assert [case.id for case in discover(tmp_path).cases] == ["a", "b"]


def test_names_that_are_not_utf_8_are_refused_in_one_line(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").touch()
    try:
        Path(tmp_path, "images", b"caf\xe9.png".decode(errors="surrogateescape")).touch()
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    with pytest.raises(DataError, match=r"^1 name is not UTF-8: images/caf\\xe9\.png; rename") as caught:
        discover(tmp_path)
    str(caught.value).encode()


def test_volumes_are_paired_by_the_same_rules(tmp_path: Path) -> None:
    def touch(*names: str) -> Path:
        root = tmp_path / str(len(list(tmp_path.iterdir())))
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return root

    found = find_volumes(touch("imagesTr/h_1_0000.nii.gz", "labelsTr/h_1.nii.gz", "imagesTs/h_2_0000.nii.gz"))
    assert found is not None
    assert [(case.id, case.split) for case in found.cases] == [("h_1", None)]
    camus = find_volumes(touch("p1/p1_ED.nii.gz", "p1/p1_ED_gt.nii.gz", "p2/p2_ED.nii.gz", "p2/p2_ED_gt.nii.gz"))
    assert camus is not None
    assert [case.masks for case in camus.cases] == [("p1/p1_ED_gt.nii.gz",), ("p2/p2_ED_gt.nii.gz",)]
    for twins in (("images/x.nii", "masks/x.nii.gz"), ("masks/x.nii", "masks/x.nii.gz")):
        match = find_volumes(touch("images/x.nii.gz", *twins))
        assert match is not None
        assert any("1 name occurs twice" in finding.text for finding in match.findings)
    assert find_volumes(touch("images/a.png", "masks/a.png"), masks="masks") is None
