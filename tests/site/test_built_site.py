"""The real site: it builds without a warning, every link leads somewhere, and a browser reads it without asking anyone."""

from __future__ import annotations

import inspect
import re

import pytest

import delineate
from browser import open_page
from generator.built import check_site

pytestmark = pytest.mark.more
SEARCH = """<script>
const later = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds))
addEventListener("load", async () => {
  await later(1000)
  document.querySelector(".md-search__button").click()
  await later(1000)
  const shadow = [...document.querySelectorAll("*")].find((one) => one.shadowRoot).shadowRoot
  const field = shadow.querySelector("input")
  for (const typed of ["boundary", "boundary_iou"]) {
    Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set.call(field, typed)
    field.dispatchEvent(new Event("input", { bubbles: true }))
    await later(1500)
  }
  document.body.dataset.typed = field.value
  document.body.dataset.found = shadow.textContent
})
</script></body>"""
"""Types a word into the search of a page, and leaves on the page what stands in its field then, and what is found."""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("zensical", reason="the extra `docs` is not installed")
    from build_site import build

    return build(
        tmp_path_factory.mktemp("docs")
    )  # raises for a warning, a broken link, something loaded from elsewhere


def test_a_broken_link_on_a_real_page_is_found(site):
    page = site / "getting-started.html"
    whole = page.read_text(encoding="utf-8")
    try:
        page.write_text(whole.replace('href="how-to/own-data.html"', 'href="how-to/own-dta.html"'), encoding="utf-8")
        assert set(check_site(site).faults) == {"getting-started.html: no such page: how-to/own-dta.html"}
    finally:
        page.write_text(whole, encoding="utf-8")


def test_pages_ask_nobody_and_complain_of_nothing(site, tmp_path):
    complaints = []
    for page in sorted(site.rglob("*.html")):
        opened = open_page(page, tmp_path)
        complaints += [f"{page.name}: {line}" for line in [*opened.asked, *opened.console]]
        assert "md-content" in opened.html, page
    assert not complaints


def test_the_search_works_without_a_server(site, tmp_path):
    page = site / "getting-started.html"
    searched = page.with_name("searched.html")
    try:
        searched.write_text(page.read_text(encoding="utf-8").replace("</body>", SEARCH), encoding="utf-8")
        opened = open_page(searched, tmp_path, milliseconds=10_000)
    finally:
        searched.unlink()
    found = re.search(r'data-found="([^"]*)"', opened.html)
    assert found, opened.html[-300:]
    assert 'data-typed="boundary_iou"' in opened.html
    assert re.search(r"\b[1-9]\d* results?", found[1])
    assert "boundary_iou" in found[1]


def test_every_name_that_is_told_of_is_explained(site):
    """What the library gives and what its functions give back has its place on a page of `api/`."""
    explained = set()
    for page in (site / "api").glob("*.html"):
        explained |= set(re.findall(r' id="(delineate[\w.]*)"', page.read_text(encoding="utf-8")))
    functions = [getattr(delineate, name) for name in delineate.__all__]
    given_back = {
        word for one in functions for word in re.findall(r"\w+", str(inspect.signature(one).return_annotation))
    }
    last_words = {name.rpartition(".")[2] for name in explained}
    assert {f"delineate.{name}" for name in delineate.__all__} - explained == set()
    assert {name for name in given_back if name[0].isupper()} - last_words - {"Any", "None"} == set()
