"""What pages tell to type beside commands in blocks, in tables and in the text, is there: settings and metrics."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from delineate.engine.typo_checks import refuse_typos
from delineate.evaluation.metrics.listing import list_metrics

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SETTING = re.compile(r"--set '?((?:engine|data|input|plan|augment|episodes)\.[a-z_.]+)=")
METRICS = re.compile(r"--metrics ([a-z0-9_,@.]+)")
OF_THE_PAGE = {"own-metric.md": {"center_distance", "position"}}
"""Metrics that a page makes itself."""


def typed(pattern: re.Pattern[str]) -> list[tuple[Path, str]]:
    return [(page, found) for page in PAGES for found in sorted(set(pattern.findall(page.read_text("utf-8"))))]


@pytest.mark.parametrize(("page", "key"), typed(SETTING), ids=lambda one: getattr(one, "name", one))
def test_settings_are_known(page: Path, key: str) -> None:
    refuse_typos("unet", "tiny", [f"{key}=1"])


def test_metrics_are_known() -> None:
    rows = list_metrics()
    known = {"all", *(row.name.partition("@")[0] for row in rows), *(row.family for row in rows)}
    asked = typed(METRICS)
    assert len(asked) > 5
    for page, names in asked:
        bases = {name.partition("@")[0] for name in names.split(",")}
        unknown = {base for base in bases if base not in known and re.sub(r"_\d+$", "", base) not in known}
        assert unknown <= OF_THE_PAGE.get(page.name, set()), page.name
