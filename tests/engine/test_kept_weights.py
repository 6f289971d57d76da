"""Runs whose validation cases are empty, lack a class or are ignored: what is kept, and what is said of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from delineate.data.core.manifest import ClassTable
from delineate.engine.data_warnings import training_warnings, validation_warnings
from delineate.engine.request import TrainRequest
from delineate.engine.run import train
from delineate.evaluation.results.case_scores import score_case
from delineate.evaluation.results.score_warnings import headline_dice, headline_words, score_warnings
from delineate.evaluation.results.scores_file import ScoresFile
from delineate.evaluation.results.summary import summarize
from delineate.methods.unet.network import UNet
from delineate.report.pages.run import write_run_report

Maker = Callable[..., TrainRequest]
BINARY = ClassTable()


def write_set(folder: Path, masks: list[np.ndarray], validation: int) -> Path:
    """Noise with a brighter area where the mask is; the last cases validate."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for at, mask in enumerate(masks):
        image = np.clip(90 + 70 * ((mask > 0) & (mask < 255)) + rng.normal(0, 20, mask.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / "images" / f"c{at:02d}.png"), image)
        cv2.imwrite(str(folder / "masks" / f"c{at:02d}.png"), mask)
    ids = [f"c{at:02d}\n" for at in range(len(masks))]
    (folder / "train.txt").write_text("".join(ids[:-validation]))
    (folder / "val.txt").write_text("".join(ids[-validation:]))
    return folder


def square(*values: int) -> np.ndarray:
    mask = np.zeros((32, 32), np.uint8)
    for at, value in enumerate(values):
        mask[4 + 12 * at : 12 + 12 * at, 8:20] = value
    return mask


def run_on(data: Path, request_for: Maker, recorder: Any, **changes: Any) -> tuple[Any, Any, Path]:
    watching = recorder()
    request = request_for(**({"steps": 8} | changes))
    result = train(TrainRequest(**{**vars(request), "data": data}), watching)
    write_run_report(request.out)
    return result, watching, request.out


@pytest.fixture
def marking(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[int, bool]], None]:
    """Make the network, while it is validated, mark the bright pixels or nothing, by the step."""

    def at_steps(marks: dict[int, bool]) -> None:
        state = {"marks": False}
        original = UNet.objective

        def objective(self: UNet, batch: Any, ctx: Any) -> Any:
            if not self.training:
                self.head.weight.data.fill_(0)
                # On a slow machine a validation is timed at a step between: nothing is kept of it.
                state["marks"] = marks.get(ctx.step, False)
                self.head.bias.data.fill_(1.0 if state["marks"] else -1.0)
            return original(self, batch, ctx)

        monkeypatch.setattr(UNet, "objective", objective)

    return at_steps


def test_with_many_empty_cases_weights_that_mark_nothing_are_not_kept(
    tmp_path: Path, request_for: Maker, recorder: Any, marking: Callable[[dict[int, bool]], None]
) -> None:
    """A mean over all cases would prefer them: 13 of 19 are empty."""
    data = write_set(tmp_path / "data", [square(255)] * 8 + [square()] * 13 + [square(255)] * 6, validation=19)
    marking({2: False, 4: True, 6: False, 8: False})
    result, watching, out = run_on(data, request_for, recorder)
    summary = json.loads((out / "run.json").read_text())
    assert summary["best"]["step"] == 4
    assert summary["best"]["chosen_by"].startswith("Dice of the pixels of all cases")
    assert any("13 of 19 validation cases lack foreground" in note for note in watching.notes)
    assert summary["headline"]["column"] == "present"
    assert "6 of 19 cases with foreground" in summary["headline"]["words"]
    assert 0 < result.dice < 0.7
    assert summary["warnings"] == []


def test_a_network_that_marks_nothing_at_all_is_said_everywhere(
    tmp_path: Path, request_for: Maker, recorder: Any, marking: Callable[[dict[int, bool]], None]
) -> None:
    data = write_set(tmp_path / "data", [square(255)] * 8 + [square()] * 3 + [square(255)] * 2, validation=5)
    marking(dict.fromkeys((2, 4, 6, 8), False))
    result, watching, out = run_on(data, request_for, recorder)
    assert result.dice == 0
    words = "marks nothing in any of the 5 validation cases, although 2 of them have foreground"
    for text in (*watching.notes[-1:], (out / "card.md").read_text(), (out / "report.html").read_text()):
        assert words in text
    assert words in json.loads((out / "run.json").read_text())["warnings"][0]


@pytest.mark.parametrize(
    ("masks", "started", "ended", "measure"),
    [
        ([square(), square()], "no validation case has foreground", "No validation case has foreground", "loss"),
        ([square(255) | 255] * 2, "every pixel of every validation mask is ignored", "could be scored", "nothing"),
    ],
    ids=["healthy", "ignored"],
)
@pytest.mark.parametrize("classes", [(1,), (1, 2)], ids=["binary", "two classes"])
def test_validation_that_cannot_be_judged_is_said_and_not_scored(
    classes: tuple[int, ...],
    masks: list[np.ndarray],
    started: str,
    ended: str,
    measure: str,
    tmp_path: Path,
    request_for: Maker,
    recorder: Any,
) -> None:
    data = write_set(tmp_path / "data", [square(*classes)] * 8 + masks, validation=2)
    result, watching, out = run_on(data, request_for, recorder, steps=4)
    assert result.dice is None
    assert any(started in note for note in watching.notes)
    summary = json.loads((out / "run.json").read_text())
    assert ended in summary["warnings"][0]
    lines = [json.loads(line)["val"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert {(line["dice"], line["measure"]) for line in lines} == {(None, measure)}
    if measure == "nothing":
        assert summary["best"]["step"] == 4, "the latest"
    else:
        losses = [line["loss"]["total"] for line in lines]
        assert summary["best"]["step"] == 2 * (1 + losses.index(min(losses)))
    page = (out / "report.html").read_text()
    assert ended in page
    assert "<strong>–</strong>" in page
    assert "nan" not in page.lower().replace("finance", "")
    assert ScoresFile.read(out / "validation").content["cases"] == (2 if measure == "loss" else 0)


def test_what_validation_lacks_is_told_before_training() -> None:
    names = ("background", "a", "b")

    def told(*masks: np.ndarray) -> list[str]:
        return validation_warnings(((f"c{at}", mask) for at, mask in enumerate(masks)), names)

    assert told(square(1, 2), square(1, 2)) == []
    assert [line.endswith("judged: b") for line in told(square(1), square(1))] == [True, False]
    assert told(square(1, 2), square(1)) == [
        "some cases lack a class: the weights are chosen by Dice of the pixels of all validation cases together"
    ]
    (said,) = validation_warnings([("a", square(1, 2)), ("b", square(1))], names, "miou")
    assert "chosen by mIoU of the pixels" in said
    ignored = np.full((4, 4), 255, np.uint8)
    assert told(square(1, 2), ignored)[0].startswith("WARNING: 1 validation case has no valid pixel")


def test_caveats_of_several_classes() -> None:
    table = ClassTable(names=("background", "a", "b", "c"))

    def about(prediction: np.ndarray) -> Any:
        return summarize(score_case("x", prediction, square(1, 2), table))

    assert score_warnings(about(square(1, 2))) == ["1 class is in no validation case and not judged: c."]
    assert score_warnings(about(square(1)))[0] == "The network never marks b, although validation cases have it."
    assert "marks no class that it has in the only validation case" in score_warnings(about(square(3)))[0]
    assert headline_dice(about(square(1, 2))) == 1
    assert headline_words(summarize([])) == "no case could be scored"
    assert headline_dice(summarize([])) is None


def test_a_prediction_beside_the_reference_is_not_found() -> None:
    (row,) = score_case("x", square(0, 1), square(1), BINARY)
    assert (row.outcome, row.scores["dice"]) == ("not_touched", 0)
    assert score_warnings(summarize([row])) == [], "it marks something, which the outcomes tell"


def test_states_of_earlier_versions_load(tmp_path: Path) -> None:
    from delineate.engine.checkpoint import Progress

    old = {"stage": 0, "step": 3, "best_dice": 0.5, "best_step": 2, "waited": 1, "seconds": 1.0, "images_seen": 4}
    assert Progress(**old, finished=False).best.dice == 0.5  # type: ignore[arg-type, union-attr]


def test_training_cases_without_anything_to_learn_are_told() -> None:
    assert training_warnings([]) == []
    assert training_warnings([{0: 9, 255: 1}, {0: 5, 2: 1}]) == []
    (line,) = training_warnings([{255: 9}, {255: 4}])
    assert "every pixel of every training mask is ignored" in line
    (line,) = training_warnings([{0: 9, 255: 1}, {0: 4}])
    assert "no training case has foreground" in line
