"""Names of the files of published sets of volumes: what is a case, its channels and its mask. The files are empty."""

from __future__ import annotations

from pathlib import Path

import pytest

from delineate.data.layouts.discover import Match, recognize


def errors(found: Match) -> list[str]:
    return [str(finding) for finding in found.findings if finding.severity == "error"]


def touched(root: Path, *names: str) -> Path:
    """Empty files: layouts are told by names."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.mark.parametrize(
    ("names", "case", "images", "channels"),
    [
        (
            [f"{kind}-{n}.nii" for n in range(3) for kind in ("volume", "segmentation")],
            "volume-1",
            ("volume-1.nii",),
            (),
        ),
        (
            [f"case_{n:05d}/{kind}.nii.gz" for n in range(3) for kind in ("imaging", "segmentation")],
            "case_00001",
            ("case_00001/imaging.nii.gz",),
            (),
        ),
        (
            [f"{n}/{kind}.nii.gz" for n in (60, 61) for kind in ("FLAIR", "T1", "mask")],
            "61",
            ("61/FLAIR.nii.gz", "61/T1.nii.gz"),
            ("FLAIR", "T1"),
        ),
        (
            [f"sub-{n}/anat/sub-{n}_{kind}.nii.gz" for n in (1, 2) for kind in ("T1w", "FLAIR", "label")],
            "sub-2",
            ("sub-2/anat/sub-2_FLAIR.nii.gz", "sub-2/anat/sub-2_T1w.nii.gz"),
            ("FLAIR", "T1w"),
        ),
        (
            [f"p{n}/p{n}_{kind}.nii.gz" for n in (1, 2) for kind in ("4d", "frame01", "frame01_gt")],
            "p2_frame01",
            ("p2/p2_frame01.nii.gz",),
            (),
        ),
        (
            [f"p{n}/p{n}_{kind}.mhd" for n in (1, 2) for kind in ("2CH_sequence", "2CH_ED", "2CH_ED_gt")],
            "p2_2CH_ED",
            ("p2/p2_2CH_ED.mhd",),
            (),
        ),
        (
            [f"00{n}/00{n}_{kind}.nii.gz" for n in (1, 2) for kind in ("SA_CINE", "SA_ED", "SA_ED_gt")],
            "002_SA_ED",
            ("002/002_SA_ED.nii.gz",),
            (),
        ),
        (
            [f"train/Patient_{n}/{name}.nii.gz" for n in (1, 2) for name in (f"Patient_{n}", "GT")]
            + ["test/Patient_9.nii.gz"],
            "Patient_2",
            ("train/Patient_2/Patient_2.nii.gz",),
            (),
        ),
        (
            [
                f"case_{n}/{kind}.nii.gz"
                for n in (1, 2)
                for kind in ("imaging", "segmentation", "instances/kidney_instance-1_annotation-1")
            ],
            "case_2",
            ("case_2/imaging.nii.gz",),
            (),
        ),
        (
            [f"sub-{n}/anat/sub-{n}_rec-mial_{kind}.nii.gz" for n in (1, 2) for kind in ("T2w", "dseg")],
            "sub-2_rec-mial",
            ("sub-2/anat/sub-2_rec-mial_T2w.nii.gz",),
            (),
        ),
        (
            [f"{kind}{split}/amos_{n}.nii.gz" for kind in ("images", "labels") for split, n in (("Tr", 1), ("Va", 2))],
            "amos_2",
            ("imagesVa/amos_2.nii.gz",),
            (),
        ),
    ],
    ids=["LiTS", "KiTS", "WMH", "BIDS-like", "ACDC", "CAMUS", "M&Ms-2", "SegTHOR", "KiTS23", "FeTA", "AMOS"],
)
def test_names_of_other_challenges(
    tmp_path: Path, names: list[str], case: str, images: tuple[str, ...], channels: tuple[str, ...]
) -> None:
    found = recognize(touched(tmp_path, *names))
    assert (errors(found), found.channels) == ([], channels)
    assert {one.id: one.images for one in found.cases}[case] == images


def test_a_case_of_plain_names_without_mask_is_an_error(tmp_path: Path) -> None:
    names = [f"case_{n}/{kind}.nii.gz" for n in range(4) for kind in ("imaging", "segmentation")]
    (line,) = errors(recognize(touched(tmp_path, *names[:-1])))
    assert "1 case has no mask: case_3" in line


def test_volumes_that_are_of_no_case_are_told(tmp_path: Path) -> None:
    names = [f"source_training/c_{n}_{kind}.nii.gz" for n in range(3) for kind in ("ceT1", "Label")]
    found = recognize(touched(tmp_path, *names, "target_training/c_7_hrT2.nii.gz", "target_training/c_8_hrT2.nii.gz"))
    assert len(found.cases) == 3
    assert any("folders that are not used: target_training" in str(finding) for finding in found.findings)


def test_a_sequence_with_a_mask_of_its_own_is_a_case(tmp_path: Path) -> None:
    names = [f"p{n}/p{n}_{kind}.nii.gz" for n in (1, 2) for kind in ("ED", "ED_gt", "sequence", "sequence_gt")]
    assert len(recognize(touched(tmp_path, *names)).cases) == 4


def test_a_folder_of_an_image_of_its_own_name_without_mask_is_an_error(tmp_path: Path) -> None:
    names = [f"Patient_{n}/{name}.nii.gz" for n in range(3) for name in (f"Patient_{n}", "GT")]
    (line,) = errors(recognize(touched(tmp_path, *names[:-1])))
    assert "1 case has no mask: Patient_2" in line
