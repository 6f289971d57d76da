"""The pages in a real browser: every picture is drawn, nothing is wider than the window, nobody is asked for anything."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from browser import open_page
from delineate.data.cases.phantom import write_phantoms
from delineate.data.doctor.check import check
from delineate.report.pages.data_check import write_data_report
from delineate.report.pages.run import write_run_report

pytestmark = pytest.mark.more

PROBE = """<style>td, th { padding: .5rem 3rem !important; }</style><script>
const pictures = [...document.images];
const right = each => each.getBoundingClientRect().right;
const cut = box => [...box.querySelectorAll("caption span")].some(each => right(each) > right(box));
const facts = {
  pictures: pictures.length,
  undrawn: pictures.filter(each => !each.naturalWidth).length,
  cut: [...document.querySelectorAll(".scroll")].filter(cut).length,
  excess: document.documentElement.scrollWidth - window.innerWidth,
};
document.title = JSON.stringify(facts);
</script>"""
"""Added to a copy of the page: tables wider than their boxes, and a measure of what only a browser knows."""


@pytest.fixture(scope="module")
def pages(pristine: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    data = check(write_phantoms(folder / "set", count=12, size=64, seed=3))
    return {"run": write_run_report(pristine), "data": write_data_report(data, folder / "data.html")}


@pytest.mark.parametrize("name", ["run", "data"])
@pytest.mark.parametrize("width", [500, 1000, 1400])
def test_a_page_is_whole(pages: dict[str, Path], name: str, width: int, tmp_path: Path) -> None:
    copy = tmp_path / "page.html"
    copy.write_text(pages[name].read_text(encoding="utf-8") + PROBE, encoding="utf-8")
    opened = open_page(copy, tmp_path, width=width)
    facts = json.loads(re.findall(r"<title>(.*?)</title>", opened.html)[0])
    assert facts["pictures"] > 0
    assert facts["undrawn"] == 0
    assert facts["cut"] == 0, "a table's caption is cut"
    assert facts["excess"] <= 0, "the page scrolls sideways"
    assert opened.console == []
    assert opened.asked == []


def test_the_browser_tells_of_requests_and_errors(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text('<img src="http://elsewhere.invalid/x.png"><script>console.error("it broke")</script>')
    opened = open_page(page, tmp_path)
    assert opened.asked == ["http://elsewhere.invalid/x.png"]
    assert any("it broke" in line for line in opened.console)
