"""The how-to's example is a metric like any other: its files are taken from the page, installed, checked and used."""

from __future__ import annotations

import json
import math
import runpy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from delineate.api import compare, evaluate
from delineate.cli import app
from delineate.common.errors import DataError, DelineateError
from delineate.evaluation.metrics import plugin_metrics
from delineate.evaluation.metrics.masks import Masks
from delineate.evaluation.metrics.metric import Metric, Parameter
from delineate.evaluation.metrics.overlap import dice
from delineate.evaluation.metrics.registry import METRICS, all_metrics, resolve
from delineate.evaluation.metrics.testing import check_metric
from package_of_page import installed

NAME = "center_distance"


@pytest.fixture
def package(tmp_path: Path) -> Iterator[Path]:
    """The page's files as an installed package."""
    with installed("own-metric.md", tmp_path / "package") as root:
        plugin_metrics.forget_other_packages()
        yield root
    plugin_metrics.forget_other_packages()


@pytest.fixture
def declare(package: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """declare(unit=…): the page's metric with other facts, or another object in its place."""

    def change(instead: object = None, **facts: Any) -> None:
        module = runpy.run_path(str(package / "center_distance.py"))
        content = replace(module["CENTER_DISTANCE"], **facts) if instead is None else instead
        monkeypatch.setattr("center_distance.CENTER_DISTANCE", content)
        plugin_metrics.forget_other_packages()

    return change


def pictures(folder: Path, columns: dict[str, tuple[int, ...]]) -> Path:
    """Folders of masks with a square from each column on; no square for −1."""
    for name, starts in columns.items():
        (folder / name).mkdir(parents=True)
        for number, start in enumerate(starts):
            mask = np.zeros((40, 60), np.uint8)
            if start >= 0:
                mask[10:20, start : start + 10] = 255
            cv2.imwrite(str(folder / name / f"{number}.png"), mask)
    return folder


def test_the_pages_own_test_passes(package: Path) -> None:
    runpy.run_path(str(package / "test_center_distance.py"))["test_promises"]()


def test_it_is_evaluated_compared_and_shown_like_any_other(package: Path, tmp_path: Path) -> None:
    folder = pictures(
        tmp_path,
        {"truth": (5, 5, 5, 5, -1, -1), "near": (8, 5, 6, -1, 5, -1), "far": (20, 15, 30, 5, -1, 5)},
    )
    for name in ("near", "far"):
        found = evaluate(folder / name, folder / "truth", out=folder / f"{name}-scores", metrics=f"dice,{NAME}")
    near = json.loads((folder / "near-scores" / "scores.json").read_text())
    assert near["metrics"][NAME] == {
        "title": "Distance of centers",
        "kind": "distance",
        "better": "lower",
        "unit": "length",
    }
    diagonal = math.hypot(40, 60)
    columns = near["macro"][NAME]
    assert columns["found"]["mean"] == pytest.approx((3 + 0 + 1) / 3)
    assert columns["penalised"]["mean"] == pytest.approx((3 + 0 + 1 + 2 * diagonal) / 5)
    assert found.summary.macro[NAME]["found"].mean == pytest.approx((15 + 10 + 25 + 0) / 4)
    assert "Distance of centers" in (folder / "near-scores" / "report.html").read_text()
    compare([folder / "near-scores", folder / "far-scores"], out=folder / "compared", metrics=[NAME])
    assert "Distance of centers" in next((folder / "compared").glob("*.html")).read_text()


def test_it_is_listed_with_its_package_and_chosen_by_its_family(package: Path) -> None:
    result = CliRunner().invoke(app, ["metrics", "--json"])
    (row,) = (row for row in json.loads(result.output) if row["name"] == NAME)
    assert (row["of"], row["package"]) == ("masks", "center_distance:CENTER_DISTANCE")
    assert NAME in CliRunner().invoke(app, ["metrics"], env={"COLUMNS": "200"}).output
    assert [metric.name for metric in resolve(["position"])] == [NAME]
    assert [*all_metrics()] == [*METRICS, NAME] == [metric.name.removesuffix("_2") for metric in resolve(["all"])]
    with pytest.raises(DataError, match="did you mean 'center_distance'"):
        resolve(["centre_distance"])


def test_empty_masks_are_worth_what_the_kind_says(package: Path, declare: Any) -> None:
    masks = Masks.of(np.eye(4), np.zeros((4, 4)))
    (metric,) = resolve([NAME])
    assert math.isnan(metric.value(masks))
    declare(kind="overlap", better="higher", unit="", value=lambda masks: 0.25)
    (metric,) = resolve([NAME])
    assert metric.value(masks) == 0
    assert metric.value(Masks.of(np.zeros((4, 4)), np.zeros((4, 4)))) == 1
    declare(kind="relative", better="zero", unit="", value=lambda masks: -0.5)
    (metric,) = resolve([NAME])
    assert math.isnan(metric.value(masks))
    assert metric.value(Masks.of(np.zeros((4, 4)), np.eye(4))) == -0.5


def test_what_is_best_at_zero_is_scored_and_not_compared(package: Path, declare: Any, tmp_path: Path) -> None:
    declare(kind="amount", better="zero", unit="", value=lambda masks: float(masks.fp - masks.fn))
    folder = pictures(tmp_path, {"truth": (5, 5), "one": (8, 9), "two": (7, -1)})
    for name in ("one", "two"):
        found = evaluate(folder / name, folder / "truth", out=folder / f"{name}-scores", metrics=NAME)
    assert found.summary.macro[NAME]["all"].mean == -50
    with pytest.raises(
        DataError, match=r"best at zero, .* compare a metric of which higher or lower values are better"
    ):
        compare([folder / "one-scores", folder / "two-scores"], out=folder / "compared", metrics=[NAME])
    assert not (folder / "compared").exists()


def test_its_parameter(package: Path, declare: Any) -> None:
    declare(parameter=Parameter("power", 1.0, highest=3), value=lambda masks, power: 2.0**power, unit="", kind="amount")
    chosen = resolve([NAME, f"{NAME}@3", f"{NAME}_2"])
    assert [metric.name for metric in chosen] == [NAME, f"{NAME}_3", f"{NAME}_2"]
    assert [metric.value(Masks.of(np.eye(4), np.eye(4))) for metric in chosen] == [2, 8, 4]
    with pytest.raises(DataError, match="power must be a number from 0 to 3"):
        resolve([f"{NAME}@4"])


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"instead": print}, "is not a delineate.evaluation.metrics.metric.Metric"),
        ({"name": "centers"}, "calls itself 'centers'; its entry point must have the same name"),
        ({"kind": "length"}, "has kind='length'; it must be one of 'overlap', 'distance', 'amount', 'relative'"),
        ({"better": "greater"}, "has better='greater'; it must be one of 'higher', 'lower', 'zero'"),
        ({"unit": "mm"}, "has unit='mm'; it must be one of '', 'length', 'size'"),
        ({"unit": ""}, "is of the kind distance, of which lower is better and the unit is length"),
        ({"kind": "overlap"}, "is of the kind overlap, of which higher is better"),
        ({"family": "dice"}, "has the family 'dice', which is taken"),
        ({"family": "instances"}, "has the family 'instances', which is taken"),
    ],
)
def test_a_wrong_declaration_is_one_line(package: Path, declare: Any, facts: dict[str, Any], message: str) -> None:
    declare(**facts)
    with pytest.raises(DelineateError, match=rf"metric 'center_distance' \(center_distance:\w+\) {message}") as told:
        resolve([NAME])
    assert "\n" not in str(told.value)
    left_out: list[str] = []
    assert NAME not in all_metrics(left_out.append)
    assert left_out == [str(told.value)]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda masks: masks.nothing, "cannot score these masks: AttributeError: .*nothing"),
        (lambda masks: -1.0, "gives -1; of its kind, distance, values are from 0 on"),
        (lambda masks: math.inf, "gives inf; of its kind, distance, values are from 0 on"),
        (lambda masks: None, "cannot score these masks: TypeError"),
    ],
)
def test_a_faulty_function_is_one_line(package: Path, declare: Any, tmp_path: Path, value: Any, message: str) -> None:
    declare(value=value)
    folder = pictures(tmp_path, {"truth": (5, 5), "found": (8, 9)})
    with pytest.raises(DelineateError, match=rf"metric 'center_distance' \(center_distance:\w+\) {message}"):
        evaluate(folder / "found", folder / "truth", out=folder / "scores", metrics=NAME)
    assert not (folder / "scores").exists()


@pytest.mark.parametrize("name", ["dice", "boundary", "pq", "ece", "all", "tp", "nsd_3"])
def test_a_name_that_is_taken_is_told_and_changes_nothing(package: Path, name: str) -> None:
    points = next(package.glob("*.dist-info")) / "entry_points.txt"
    points.write_text(points.read_text().replace(NAME, name, 1))
    plugin_metrics.forget_other_packages()
    told: list[str] = []
    assert [*all_metrics(told.append)] == [*METRICS]
    assert len(told) == 1
    assert f"metric '{name}' (center_distance:CENTER_DISTANCE) has a name that this package uses" in told[0]
    assert [metric.name for metric in resolve(["dice", "nsd@3"])] == ["dice", "nsd_3"]


def test_a_broken_package_breaks_no_other_metric(package: Path) -> None:
    points = next(package.glob("*.dist-info")) / "entry_points.txt"
    points.write_text(points.read_text() + "gone = no_such_module:GONE\n")
    plugin_metrics.forget_other_packages()
    told: list[str] = []
    assert [*all_metrics(told.append)] == [*METRICS, NAME]
    assert told == ["metric 'gone' (no_such_module:GONE) cannot be imported: No module named 'no_such_module'"]
    assert resolve(["all"])
    listed = CliRunner().invoke(app, ["metrics", "--json"])
    assert listed.exit_code == 0
    assert NAME in {row["name"] for row in json.loads(listed.stdout)}
    assert told[0] in listed.stderr
    with pytest.raises(DelineateError, match="'gone'"):
        resolve(["gone"])


def test_two_packages_with_one_name_are_told(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "second" / "second-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: second\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[delineate.metrics]\n{NAME} = second:CENTER\n")
    monkeypatch.syspath_prepend(str(tmp_path / "second"))
    plugin_metrics.forget_other_packages()
    with pytest.raises(
        DelineateError, match="registered more than once, as center_distance:CENTER_DISTANCE and as second"
    ):
        resolve([NAME])


@pytest.mark.parametrize("name", METRICS)
def test_ours_keep_the_promises(name: str) -> None:
    check_metric(name)


def spoilt(masks: Masks) -> float:
    masks.prediction[0, 0] ^= True
    return 0.0


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"value": lambda masks: masks.fp / masks.pixel_size, "unit": "size"}, "pixels 3 times as large"),
        ({"value": lambda masks: math.inf}, "gives inf, which the kind amount cannot be"),
        ({"value": lambda masks: float(masks.tp), "better": "lower"}, "better is 'lower', but a shifted"),
        ({"value": lambda masks: masks.tp + 1.0, "better": "zero"}, "the best is 0"),
        ({"value": lambda masks: 0.5, "kind": "overlap"}, "missed gives 0.5, of the kind overlap it is 0"),
        (
            {"value": lambda masks: 1.5 if masks.both else dice(masks), "kind": "overlap"},
            "found gives 1.5, which the kind",
        ),
        ({"value": lambda masks: float(np.random.default_rng().random())}, "give two values"),
        ({"value": spoilt}, "the masks were changed"),
    ],
)
def test_broken_promises_are_told(facts: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = {"kind": "amount", "better": "higher", "unit": "", "family": "size"}
    monkeypatch.setitem(METRICS, "broken", Metric("broken", "Broken", **{**usual, **facts}))
    with pytest.raises(AssertionError, match=message):
        check_metric("broken")
