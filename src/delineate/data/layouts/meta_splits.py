"""TotalSegmentator's `meta.csv` beside its cases: the columns `image_id` and `split` say who trains, validates and tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from delineate.common.errors import DataError
from delineate.common.names import did_you_mean
from delineate.data.core.findings import Finding, count, some
from delineate.data.core.grouping import read_table
from delineate.data.core.manifest import Case, Split
from delineate.data.core.words import SPLIT_NAMES

__all__ = ["FILE", "apply_meta"]

FILE = "meta.csv"
_ID, _SPLIT = "image_id", "split"


def apply_meta(root: Path, cases: Sequence[Case], origin: str) -> tuple[list[Case], str, list[Finding]]:
    """The cases with the splits of the table, where it names cases that are here and nothing else divides them. Cases that it does
    not name are not used. `origin`: of the splits so far, which is also given back, as it is then."""
    if origin or not (root / FILE).is_file():
        return list(cases), origin, []
    try:
        rows = read_table(root / FILE)
    except DataError:
        return list(cases), origin, []
    if not {_ID, _SPLIT} <= rows[0].keys():
        return list(cases), origin, []
    stated = {row[_ID]: row[_SPLIT].lower() for row in rows if row[_SPLIT]}
    if not stated.keys() & {case.id for case in cases}:
        return list(cases), origin, []
    strange = next((case.id for case in cases if stated.get(case.id, "train") not in SPLIT_NAMES), None)
    if strange is not None:
        text = f"{root / FILE}: unknown split '{stated[strange]}' of {strange}"
        return list(cases), origin, [Finding("error", text, did_you_mean(stated[strange], SPLIT_NAMES))]
    placed = [case.model_copy(update={"split": _split(stated, case)}) for case in cases]
    unlisted = [case.id for case in placed if case.split is None]
    findings = []
    if unlisted:
        text = (
            f"{count(len(unlisted), 'case is', 'cases are')} without a split in {FILE} and not used: {some(unlisted)}"
        )
        findings.append(Finding("note", text))
    return placed, FILE, findings


def _split(stated: dict[str, str], case: Case) -> Split | None:
    return SPLIT_NAMES[stated[case.id]] if case.id in stated else None
