"""What `check` says about pictures, masks and splits beyond what training needs to know."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from delineate.common.errors import DataError
from delineate.data.cases.phantom import write_phantoms
from delineate.data.doctor.check import CheckReport, check
from delineate.data.doctor.quality import Light, agreement, constant_and_dark
from delineate.data.formats.registry import read_image
from delineate.data.layouts.source import DataSource

Write = Callable[[Path, Any], Path]
Pairs = Callable[..., Path]
TEN = [f"s{number}" for number in range(10)]


def texts(report: CheckReport) -> str:
    return " | ".join(f"{finding.severity}: {finding.text}" for finding in report.findings)


def test_near_duplicates_across_splits_are_warnings(tmp_path: Path, write: Write) -> None:
    root = write_phantoms(tmp_path / "set", count=12, size=96, seed=1)
    names = sorted(path.stem for path in (root / "images").iterdir())
    image = read_image(root / "images" / f"{names[0]}.png")
    write(root / "images" / "copy.png", image[3:, 94:0:-1])
    write(root / "masks" / "copy.png", np.zeros((93, 94), np.uint8))
    for name, entries in (("train", names[:8]), ("val", names[8:]), ("test", ["copy"])):
        (root / f"{name}.txt").write_text("\n".join(entries))
    report = check(root)
    assert report.usable
    assert [(pair.first, pair.second) for pair in report.duplicates.across()] == [("copy", names[0])]
    assert report.findings[0].text.startswith("1 pair of near duplicates lies in different splits: copy (test) ≈")


def test_near_duplicates_within_a_patient_are_only_counted(tmp_path: Path, write: Write) -> None:
    root = write_phantoms(tmp_path / "set", count=8, size=96, seed=1)
    name = min(path.name for path in (root / "images").iterdir())
    image = read_image(root / "images" / name)
    for number in range(2):
        write(root / "images" / f"patient1_slice_{number}.png", image[2 + number :, 2 + number :][:90, :90])
        write(root / "masks" / f"patient1_slice_{number}.png", np.zeros((90, 90), np.uint8))
    (root / "images" / name).unlink()
    (root / "masks" / name).unlink()
    for path in root.glob("*.txt"):
        path.unlink()
    report = check(root)
    assert report.duplicates.within_groups == 1
    assert report.duplicates.near == ()


def test_balance_counts_cases_and_pixels(make_pairs: Pairs) -> None:
    root = make_pairs(TEN, empty=("s1", "s2"))
    (root / "train.txt").write_text("\n".join(TEN[:6]))
    (root / "val.txt").write_text("\n".join(TEN[6:]))
    found = {(share.split, share.name): share for share in check(root).shares}
    train, val = found["train", "foreground"], found["val", "foreground"]
    assert (train.showing, train.cases, train.pixels) == (4, 6, 4 * 24 / (6 * 256))
    assert (val.showing, val.cases, val.pixels) == (4, 4, 24 / 256)
    assert found["train", "background"].pixels == 1 - train.pixels


def test_classes_that_a_split_lacks(make_pairs: Pairs) -> None:
    root = make_pairs(TEN, empty=("s8", "s9"))
    (root / "train.txt").write_text("\n".join(TEN[:8]))
    (root / "val.txt").write_text("\n".join(TEN[8:]))
    assert "warning: no validation case shows foreground" in texts(check(root))


def test_masks_of_two_codings(make_pairs: Pairs, write: Write) -> None:
    root = make_pairs(TEN)
    mask = np.zeros((16, 16), np.uint8)
    mask[2:5, 2:9] = 1
    write(root / "masks" / "s4.png", mask)
    report = check(root)
    assert "some masks hold 0 and 1, others 0 and 255" in texts(report)
    assert report.proposed is not None
    assert report.proposed.values == {0: 0, 1: 1, 255: 1}
    assert dict(report.rows)["mapping"] == "0 → 0 background, 1 → 1 foreground, 255 → 1 foreground"


def test_masks_saved_as_jpeg(make_pairs: Pairs, write: Write) -> None:
    root = make_pairs(TEN, size=64)
    for stem in TEN:
        mask = cv2.circle(np.zeros((64, 64), np.uint8), (30, 30), 17, 255, -1)
        write(root / "masks" / f"{stem}.jpg", mask)
        (root / "masks" / f"{stem}.png").unlink()
    report = check(root)
    assert "note: 10 masks hold gray between black and white" in texts(report)
    assert "note: 10 masks are stored as JPEG" in texts(report)
    assert dict(report.rows)["mapping"] == "0…127 → 0 background, 128…255 → 1 foreground"


def test_specks_and_little_foreground(make_pairs: Pairs, write: Write) -> None:
    root = make_pairs(TEN, size=64)
    tiny, speckled = np.zeros((2, 64, 64), np.uint8)
    tiny[5, 5:8] = 255
    speckled[20:40, 20:40] = speckled[3, 3] = speckled[4, 4] = speckled[60, 60] = 255
    write(root / "masks" / "s3.png", tiny)
    write(root / "masks" / "s7.png", speckled)
    report = check(root)
    assert report.small == ["s3"]
    assert report.speckled == ["s7", "s3"]
    assert (report.objects["s7"].parts, report.objects["s7"].specks) == (3, 2)


def test_constant_and_dark_pictures(make_pairs: Pairs, write: Write) -> None:
    root = make_pairs(TEN)
    write(root / "images" / "s2.png", np.full((16, 16, 3), 90, np.uint8))
    write(root / "images" / "s5.png", np.random.default_rng(0).integers(0, 9, (16, 16, 3), np.uint8))
    report = check(root)
    assert (report.constant, report.dark) == (["s2"], ["s5"])
    assert "1 picture has one value throughout: s2" in texts(report)


@pytest.mark.parametrize(
    ("brights", "dark"),
    [([200, 210, 3], ["2"]), ([12, 14, 10], []), ([4000, 3900, 80], ["2"]), ([4000, 3900, 1200], [])],
)
def test_dark_is_what_is_darker_than_the_set(brights: list[int], dark: list[str]) -> None:
    lights = {str(at): Light(0, bright, bright) for at, bright in enumerate(brights)}
    assert constant_and_dark(lights) == ([], dark)


def test_agreement_is_dice() -> None:
    one, other = np.zeros((2, 8, 8), np.uint8)
    assert agreement(one, other) == 1
    one[:4], other[2:6] = 1, 3
    assert agreement(one, other) == 0.5
    assert agreement(one, np.full((8, 8), 255, np.uint8)) == 0


def test_a_group_rule_replaces_the_names(make_pairs: Pairs) -> None:
    root = make_pairs([f"{name}-{part}" for name in "abcde" for part in range(2)])
    (root / "train.txt").write_text("\n".join(f"{name}-0" for name in "abcde"))
    (root / "val.txt").write_text("\n".join(f"{name}-1" for name in "abcde"))
    assert "more than one split: a, b, c, d, e" in texts(check(DataSource(root, group_by="^(.)")))
    with pytest.raises(DataError, match="matches none of the 10 cases"):
        check(DataSource(root, group_by="patient"))
