"""Classes of DICOM masks by the codes of their segments (`--codes`): told, refused in one line, and kept with the model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pydicom")
pytest.importorskip("highdicom")

import pydicom

from delineate.common.errors import DataError
from delineate.data.cases.volumes import volume_mask
from delineate.data.core.class_codes import Code
from delineate.data.core.manifest import Manifest
from delineate.data.doctor.check import check
from delineate.data.formats.canonical import Canonical
from delineate.data.formats.dicom_masks.codes import read_codes
from delineate.data.formats.registry import open_image
from delineate.data.layouts.source import DataSource
from delineate.data.loading.open_data import open_data
from dicom_results import balls, write_rtstruct, write_seg
from scanner import noise, write_series

SHAPE = (14, 11, 7)
THING = Code("108369006", "SCT", "Neoplasm")
OWN = """
tumor: {type: [108369006, SCT, Neoplasm], color: [1, 2, 3]}
liver: {type: [10200004, SCT, Liver]}
kidney: {type: [64033007, SCT, Kidney]}
spare: {type: [1, X, Y]}
"""


def write_set(root: Path, change: Callable[[Any, int], None] = lambda dataset, at: None) -> Path:
    """Three series with a binary segmentation, a label map and a structure set whose labels tell nothing; their codes do."""
    for at, kind in enumerate(("binary", "labelmap", "rtstruct")):

        def own(image: Any, _: int, at: int = at) -> None:
            image.PatientID = f"X{at}"

        series = write_series(root / f"p{at}" / "ct", noise(SHAPE, seed=at), change=own)
        file = root / f"p{at}" / "mask.dcm"
        write_rtstruct(file, balls(SHAPE), series) if kind == "rtstruct" else write_seg(
            file, balls(SHAPE), series, kind
        )  # type: ignore[arg-type]
        dataset = pydicom.dcmread(file)
        for item in dataset.get("SegmentSequence") or []:
            if item.SegmentNumber:
                item.SegmentLabel = f"Segment_{item.SegmentNumber}"
                item.SegmentDescription = ""
        for item in dataset.get("StructureSetROISequence") or []:
            item.ROIName = f"ROI {item.ROINumber}"
        set_code(dataset, 3, THING)
        set_code(dataset, 1, Code("T-62000", "SRT", "Liver"))  # as files of before 2018 have it
        change(dataset, at)
        dataset.save_as(file)
    return root


def set_code(dataset: Any, number: int, code: Code) -> None:
    items = [
        item.SegmentedPropertyTypeCodeSequence[0]
        for item in dataset.get("SegmentSequence") or []
        if item.SegmentNumber == number
    ]
    items += [
        item.RTROIIdentificationCodeSequence[0]
        for item in dataset.get("RTROIObservationsSequence") or []
        if item.ReferencedROINumber == number
    ]
    for item in items:
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code


def set_label(dataset: Any, number: int, label: str) -> None:
    for item in dataset.get("SegmentSequence") or []:
        if item.SegmentNumber == number:
            item.SegmentLabel = label


def codes(folder: Path, text: str = OWN) -> str:
    file = folder / "codes.yaml"
    file.write_text(text)
    return str(file)


def errors(source: DataSource) -> list[str]:
    return [str(one) for one in check(source).findings if one.severity == "error"]


def assert_masks(manifest: Manifest, becomes: dict[int, int]) -> None:
    """`becomes`: index in the balls → that in the masks."""
    table = np.array([0, *(becomes[at] for at in (1, 2, 3))], np.uint8)
    for case in manifest.cases:
        turn = Canonical(open_image(manifest.path(case.images[0]))).turn
        assert np.array_equal(volume_mask(manifest, case), turn.apply(table[balls(SHAPE)])), case


def test_codes_tell_classes_and_their_order(tmp_path: Path) -> None:
    root = write_set(tmp_path / "set")
    with pytest.raises(DataError, match="classes whose names tell nothing"):
        DataSource(root).manifest()
    manifest, _ = open_data(DataSource(root, codes=codes(tmp_path)), validation=False)
    assert manifest.classes.names == ("background", "tumor", "liver", "kidney")
    assert [code.type for code in manifest.classes.codes] == [
        THING,
        Code("10200004", "SCT", "Liver"),
        Code("64033007", "SCT", "Kidney"),
    ]
    assert manifest.classes.codes[0].color == (1, 2, 3)
    assert "classes of the DICOM masks by their codes: 1 tumor, 2 liver, 3 kidney" in manifest.notes
    assert_masks(manifest, {1: 2, 2: 3, 3: 1})
    manifest.save(tmp_path / "manifest.json")
    again, _ = open_data(tmp_path / "manifest.json", validation=False)
    assert again.classes.codes == manifest.classes.codes


def test_a_copy_beside_them_changes_nothing(tmp_path: Path) -> None:
    root = write_set(tmp_path / "set")
    shutil.copy(root / "p0" / "mask.dcm", root / "p0" / "copy.dcm")
    report = check(DataSource(root, codes=codes(tmp_path)))
    assert report.manifest is not None
    assert report.manifest.classes.names == ("background", "tumor", "liver", "kidney")
    assert any("1 copy of " in one.text for one in report.findings)


def test_the_side_parts_classes(tmp_path: Path) -> None:
    text = OWN.replace("kidney:", "right kidney:").replace("Kidney]", "Kidney], modifier: [24028007, SCT, Right]")
    root = write_set(tmp_path / "set")
    (line,) = errors(DataSource(root, codes=codes(tmp_path, text)))
    assert "codes.yaml has no class for 'Segment_2' (64033007 SCT Kidney, Left) in p0/mask.dcm and 1 more mask" in line
    assert "'ROI 2' (64033007 SCT Kidney) in p2/mask.dcm" in line
    both = (
        text
        + "left kidney: {type: [64033007, SCT, Kidney], modifier: [7771000, SCT, Left]}\nkidney: {type: [64033007, SCT, K]}"
    )
    manifest, _ = open_data(DataSource(root, codes=codes(tmp_path, both)), validation=False)
    assert manifest.classes.names == ("background", "tumor", "liver", "left kidney", "kidney")


def test_segments_of_one_class_are_one_class(tmp_path: Path) -> None:
    root = write_set(tmp_path / "set", lambda dataset, at: set_code(dataset, 2, Code("10200004", "SCT", "Liver")))
    manifest, _ = open_data(DataSource(root, codes=codes(tmp_path)), validation=False)
    assert manifest.classes.names == ("background", "tumor", "liver")
    assert_masks(manifest, {1: 2, 2: 2, 3: 1})


def test_dcmqis_form_and_labels_of_uncoded_segments(tmp_path: Path) -> None:
    def change(dataset: Any, at: int) -> None:
        set_label(dataset, 2, "Left_Kidney")
        set_code(dataset, 2, Code("1", "99OURS", "Something"))
        for item in dataset.get("StructureSetROISequence") or []:
            item.ROIName = "left kidney" if item.ROINumber == 2 else item.ROIName

    root = write_set(tmp_path / "set", change)

    def item(number: int, label: str, code: Code) -> dict[str, Any]:
        said = dict(zip(("CodeValue", "CodingSchemeDesignator", "CodeMeaning"), code, strict=True))
        kinds = {"SegmentedPropertyCategoryCodeSequence": said, "SegmentedPropertyTypeCodeSequence": said}
        return {"labelID": number, "SegmentLabel": label, **kinds}

    entries = [
        item(7, "Growth", THING),
        item(3, "Left kidney", Code("64033007", "SCT", "Kidney")),
        item(9, "", Code("10200004", "SCT", "Liver")),
    ]
    file = tmp_path / "meta.json"
    file.write_text(json.dumps({"segmentAttributes": [entries]}))
    manifest, _ = open_data(DataSource(root, codes=str(file)), validation=False)
    assert manifest.classes.names == ("background", "Left kidney", "Growth", "Liver")
    assert_masks(manifest, {1: 3, 2: 1, 3: 2})


def test_what_is_missing_or_contradicts_is_one_line(tmp_path: Path) -> None:
    root = write_set(tmp_path / "set")
    lacking = codes(tmp_path, "liver: {type: [10200004, SCT, Liver]}\nkidney: {type: [64033007, SCT, Kidney]}")
    (line,) = errors(DataSource(root, codes=lacking))
    assert "codes.yaml has no class for 'Segment_3' (108369006 SCT Neoplasm) in p0/mask.dcm and 1 more mask" in line
    write_set(tmp_path / "odd", lambda dataset, at: set_label(dataset, 2, "tumor") if at == 0 else None)
    (line,) = errors(DataSource(tmp_path / "odd", codes=codes(tmp_path)))
    assert "'tumor' (64033007 SCT Kidney, Left) may be 'tumor' and 'kidney' in p0/mask.dcm" in line
    twice = OWN.replace("spare: {type: [1, X, Y]}", "mass: {type: [108369006, SCT, Neoplasm]}")
    (line,) = errors(DataSource(root, codes=codes(tmp_path, twice)))
    assert "may be 'tumor' and 'mass' in p0/mask.dcm and 1 more mask, 'ROI 3'" in line
    for text, fault in (
        (OWN + "background: {type: [2, X, Y]}", "has a code for 'background', which is no class"),
        (OWN + "Kid-ney: {type: [2, X, Y]}\nkid ney: {type: [3, X, Y]}", "calls two classes 'Kid-ney' and 'kid ney'"),
    ):
        (line,) = errors(DataSource(root, codes=codes(tmp_path, text)))
        assert fault in line
    with pytest.raises(DataError, match=r"^codes .*none.yaml cannot be read: No such file or directory$"):
        DataSource(root, codes=str(tmp_path / "none.yaml")).manifest()


def test_labels_name_the_classes_and_codes_only_describe_them(tmp_path: Path) -> None:
    root = write_set(tmp_path / "set")
    manifest, _ = open_data(
        DataSource(root, labels="1=kidney,2=liver,3=tumor", codes=codes(tmp_path)), validation=False
    )
    assert manifest.classes.names == ("background", "kidney", "liver", "tumor")
    assert manifest.classes.codes[2].type == THING
    with pytest.raises(DataError, match="has no code for “mass”; add it, or leave --codes out"):
        open_data(DataSource(root, labels="1=kidney,2=liver,3=mass", codes=codes(tmp_path)), validation=False)
    (line,) = errors(DataSource(root, labels="1=kidney,2=liver,3=mass", codes=codes(tmp_path)))
    assert "has no code for “mass”" in line


def test_a_label_id_means_one_class(tmp_path: Path) -> None:
    code = {"CodeValue": "1", "CodingSchemeDesignator": "X", "CodeMeaning": "A"}
    one = {"labelID": 1, "SegmentedPropertyCategoryCodeSequence": code, "SegmentedPropertyTypeCodeSequence": code}
    file = tmp_path / "meta.json"
    file.write_text(json.dumps({"segmentAttributes": [[one], [one]]}))
    assert len(read_codes(file).entries) == 1
    file.write_text(json.dumps({"segmentAttributes": [[one], [{**one, "SegmentLabel": "b"}]]}))
    with pytest.raises(DataError, match="labelID 1 is there twice, and the two differ"):
        read_codes(file)
