"""What is said of a study of few labels: figures in words, and how to go on."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from delineate.common.errors import DataError, Interrupted
from delineate.data.cases.census import Census
from delineate.data.cases.facts import Facts
from delineate.data.core.manifest import Case, LabelRule, Manifest
from delineate.engine.recipe import resolve
from delineate.evaluation.statistics.label_gain import Figure, Share
from delineate.studies.labels import study
from delineate.studies.labels.draws import ALL
from delineate.studies.labels.page import _gains_lead, _scores_lead
from delineate.studies.labels.results import LabelRow, StudyTable
from delineate.studies.labels.setup import is_supervised, make_entrants
from delineate.studies.labels.words import (
    _view_caution,
    bought_words,
    cautions,
    conclusions,
    gap_words,
    labels_words,
)


def row(**changes: Any) -> LabelRow:
    values: dict[str, Any] = dict.fromkeys(LabelRow.__dataclass_fields__)
    return LabelRow(**(values | {"cases": 40.0, "share": 0.05} | changes))


@pytest.mark.parametrize(
    ("figure", "words"),
    [
        (Figure(22.4, 5.0, math.inf), "22 (5 to more than all)"),
        (Figure(0.0, 0.0, 12.0), "none (none to 12)"),
        (Figure(math.inf, None, None), "more than all (no interval)"),
        (None, "–"),
    ],
)
def test_labels_that_bring_as_much(figure: Figure | None, words: str) -> None:
    assert bought_words(row(bought=figure)) == words


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (Share(Figure(0.31, 0.12, 0.5)), "31 % (12 % to 50 %)"),
        (Share(Figure(-0.31, -0.5, 0.02)), "−31 % (−50 % to 2.0 %)"),
        (Share(Figure(0.31, None, None)), "31 % (no interval)"),
        (Share(None, "why"), "not defined"),
        (None, "–"),
    ],
)
def test_shares_of_the_gap(share: Share | None, words: str) -> None:
    assert gap_words(row(gap=share)) == words
    assert labels_words(row()) == "40 labeled cases (5.0 %)"


@pytest.mark.parametrize(
    ("ways", "said"),
    [
        (["mean-teacher"], []),
        (["mean-teacher", "supervised:view=none"], ["no further views, as mean-teacher are"]),
        (
            ["fixmatch", "mean-teacher:masked=0.5"],
            ["no boxes of other images, as fixmatch are", "whole images, and mean-teacher hidden squares"],
        ),
        (["mean-teacher:masked=0.5", "supervised:masked=0.5"], []),
        (["unimatch:cutmix=0", "scale-consistency", "supervised:view=none"], ["as unimatch, scale-consistency are"]),
        (["unimatch", "supervised:mix=cutmix"], []),
        (["bcp:first_part=1", "supervised:view=none"], ["as bcp are"]),
        (["entropy", "cps", "mean-teacher"], ["is shown further views, and entropy, cps none"]),
        (["entropy", "supervised", "supervised:view=none"], []),
        (["mean-teacher:weight=0", "supervised:view=none"], []),
    ],
)
def test_what_supervised_training_is_not_shown_is_told(ways: list[str], said: list[str]) -> None:
    made = make_entrants(ways, method="unet", preset="tiny", size=None, settings=(), ema=0.9, validation="none")
    supervised = tuple(one for one in made if is_supervised(one))
    found = _view_caution(SimpleNamespace(entrants=made, supervised=supervised))  # type: ignore[arg-type]
    assert len(found) == len(said)
    assert all(words in line for words, line in zip(said, found, strict=True))


def told(rows: list[LabelRow], ways: list[str], *, draws: int = 3, groups: int = 20) -> str:
    """All that is said of a table with these rows."""
    made = make_entrants(ways, method="unet", preset="tiny", size=None, settings=(), ema=0.9, validation="none")
    supervised = tuple(one for one in made if is_supervised(one))
    setup: Any = SimpleNamespace(entrants=made, supervised=supervised, draws=draws, seeds=1, ema=0.9)
    metrics = {"dice": {"title": "Dice"}}
    table = StudyTable(metrics, {"dice": "all"}, tuple(rows), {}, (), tests=groups, test_groups=groups, comparisons=0)
    return " ".join([*cautions(setup, table), *conclusions(setup, table)])


SOME = Figure(0.1, 0.0, 0.2)
REFERENCE = row(label="supervised", budget=0, asked="4 cases", supervised=True, reference=True, differences={})
TEACHER = row(label="mean-teacher", budget=0, asked="4 cases", supervised=False, differences={})
FULL = row(label="supervised", budget=ALL, asked="all", supervised=True, reference=True, differences={})


def test_what_cannot_be_compared_is_told() -> None:
    ways = ["supervised", "mean-teacher"]
    assert "There is only supervised training" in told([REFERENCE, FULL], ["supervised"])
    said = told([REFERENCE, FULL], ways)  # all runs of the other way failed
    assert "only supervised" not in said
    assert "Nothing is compared" in said
    said = told([TEACHER, FULL], ways)
    assert "With 4 cases, mean-teacher can be compared with nothing: supervised training lacks runs." in said
    assert "Nothing is compared" in said


def test_a_study_without_a_ceiling() -> None:
    compared = replace(
        TEACHER, differences={"dice": SOME}, verdict="not told apart", gap=Share(None, "full supervision is not done")
    )
    said = told([REFERENCE, compared], ["supervised", "mean-teacher"])
    assert "Full supervision was trained once" not in said
    assert "How many labels more would bring as much is not told" in said
    assert "full supervision is not done" in said
    whole = told([REFERENCE, replace(compared, bought=SOME), FULL], ["supervised", "mean-teacher"])
    assert "Full supervision was trained once" in whole
    assert "How many labels more" not in whole


def test_what_the_intervals_of_one_draw_are_over() -> None:
    rows = [REFERENCE, replace(TEACHER, differences={"dice": SOME}, bought=SOME), FULL]
    one, three = (told(rows, ["supervised", "mean-teacher"], draws=draws) for draws in (1, 3))
    assert "intervals are over test cases alone" in one
    assert "have intervals from three draws on" in one
    assert "over test cases alone" not in three
    for made in (
        _scores_lead,
        lambda setup: _gains_lead(setup, SimpleNamespace(metrics={"dice": {"title": "Dice"}}, headline="dice")),
    ):
        assert "alone" in made(SimpleNamespace(draws=1))  # type: ignore[arg-type]
        assert "alone" not in made(SimpleNamespace(draws=2))  # type: ignore[arg-type]


def test_the_steps_of_the_preset_on_all_labels() -> None:
    """Epochs are over slices, not volumes."""
    cases = tuple(Case(id=name, images=("i",), masks=("m",), split="train") for name in "ab")
    known = Manifest(root="", layout="", split_origin="", cases=cases, labels=LabelRule(values={0: 0, 1: 1}))
    volume = Facts(8, 8, "gray", 8, {0: 1, 1: 1}, "", planes=({0: 64}, {0: 60, 1: 4}, {1: 64}, {0: 64}, {1: 64}))
    census = Census({"a": volume, "b": volume}, axis=2)

    def steps(*settings: str) -> int:
        return study._usual_steps(resolve("unet", "tiny", {}, ["engine.batch_size=4", *settings]), known, census)

    assert steps("engine.epochs=7") == 7 * 3  # ten slices
    assert steps("engine.epochs=7", "data.slices=foreground") == 7 * 2
    assert steps("engine.epochs=7", "input.fit=patch", "data.patches_per_image=6") == 7 * 15
    assert steps("engine.steps=5") == 5
    with pytest.raises(DataError, match="--steps is missing"):
        steps("engine.epochs=7", "input.fit=patch")


def test_a_study_that_is_stopped_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any) -> None:
        raise Interrupted("stopped by SIGTERM; the checkpoint is saved; continue with the same command and --resume")

    monkeypatch.setattr(study, "all_jobs", lambda *_: [])
    monkeypatch.setattr(study, "do_all", stopped)
    with pytest.raises(Interrupted) as caught:
        study.run(Path("few"), None)  # type: ignore[arg-type]
    assert str(caught.value) == "stopped by SIGTERM; the checkpoint is saved; run the same command to continue"
