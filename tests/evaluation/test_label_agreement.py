"""References, raters and predictions are read by one class table: right, or refused with a line."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from delineate.common.errors import DataError
from delineate.data.core.manifest import ClassTable, LabelRule
from delineate.data.layouts.source import DataSource
from delineate.evaluation.inputs.prediction_list import PredictedFile, PredictionList
from delineate.evaluation.results.evaluate import Evaluation, EvaluationOptions, evaluate_folders
from delineate.report.pages.evaluation import write_evaluation_report

DICE = EvaluationOptions(metrics=("dice",))
BINARY = ("background", "polyp")


def picture(*values: int, size: int = 40, background: int = 0) -> np.ndarray:
    """A mask with a bar of each value."""
    mask = np.full((size, size), background, np.uint8)
    for at, value in enumerate(values):
        mask[2 + 8 * at : 7 + 8 * at, 4:30] = value
    return mask


def save(folder: Path, **masks: np.ndarray) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, mask in masks.items():
        cv2.imwrite(str(folder / f"{name}.png"), mask if mask.ndim == 2 else mask[..., ::-1])
    return folder


def listing(
    folder: Path, names: tuple[str, ...], labels: LabelRule | None = None, values: tuple[int, ...] | None = None
) -> Path:
    files = tuple(PredictedFile(mask=path.name, image=path.name) for path in sorted(folder.glob("*.png")))
    PredictionList(
        method="unet", model=None, model_sha256=None, class_names=names, files=files, labels=labels, values=values
    ).save(folder)
    return folder


def dice(evaluation: Evaluation) -> list[tuple[str, str, float]]:
    return [(row.name, row.outcome, round(row.scores["dice"], 3)) for row in evaluation.rows]


@pytest.mark.parametrize("names", [("background", "class 2", "class 4"), ("background", "label 2", "label 4")])
@pytest.mark.parametrize("table", [True, False])
def test_references_that_show_some_of_the_ids(tmp_path: Path, names: tuple[str, ...], table: bool) -> None:
    """A model of ids 0, 2, 4; the folder holds 0 and 2 alone. Old lists tell the ids by the classes' names."""
    save(tmp_path / "r", a=picture(2), b=picture(2))
    rule = LabelRule(values={0: 0, 2: 1, 4: 2}) if table else None
    listing(save(tmp_path / "p", a=picture(1), b=picture(1)), names, rule)
    found = evaluate_folders(tmp_path / "p", tmp_path / "r", DICE)
    assert dice(found)[:2] == [(names[1], "found", 1.0), (names[2], "both_empty", 1.0)]
    assert found.references is not None
    assert found.references.labels.reason.startswith("as the predictions know: 0 background, 2 "), (
        "nothing seen elsewhere"
    )


@pytest.mark.parametrize("ids", [(1,), (2,), (255,), (1, 2, 4), (1, 3), (127, 255), (85, 170, 255), (37, 90, 201)])
def test_a_copy_of_the_references_is_perfect(tmp_path: Path, ids: tuple[int, ...]) -> None:
    for folder in ("p", "r"):
        save(tmp_path / folder, a=picture(*ids), b=picture(*ids[:1]), c=picture())
    found = evaluate_folders(tmp_path / "p", tmp_path / "r", DICE)
    assert {score for _, _, score in dice(found)} == {1.0}
    assert found.predictions_read is not None


def test_a_copy_with_ignored_pixels_is_perfect(tmp_path: Path) -> None:
    for folder in ("p", "r"):
        save(tmp_path / folder, a=picture(1, 255), b=picture(1))
    assert evaluate_folders(tmp_path / "p", tmp_path / "r", DICE).headline() == 1
    save(tmp_path / "p", b=picture(1, 1, 255))
    with pytest.raises(DataError, match=r"p/b\.png ignores pixels \(255\)"):
        evaluate_folders(tmp_path / "p", tmp_path / "r", DICE)


@pytest.mark.parametrize(
    ("reference", "prediction", "read"),
    [
        ((1, 2, 4), (1, 2, 4), "the references' own values"),
        ((1, 2, 4), (1, 2, 3), "class indices"),
        ((1, 2), (127, 255), "evenly spaced gray levels"),
        ((128, 255), (1, 2), "class indices"),
        ((128, 255), (128, 255), "the references' own values"),
        ((255,), (1,), "class indices"),
        ((1,), (255,), "black and white"),
        ((7,), (255,), "black and white"),
        ((7,), (1,), "class indices"),
        ((7,), (7,), "the references' own values"),
    ],
)
def test_predictions_of_other_tools(
    tmp_path: Path, reference: tuple[int, ...], prediction: tuple[int, ...], read: str
) -> None:
    save(tmp_path / "r", a=picture(*reference), b=picture(*reference))
    save(tmp_path / "p", a=picture(*prediction), b=picture(*prediction[:-1], 0))
    found = evaluate_folders(tmp_path / "p", tmp_path / "r", DICE)
    assert found.predictions_read == read
    assert [score for _, _, score in dice(found)] == [1.0] * (2 * len(reference) - 1) + [0.0]


def test_two_readings_that_differ_are_not_guessed(tmp_path: Path) -> None:
    """BraTS-like ids: 2 is a reference's value, and an index too."""
    save(tmp_path / "r", a=picture(2, 3))
    save(tmp_path / "p", a=picture(2))
    with pytest.raises(
        DataError, match=r"2 is 'label 2' as the references' own values, but 'label 3' as class indices"
    ) as caught:
        evaluate_folders(tmp_path / "p", tmp_path / "r", DICE)
    assert "--labels" in str(caught.value)
    named = DataSource(tmp_path / "r", labels="2=core,3=edema")
    assert dice(evaluate_folders(tmp_path / "p", named, DICE)) == [("core", "found", 1.0), ("edema", "missed", 0.0)]


def test_references_of_two_codings_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "r", a=picture(1), b=picture(255), c=picture(1))
    save(tmp_path / "p", a=picture(), b=picture(), c=picture())
    with pytest.raises(DataError, match=r"do not agree.*b\.png holds 255"):
        evaluate_folders(tmp_path / "p", tmp_path / "r", DICE)
    found = evaluate_folders(tmp_path / "p", DataSource(tmp_path / "r", labels="1=polyp,255=polyp"), DICE)
    assert {outcome for _, outcome, _ in dice(found)} == {"missed"}


def test_predictions_of_two_codings_are_called_so(tmp_path: Path) -> None:
    save(tmp_path / "r", a=picture(255), b=picture(255), c=picture(255))
    save(tmp_path / "p", a=picture(255), b=picture(1), c=picture(255))
    with pytest.raises(DataError, match=r"do not agree: 2 masks hold 0, 255, but .*b\.png holds 0, 1; write all"):
        evaluate_folders(tmp_path / "p", tmp_path / "r", DICE)


def test_what_predictions_hold_too_much_has_a_cure(tmp_path: Path) -> None:
    save(tmp_path / "r", a=picture(1), b=picture(1))
    save(tmp_path / "p", a=picture(1, 2), b=picture(1))
    with pytest.raises(DataError, match=r"a\.png has the values 0, 1, 2;.*name all classes with --labels"):
        evaluate_folders(tmp_path / "p", tmp_path / "r", DICE)
    named = DataSource(tmp_path / "r", labels="1=core,2=edema")
    outcomes = [outcome for _, outcome, _ in dice(evaluate_folders(tmp_path / "p", named, DICE))]
    assert outcomes == ["found", "false_positive", "found", "both_empty"]
    noisy = cv2.imdecode(cv2.imencode(".jpg", picture(255))[1], cv2.IMREAD_GRAYSCALE)
    save(tmp_path / "p", a=noisy, b=noisy)
    with pytest.raises(DataError, match=r"save masks as PNG"):
        evaluate_folders(tmp_path / "p", tmp_path / "r", DICE)


def test_a_stray_value_in_references_is_named(tmp_path: Path) -> None:
    masks = {f"c{at:02}": picture(255) for at in range(12)}
    save(tmp_path / "p", **{name: picture() for name in masks})
    masks["c07"][0, 0] = 1
    save(tmp_path / "r", **masks)
    with pytest.raises(DataError, match=r"c07\.png holds 1 \(1 px\)"):
        evaluate_folders(tmp_path / "p", tmp_path / "r", DICE)


@pytest.mark.parametrize("listed", [True, False])
def test_healthy_references_are_scored_for_false_positives(tmp_path: Path, listed: bool) -> None:
    save(tmp_path / "r", a=picture(), b=picture())
    save(tmp_path / "p", a=picture(255), b=picture())
    if listed:
        listing(tmp_path / "p", BINARY)
    found = evaluate_folders(tmp_path / "p", tmp_path / "r", DICE)
    assert [outcome for _, outcome, _ in dice(found)] == ["false_positive", "both_empty"]


def test_healthy_references_of_several_classes(tmp_path: Path) -> None:
    save(tmp_path / "r", a=picture(), b=picture())
    listing(save(tmp_path / "p", a=picture(2), b=picture()), ("background", "liver", "spleen"))
    found = evaluate_folders(tmp_path / "p", tmp_path / "r", DICE)
    assert [outcome for _, outcome, _ in dice(found)] == ["both_empty", "false_positive", "both_empty", "both_empty"]


def test_255_is_not_ignored_where_nothing_else_is_marked(tmp_path: Path) -> None:
    """A model of 0/1 with ignored pixels, references of 0/255: its table would ignore all that is marked."""
    save(tmp_path / "r", a=picture(255), b=picture(255))
    rule = LabelRule(values={0: 0, 1: 1, 255: 255})
    listing(save(tmp_path / "p", a=picture(), b=picture()), BINARY, rule)
    with pytest.raises(DataError, match="say what 255 means"):
        evaluate_folders(tmp_path / "p", tmp_path / "r", DICE)
    found = evaluate_folders(tmp_path / "p", DataSource(tmp_path / "r", labels="255=polyp"), DICE)
    assert {outcome for _, outcome, _ in dice(found)} == {"missed"}


def test_classes_are_matched_by_name(tmp_path: Path) -> None:
    """The references number the same classes otherwise."""
    save(tmp_path / "r", a=picture(1, 2))
    (tmp_path / "r" / "labels.yaml").write_text("labels: {spleen: 1, liver: 2}\n")
    listing(save(tmp_path / "p", a=picture(2, 1)), ("background", "liver", "spleen"))
    found = evaluate_folders(tmp_path / "p", tmp_path / "r", DICE)
    assert dice(found) == [("liver", "found", 1.0), ("spleen", "found", 1.0)]
    (tmp_path / "r" / "labels.yaml").write_text("labels: {kidney: 1, liver: 2}\n")
    with pytest.raises(DataError, match="the predictions know the classes liver, spleen, the references kidney, liver"):
        evaluate_folders(tmp_path / "p", tmp_path / "r", DICE)


def test_names_beside_the_references_name_the_classes_of_unnamed_predictions(tmp_path: Path) -> None:
    save(tmp_path / "r", a=picture(1, 2))
    (tmp_path / "r" / "labels.yaml").write_text("labels: {spleen: 1, liver: 2}\n")
    rule = LabelRule(values={0: 0, 1: 1, 2: 2})
    listing(save(tmp_path / "p", a=picture(1, 2)), ("background", "label 1", "label 2"), rule)
    assert dice(evaluate_folders(tmp_path / "p", tmp_path / "r", DICE)) == [
        ("spleen", "found", 1.0),
        ("liver", "found", 1.0),
    ]


def test_masks_painted_in_colors(tmp_path: Path) -> None:
    colors = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0]], np.uint8)
    save(tmp_path / "r", a=colors[picture(1, 2)], b=colors[picture()])
    save(tmp_path / "p", a=picture(1, 2), b=picture())
    with pytest.raises(DataError, match="painted in colors"):
        evaluate_folders(tmp_path / "p", tmp_path / "r", DICE)
    source = DataSource(tmp_path / "r", labels="#ff0000=wall,#00ff00=lumen")
    assert evaluate_folders(tmp_path / "p", source, DICE).headline() == 1
    save(tmp_path / "p", a=colors[picture(1, 2)], b=colors[picture()])
    found = evaluate_folders(tmp_path / "p", source, DICE)
    assert found.headline() == 1
    assert found.predictions_read == "the references' own values"


def test_raters_who_never_marked_a_class(tmp_path: Path) -> None:
    """The second rater's folder holds 0 and 2 alone, which by themselves would be one class."""
    save(tmp_path / "first", a=picture(1, 2), b=picture(1, 2))
    save(tmp_path / "second", a=picture(0, 2), b=picture(0, 2))
    save(tmp_path / "p", a=picture(1, 2), b=picture(1, 2))
    options = EvaluationOptions(metrics=("dice",), raters=(tmp_path / "second",))
    found = evaluate_folders(tmp_path / "p", tmp_path / "first", options)
    means = found.raters["rater", "prediction", "second"].classes
    assert means["label 1"]["dice"]["all"].mean == 0
    assert means["label 2"]["dice"]["all"].mean == 1


def test_a_rater_who_saw_nothing(tmp_path: Path) -> None:
    save(tmp_path / "first", a=picture(255), b=picture(255))
    save(tmp_path / "second", a=picture(), b=picture())
    save(tmp_path / "p", a=picture(255), b=picture(255))
    options = EvaluationOptions(metrics=("dice",), raters=(tmp_path / "second",))
    found = evaluate_folders(tmp_path / "p", tmp_path / "first", options)
    assert found.raters["rater", "prediction", "second"].classes["foreground"]["dice"]["all"].mean == 0


def test_second_observers_of_a_data_set_have_a_coding_of_their_own(tmp_path: Path) -> None:
    """References with noise are thresholded; the observer's 0 and 1 beside them are not all black."""
    noisy = cv2.GaussianBlur(picture(255, size=200), (3, 3), 0)
    bar = picture(255, size=200)
    for name in ("a", "b"):
        save(tmp_path / "images", **{name: bar})
        save(tmp_path / "1st_manual", **{name: noisy})
        save(tmp_path / "2nd_manual", **{name: bar // 255})
        save(tmp_path / "p", **{name: bar})
    found = evaluate_folders(tmp_path / "p", tmp_path, EvaluationOptions(metrics=("dice",), split="all"))
    assert found.references is not None
    assert found.references.labels.threshold == 128
    (table,) = (one for (kind, _, rater), one in found.raters.items() if kind == "rater" and rater == "2nd_manual")
    assert table.classes["foreground"]["dice"]["all"].mean == 1


def test_cases_without_valid_pixels_are_told_and_not_scored(tmp_path: Path) -> None:
    lost = np.full((40, 40), 255, np.uint8)
    save(tmp_path / "r", a=picture(1), b=picture(1), lost=lost)
    save(tmp_path / "second", a=picture(1), b=lost, lost=picture(1))
    save(tmp_path / "p", a=picture(1), b=picture(1), lost=picture(1))
    options = EvaluationOptions(metrics=("dice",), raters=(tmp_path / "second",))
    found = evaluate_folders(tmp_path / "p", tmp_path / "r", options, out=tmp_path / "out")
    assert found.unscored == ("lost",)
    assert {row.case for row in found.rows} == {"a", "b"}
    assert found.raters["rater", "prediction", "second"].cases == 1
    page = write_evaluation_report(tmp_path / "out").read_text()
    assert "1 case has only ignored pixels" in page
    save(tmp_path / "r2", lost=lost)
    save(tmp_path / "p2", lost=picture(1))
    with pytest.raises(DataError, match="ignored"):
        evaluate_folders(tmp_path / "p2", DataSource(tmp_path / "r2", labels="1=polyp,255=ignore"), DICE)


def test_how_values_were_read_is_kept(tmp_path: Path) -> None:
    save(tmp_path / "r", a=picture(2, 4))
    save(tmp_path / "p", a=picture(2, 4))
    evaluate_folders(tmp_path / "p", tmp_path / "r", DICE, out=tmp_path / "out")
    content = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert content["labels"]["values"] == {"0": 0, "2": 1, "4": 2}
    assert content["predictions_read"] == "the references' own values"


values = st.lists(st.integers(1, 254), min_size=1, max_size=4, unique=True)


@given(values, st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_codings_are_scored_right_or_refused(
    tmp_path_factory: pytest.TempPathFactory, ids: list[int], data: st.DataObject
) -> None:
    """References in random ids, predictions in the same ids, in class indices or stretched; some classes missed in some cases."""
    ids = sorted(ids)
    number = len(ids)
    stretched = [round(255 * at / number) for at in range(number + 1)]
    coding = data.draw(st.sampled_from([[0, *ids], list(range(number + 1)), stretched]))
    shown = st.lists(st.sampled_from(range(number + 1)), min_size=number, max_size=number)
    truth = [list(range(1, number + 1)), *data.draw(st.lists(shown, max_size=3))]
    found = [data.draw(shown) for _ in truth]
    root = tmp_path_factory.mktemp("coding")
    table = [0, *ids]
    save(root / "r", **{f"c{at}": picture(*(table[index] for index in one)) for at, one in enumerate(truth)})
    save(root / "p", **{f"c{at}": picture(*(coding[index] for index in one)) for at, one in enumerate(found)})
    try:
        evaluation = evaluate_folders(root / "p", root / "r", DICE)
    except DataError as error:
        assume("\n" in str(error))
        raise
    for row in evaluation.rows:
        case = int(row.case[1:])
        theirs, ours = (
            picture(*one) == row.label if one else np.zeros((40, 40), bool) for one in (truth[case], found[case])
        )
        both = theirs.sum() + ours.sum()
        assert row.scores["dice"] == pytest.approx(2 * (theirs & ours).sum() / both if both else 1)


@given(values, st.lists(st.booleans(), min_size=4, max_size=4))
@settings(max_examples=30, deadline=None)
def test_a_known_table_reads_any_part_of_its_ids(
    tmp_path_factory: pytest.TempPathFactory, ids: list[int], shown: list[bool]
) -> None:
    """References that show any subset of the ids that the model knows, gaps and all."""
    ids = sorted(ids)
    names = ("background", *(f"organ {value}" for value in ids))
    seen = [value for value, there in zip(ids, shown, strict=False) if there]
    root = tmp_path_factory.mktemp("part")
    save(root / "r", a=picture(*seen))
    rule = LabelRule(values={0: 0, **{value: at for at, value in enumerate(ids, 1)}})
    save(root / "p", a=picture(*(1 + ids.index(value) for value in seen)) * (255 if len(ids) == 1 else 1))
    listing(root / "p", names, rule)
    found = evaluate_folders(root / "p", root / "r", DICE)
    assert {score for _, _, score in dice(found)} == {1.0}
    assert [name for name, _, _ in dice(found)] == list(names[1:])


def test_an_artefacts_table_is_kept() -> None:
    table = ClassTable(
        names=BINARY, labels=LabelRule(values={0: 0, 7: 1}, coding="value"), colors=("#000000", "#ff8800")
    )
    assert ClassTable.model_validate_json(table.model_dump_json()) == table
