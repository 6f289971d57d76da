"""Scores by region: of any masks, by the regions that somebody names; against scores of masks that were made binary by hand."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from delineate.api import compare, evaluate
from delineate.common.errors import DataError
from delineate.data.core.manifest import ClassTable
from delineate.evaluation.inputs.prediction_list import PredictionList
from delineate.evaluation.results.scores_file import ScoresFile
from delineate.report.parts.overlays import Overlays

NESTED = "whole=edema+core+enhancing,core=core+enhancing,enhancing"
PARTS = {"whole": (1, 2, 3), "core": (2, 3), "enhancing": (3,)}


def labels(regions: str = "") -> str:
    return f"labels: {{background: 0, edema: 1, core: 2, enhancing: 3, ignore: 255}}\n{regions}"


NAMED = labels("regions: {whole: [edema, core, enhancing], core: [core, enhancing], enhancing: [enhancing]}\n")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Predictions and references of five cases with some pixels to ignore, and the references' names."""
    rng = np.random.default_rng(0)
    for name in ("predictions", "references"):
        (tmp_path / name).mkdir()
    for at in range(5):
        mask = cv2.resize(rng.integers(0, 4, (6, 7), np.uint8), (56, 48), interpolation=cv2.INTER_NEAREST)
        found = np.where(rng.random(mask.shape) < 0.2, rng.integers(0, 4, mask.shape), mask).astype(np.uint8)
        mask[:4, :9] = 255
        cv2.imwrite(str(tmp_path / "references" / f"c{at}.png"), mask)
        cv2.imwrite(str(tmp_path / "predictions" / f"c{at}.png"), found)
    (tmp_path / "references" / "labels.yaml").write_text(labels())
    return tmp_path / "predictions", tmp_path / "references"


def test_a_region_scores_as_the_union_of_its_classes(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """An independent oracle: each region written as black and white masks, and scored as one class."""
    metrics = "dice,iou,hd95_pooled"
    found = evaluate(*folders, regions=NESTED, metrics=metrics, out=tmp_path / "scores")
    for name, parts in PARTS.items():
        united = [tmp_path / name / folder.name for folder in folders]
        for folder, made in zip(folders, united, strict=True):
            made.mkdir(parents=True)
            for path in folder.glob("*.png"):
                mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
                black_and_white = np.where(mask == 255, 100, 255 * np.isin(mask, parts)).astype(np.uint8)
                cv2.imwrite(str(made / path.name), black_and_white)
        (united[1] / "labels.yaml").write_text("labels: {background: 0, it: 255, ignore: 100}\n")
        alone = evaluate(*united, metrics=metrics, out=tmp_path / name / "scores")
        ours = [row for row in found.rows if row.name == name]
        for one, other in zip(ours, alone.rows, strict=True):
            assert (one.case, one.scores) == (other.case, other.scores)
            assert (one.tp, one.fp, one.fn, one.tn) == (other.tp, other.fp, other.fn, other.tn)
    plain = evaluate(*folders, regions="none", metrics="dice,iou", out=tmp_path / "plain")
    assert found.by_class is not None
    for name, means in plain.summary.classes.items():
        assert found.by_class.classes[name]["dice"] == means["dice"]
    assert np.array_equal(found.confusion, plain.confusion)


def test_regions_of_the_references_and_what_is_kept_of_them(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (folders[1] / "labels.yaml").write_text(NAMED)
    evaluate(*folders, metrics="dice", out=tmp_path / "scores")
    stored = json.loads((tmp_path / "scores" / "scores.json").read_text())
    assert (stored["of"], list(stored["classes"])) == ("regions", list(PARTS))
    assert stored["regions"]["core"] == ["core", "enhancing"]
    assert list(stored["by_class"]) == ["edema", "core", "enhancing"]
    read = ScoresFile.read(tmp_path / "scores")
    assert (read.of, [row.label for row in read.rows[:3]]) == ("regions", [1, 2, 3])
    assert Overlays.find(read).names == ["background", "edema", "core", "enhancing"]
    evaluate(*folders, metrics="dice", regions="none", out=tmp_path / "plain")
    with pytest.raises(DataError, match="different classes"):
        compare([tmp_path / "scores", tmp_path / "plain"], out=tmp_path / "comparison")


def test_classes_in_another_order_keep_their_regions(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """The predictions number enhancing first; the references' regions follow their classes there."""
    (folders[1] / "labels.yaml").write_text(NAMED)
    expected = evaluate(*folders, metrics="dice", out=tmp_path / "scores")
    order = np.array([0, 3, 2, 1], np.uint8)
    for path in folders[0].glob("*.png"):
        cv2.imwrite(str(path), order[cv2.imread(str(path), cv2.IMREAD_UNCHANGED)])
    listed = PredictionList(
        method="x",
        model=None,
        model_sha256=None,
        class_names=("background", "enhancing", "core", "edema"),
        files=[{"image": path.name, "mask": path.name} for path in sorted(folders[0].glob("*.png"))],
    )
    listed.save(folders[0])
    found = evaluate(*folders, metrics="dice", out=tmp_path / "turned")
    assert [row.scores for row in found.rows] == [row.scores for row in expected.rows]


@pytest.mark.parametrize(
    ("regions", "said"),
    [
        ("a=edema+core,b=core+enhancing", "--regions: regions 'a' and 'b' are not nested"),
        ("whole=edma+core", "--regions: region 'whole': unknown class 'edma': did you mean 'edema'"),
        ("whole=edema+core,core", "--regions: class 'enhancing' is in no region"),
        ("core,core=core+edema", "--regions: region 'core' is there twice"),
        ("core,,", "--regions: '' is no region"),
        ("=core", "--regions: '=core' is no region"),
    ],
)
def test_wrong_regions_are_refused(folders: tuple[Path, Path], tmp_path: Path, regions: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        evaluate(*folders, regions=regions, out=tmp_path / "scores")
    assert not (tmp_path / "scores").exists()


def test_a_damaged_list_of_predictions_is_named(tmp_path: Path) -> None:
    table = ClassTable()
    damaged = {"method": "x", "model": None, "model_sha256": None, "class_names": table.names, "files": []}
    damaged["regions"] = [{"name": "r", "classes": [3], "paints": 3}]
    (tmp_path / "predictions.json").write_text(json.dumps(damaged))
    with pytest.raises(DataError, match=r"predictions\.json cannot be read"):
        PredictionList.find(tmp_path)
