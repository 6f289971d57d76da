"""Groups from folders and names: patients stay whole, splits, classes, centers and data sets are none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delineate.common.errors import DataError
from delineate.data.core.manifest import Case, Manifest
from delineate.data.core.words import folder_word
from delineate.data.doctor.check import check
from delineate.data.layouts.discover import discover
from delineate.data.layouts.groups import Grouping, find_groups, with_groups
from delineate.data.splits.seeded import complete

Pairs = Callable[..., Path]


def grouped(paths: Iterable[str]) -> Grouping:
    return find_groups({path: path for path in paths})


def sets(found: Grouping) -> list[list[str]]:
    members: dict[str, list[str]] = defaultdict(list)
    for case, group in found.groups.items():
        members[group].append(case)
    return sorted(map(sorted, members.values()))


NAMES = ("smith", "jones", "miller")
PATIENTS = {
    # Names with a patient's part; {p}: the patient, {k}: one of his pictures, from 1 on.
    "TCGA barcodes": "TCGA_CS_49{p:02}_19960909_{k}.png",
    "barcodes as folders": "TCGA_CS_49{p:02}_19960909/TCGA_CS_49{p:02}_19960909_{k}.tif",
    "unknown barcodes": "ABCD_XY_49{p:02}_19960909_{k}.png",
    "frames": "images/patient{p:03}_frame{k:02}.png",
    "frames and slices": "patient{p:03}_frame01_slice_{k:02}.png",
    "packed slices": "train_npz/case{p:04}_slice{k:03}.npz#image",
    "times": "img_{p:04}_t{k}.png",
    "BIDS": "sub-{p:02}_ses-{k:02}.png",
    "BIDS tree": "sub-{p:02}/ses-{k:02}/anat/sub-{p:02}_ses-{k:02}_T1w.nii.gz",
    "dashes": "case_{p}-slice-{k}.png",
    "numbers": "{p:03}_{k:03}.png",
    "series": "IMG-{p:04}-{k:05}.png",
    "slice first": "slice_{k:03}_patient_{p}.png",
    "tiles": "TCGA-18-55{p:02}-01Z-00-DX1_{k}_{k}.png",
    "videos": "video{p}_frame{k:05}.png",
    "words": "BraTS20_Training_{p:03}_{k}.png",
    "folders": "P{p}/{k}.png",
    "folders in images": "images/P{p}/{k}.png",
    "numbered folders": "{p:02}/{k:02}.png",
    "letters": "patient_{letter}/{k}.png",
    "folders by name": "{name}/{k}.png",
    "in splits": "train/images/patient{p}_{k}.png",
    "in folders of findings": "benign/subject {p}/{k}.png",
    "in folders and studies": "P{p}/study{k}/0001.png",
}


@pytest.mark.parametrize("scheme", PATIENTS)
@pytest.mark.parametrize(("patients", "each"), [(11, 3), (12, 7)])
def test_pictures_of_a_patient_are_a_group(scheme: str, patients: int, each: int) -> None:
    paths = [
        [
            PATIENTS[scheme].format(p=p, k=k, letter="ABCDEFGHIJKL"[p], name=NAMES[p % 3] + "a" * p)
            for k in range(1, each + 1)
        ]
        for p in range(patients)
    ]
    found = grouped(path for members in paths for path in members)
    assert sets(found) == sorted(map(sorted, paths))
    assert found.words.startswith(f"{patients} patients or sequences, from the ")
    assert not found.findings


SIDES = ("{p:02}_left {p:02}_right", "Image_{p:02}L Image_{p:02}R", "P{p}_od P{p}_os", "left_{p} right_{p}")


@pytest.mark.parametrize("side", SIDES)
def test_both_eyes_are_one_patient(side: str) -> None:
    found = grouped(name.format(p=p) + ".jpg" for p in range(1, 15) for name in side.split())
    assert [len(members) for members in sets(found)] == [2] * 14


NONE = {
    "ISIC": [f"ISIC_{k:07}.jpg" for k in range(40)],
    "ISIC's splits": [f"train_{k:04}.png" for k in range(40)] + [f"test_{k:04}.png" for k in range(20)],
    "BUSI": [f"benign ({k}).png" for k in range(40)] + [f"malignant ({k}).png" for k in range(20)],
    "BUSI's folders": [f"{kind}/{kind} ({k}).png" for kind in ("benign", "malignant", "normal") for k in range(20)],
    "DRIVE": [f"{k:02}_training.tif" for k in range(21, 41)] + [f"{k:02}_test.tif" for k in range(1, 21)],
    "Montgomery": [f"MCUCXR_{k:04}_{k % 2}.png" for k in range(40)],
    "HRF": [f"{k:02}_{kind}.jpg" for k in range(1, 16) for kind in ("dr", "g", "h")],
    "a row": [f"frame_{k:04}.png" for k in range(60)],
    "cases": [f"case{k}.png" for k in range(40)],
    "patients with a picture each": [f"P{k}/image.png" for k in range(20)],
    "slides with a picture each": [f"TCGA-18-{k:04}-01Z-00-DX1.png" for k in range(20)],
    "centers": [f"center{c}/{k}.png" for c in range(4) for k in range(20)],
    "centers in names": [f"center{c}_{k:03}.png" for c in range(4) for k in range(20)],
    "folds": [f"fold_{f}_{k:03}.png" for f in range(5) for k in range(20)],
    "folds as folders": [f"fold{f}/images/{k:03}.png" for f in range(5) for k in range(4)],
    "classes": [f"class{c}_{k:03}.png" for c in range(5) for k in range(9)],
    "data sets": [f"{name}/images/{k}.png" for name in ("CVC-ClinicDB", "Kvasir", "ETIS") for k in range(20)],
    "no names": [],
    "one name": ["a.png"],
}


@pytest.mark.parametrize("scheme", NONE)
def test_what_is_no_patient_is_no_group(scheme: str) -> None:
    assert grouped(NONE[scheme]) == Grouping()


@pytest.mark.parametrize(
    "folder",
    ["patient_data/images", "case_studies", "patient_images", "sub_dataset", "patient_{kind}", "subject_{kind}"],
)
def test_words_for_people_do_not_make_a_patient_of_a_folder_of_many(folder: str) -> None:
    kinds = ("benign", "malignant")
    assert not grouped(f"{folder.format(kind=kind)}/{kind}{k}.png" for kind in kinds for k in range(9)).groups


@pytest.mark.parametrize("name", ["study1/images/{k}.png", "video0_frame{k}.png", "P1/{k}.png", "series_2/{k}.png"])
def test_one_name_of_all_cases_is_told_and_divides_nothing(name: str) -> None:
    found = grouped(name.format(k=k) for k in range(12))
    assert not found.groups
    assert not found.words
    assert [finding.severity for finding in found.findings] == ["warning"]
    assert "all 12 cases are called" in found.findings[0].text


@pytest.mark.parametrize("folder", ["{c}", "Center {c} of us", "Foo{c}"])
def test_few_folders_with_many_cases_are_told_and_not_taken(folder: str) -> None:
    found = grouped(f"{folder.format(c=c)}/{k}.png" for c in range(3) for k in range(40))
    assert not found.groups
    told = [str(finding) for finding in found.findings]
    assert told == [] or (
        len(told) == 1 and "3 folders with about 40 cases each" in told[0] and "--group-by" in told[0]
    )


def test_a_coarser_part_that_was_not_taken_is_told_beside_the_finer_one_that_was() -> None:
    """Tiles by image, row and column: few images with many tiles each could be centers, and rows are taken."""
    found = grouped(f"{image}_{row}_{column}.png" for image in range(3) for row in range(4) for column in range(4))
    assert len(set(found.groups.values())) in (3, 12)
    assert len(set(found.groups.values())) == 3 or "3 beginnings of names" in found.findings[0].text


def test_patients_of_two_centers_are_different_and_of_two_classes_the_same() -> None:
    centers = grouped(f"center{c}/patient{p}_{k}.png" for c in range(2) for p in range(4) for k in range(3))
    assert [len(members) for members in sets(centers)] == [3] * 8
    classes = grouped(f"{c}/patient{p}_{k}.png" for c in ("benign", "malignant") for p in range(4) for k in range(3))
    assert [len(members) for members in sets(classes)] == [6] * 4


@given(
    st.lists(st.uuids(), min_size=2, max_size=200, unique=True),
    st.sampled_from(["{}.png", "{}/images/{}.png", "img_{}.png"]),
)
def test_random_names_are_no_groups(names: list[object], form: str) -> None:
    assert not grouped(form.format(name, name) for name in names).groups
    assert not grouped(form.format(f"{name}".replace("-", ""), name) for name in names).groups


letters = st.text(st.sampled_from("abcdefghjkmnqvwz"), min_size=2, max_size=6).filter(
    lambda word: folder_word(word).split is None  # "dev" is a split
)
schemes = st.tuples(
    st.sampled_from(["", "{word}_", "{word}-", "{word}/", "images/", "train/"]),
    st.sampled_from(["patient", "subject_", "case-", "P", "pat ", "sub-", "volume_", "{word}_", "TCGA-AB-"]),
    st.sampled_from(["{:04d}", "1{:03d}"]),
    st.sampled_from(["_{}", "-{}", "/{}", "_slice{:03d}", "_t{}", "/slice_{}", "_day1_frame{}", "/scan/img_{}"]),
    letters,
)


@settings(deadline=None)
@given(schemes, st.lists(st.integers(1, 9), min_size=10, max_size=40), st.integers(0, 10**6), st.booleans())
def test_no_patient_is_torn_by_a_drawn_split(
    scheme: tuple[str, str, str, str, str], sizes: list[int], seed: int, equal: bool
) -> None:
    before, who, number, what, word = scheme
    if max(sizes) == 1:
        sizes[0] = 2
    paths = {
        f"{p}-{k}": (before + who).format(word=word) + number.format(p) + what.format(k) + ".png"
        for p, size in enumerate(sizes)
        for k in range(size)
    }
    # With `equal`, each third patient has a picture that the next one has, too.
    same = {f"{p + 1}-0": f"{p}-0" for p in range(0, len(sizes) - 1, 3)} if equal else {}
    cases = [
        Case(id=name, images=(path,), masks=("m",), pixels=same.get(name, name)) for name, path in sorted(paths.items())
    ]
    cases, words, findings = with_groups(cases)
    manifest = Manifest(root="/data", layout="", split_origin="", grouping=words, cases=tuple(cases))
    drawn = complete(manifest, seed=seed)
    assert drawn == complete(manifest.model_copy(update={"cases": tuple(cases)}), seed=seed)
    where = {case.id: case.split for case in drawn.cases}
    assert set(where.values()) == {"train", "val", "test"}
    assert all(len({where[f"{p}-{k}"] for k in range(size)}) == 1 for p, size in enumerate(sizes)), words
    assert all(where[one] == where[other] for one, other in same.items())
    assert "by group" in drawn.split_origin
    assert not findings


@given(st.permutations([f"img_{p:02}_t{k}.png" for p in range(8) for k in range(3)]))
def test_the_order_of_the_names_does_not_matter(paths: list[str]) -> None:
    found = grouped(paths)
    assert found.words == grouped(sorted(paths)).words
    assert found.groups == grouped(sorted(paths)).groups


def test_drawn_splits_say_what_they_know(make_pairs: Pairs, tmp_path: Path) -> None:
    plain = complete(discover(make_pairs([f"s{k:02}" for k in range(12)], root=tmp_path / "plain")))
    assert plain.split_origin == "seeded: train/val/test 80/10/10 by case, seed 0"
    assert plain.grouping == ""
    names = [f"TCGA_CS_{4900 + p}_19960909_{k}" for p in range(12) for k in range(1, 4)]
    patients = complete(discover(make_pairs(names, root=tmp_path / "patients")))
    assert patients.split_origin == "seeded: train/val/test 80/10/10 by group, seed 0"
    assert patients.grouping.startswith("12 patients or sequences, from the names (TCGA_CS_4900, ")
    report = check(tmp_path / "patients")
    assert dict(report.rows)["groups"] == patients.grouping
    assert not any("more than one split" in finding.text for finding in report.findings)


def test_equal_pictures_are_drawn_together(make_pairs: Pairs) -> None:
    root = make_pairs([f"s{k:02}" for k in range(12)])
    for other in ("s05", "s09"):
        (root / "images" / f"{other}.png").write_bytes((root / "images" / "s01.png").read_bytes())
    for seed in range(20):
        manifest = check(root, seed=seed).manifest
        assert manifest is not None
        where = {case.id: case.split for case in manifest.cases}
        assert where["s01"] == where["s05"] == where["s09"]
        assert manifest.split_origin == f"seeded: train/val/test 80/10/10 by case, copies together, seed {seed}"


def test_too_few_patients_name_the_way_out(make_pairs: Pairs) -> None:
    root = make_pairs([f"patient{p}_{k}" for p in range(2) for k in range(8)])
    with pytest.raises(
        DataError, match=r"too few patients or sequences \(2: .*from the names .*--group-by none"
    ) as caught:
        complete(discover(root))
    assert "\n" not in str(caught.value)
