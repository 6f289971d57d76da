"""Codes of classes: SNOMED's by name, files of one's own and dcmqi's; each fault is one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from delineate.common.errors import DataError
from delineate.data.formats.dicom_masks.codes import default_segments, read_segments
from delineate.data.formats.dicom_masks.snomed import LEFT, RIGHT, STRUCTURES, known_code

COLORS = ((1, 2, 3), (4, 5, 6))
NAMES = ("liver", "tumor core")


def test_every_code_is_snomeds() -> None:
    concepts = pytest.importorskip("pydicom.sr._concepts_dict").concepts["SCT"]
    known: dict[str, set[str]] = {}
    for entry in concepts.values():
        for value, (meaning, _) in entry.items():
            known.setdefault(value, set()).add(meaning.lower())
    for category, code in [*STRUCTURES.values(), (LEFT, RIGHT)]:  # sides have no category: both are looked up
        assert category.value in known
        assert code.meaning.lower() in known[code.value]


@pytest.mark.parametrize(
    ("name", "meaning", "side"),
    [
        ("Liver", "Liver", None),
        ("kidney_left", "Kidney", LEFT),
        ("R Kidney", "Kidney", RIGHT),
        ("lungs", "Lung", None),
        ("left ventricle", "Left ventricle", None),
        ("tumour", "Neoplasm", None),
    ],
)
def test_common_names_are_known(name: str, meaning: str, side: object) -> None:
    found = known_code(name)
    assert found is not None
    assert (found.type.meaning, found.side) == (meaning, side)


@pytest.mark.parametrize("name", ["liver tumor", "left", "foreground", "RV", "", "kidney left right"])
def test_nothing_is_guessed(name: str) -> None:
    assert known_code(name) is None


def test_defaults_keep_name_and_color() -> None:
    first, second = default_segments(NAMES, COLORS)
    assert (first.type.meaning, first.color) == ("Liver", COLORS[0])
    assert (second.label, second.is_generic) == ("tumor core", True)


def test_own_form(tmp_path: Path) -> None:
    path = tmp_path / "codes.yaml"
    path.write_text(
        "liver: {type: [10200004, SCT, Liver], color: [9, 8, 7]}\n"
        "Tumor core: {category: [49755003, SCT, Abnormal], type: [X1, 99MINE, Core], modifier: [24028007, SCT, Right]}\n"
        "other: {type: [1, a, b]}\n"
    )
    first, second = read_segments(path, NAMES, COLORS)
    assert (first.type.value, first.category.meaning, first.color) == ("10200004", "Anatomical Structure", (9, 8, 7))
    assert (second.label, second.type.scheme, second.modifier, second.color) == (
        "tumor core",
        "99MINE",
        RIGHT,
        (4, 5, 6),
    )


def _item(number: object, label: str = "", **more: object) -> dict[str, object]:
    code = {"CodeValue": "10200004", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Liver"}
    item = {"labelID": number, "SegmentedPropertyCategoryCodeSequence": code, "SegmentedPropertyTypeCodeSequence": code}
    return {**item, **({"SegmentLabel": label} if label else {}), **more}


def test_form_of_dcmqi(tmp_path: Path) -> None:
    path = tmp_path / "meta.json"
    items = [[_item(2, recommendedDisplayRGBValue=[1, 1, 1])], [_item(1, "liver"), _item(9)]]
    path.write_text(json.dumps({"ContentCreatorName": "x", "segmentAttributes": items}))
    first, second = read_segments(path, NAMES, COLORS)
    assert (first.label, first.type.meaning, first.color) == ("liver", "Liver", COLORS[0])
    assert (second.label, second.color) == ("tumor core", (1, 1, 1))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("liver: {type: [1, SCT, Liver]}", "has no code for “tumor core”"),
        ("liver: {type: [1, SCT]}", r"type is not \[value, scheme, meaning\]"),
        ("liver: {kind: x, type: [1, SCT, L]}", "unknown key 'kind'"),
        ("liver: {category: [1, SCT, L]}", "has no type"),
        ("liver: {type: [1, SCT, L], color: [1, 2, 300]}", "the color is not"),
        ("liver: {type: [12345678901234567, SCT, L]}", "longer than DICOM allows"),
        ("[1, 2]", "is no table of codes"),
        ("{", "cannot be read as JSON or YAML"),
        (json.dumps({"segmentAttributes": [[_item(1, "tumor core")]]}), "is called 'tumor core', the name of class 2"),
        (json.dumps({"segmentAttributes": [[_item("1")]]}), "without labelID"),
        (json.dumps({"segmentAttributes": [[_item(1)]]}), "has no code for “tumor core”"),
    ],
)
def test_faults_are_one_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "codes.yaml"
    path.write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        read_segments(path, NAMES, COLORS)
    assert "\n" not in str(caught.value)
    assert "codes.yaml" in str(caught.value)
