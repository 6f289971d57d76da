"""What is said of a study of few labels: figures in words, and how to go on."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from delineate.common.errors import Interrupted
from delineate.evaluation.statistics.label_gain import Figure, Share
from delineate.studies.labels import study
from delineate.studies.labels.results import LabelRow
from delineate.studies.labels.setup import is_supervised, make_entrants
from delineate.studies.labels.words import _view_caution, bought_words, gap_words, labels_words


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
        (["fixmatch", "mean-teacher:masked=0.5"], ["whole images, and mean-teacher hidden squares"]),
        (["mean-teacher:masked=0.5", "supervised:masked=0.5"], []),
    ],
)
def test_what_supervised_training_is_not_shown_is_told(ways: list[str], said: list[str]) -> None:
    made = make_entrants(ways, method="unet", preset="tiny", size=None, settings=(), ema=0.9, validation="none")
    supervised = tuple(one for one in made if is_supervised(one))
    found = _view_caution(SimpleNamespace(entrants=made, supervised=supervised))  # type: ignore[arg-type]
    assert len(found) == len(said)
    assert all(words in line for words, line in zip(said, found, strict=True))


def test_a_study_that_is_stopped_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any) -> None:
        raise Interrupted("stopped by SIGTERM; the checkpoint is saved; continue with the same command and --resume")

    monkeypatch.setattr(study, "all_jobs", lambda *_: [])
    monkeypatch.setattr(study, "do_all", stopped)
    with pytest.raises(Interrupted) as caught:
        study.run(Path("few"), None)  # type: ignore[arg-type]
    assert str(caught.value) == "stopped by SIGTERM; the checkpoint is saved; run the same command to continue"
