"""The real site: it builds without a warning, every link leads somewhere, and a browser reads it without asking anyone."""

from __future__ import annotations

import pytest

from browser import open_page
from generator.built import check_site

pytestmark = pytest.mark.more


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("zensical", reason="the extra `docs` is not installed")
    from build_site import build

    return build(
        tmp_path_factory.mktemp("docs")
    )  # raises for a warning, a broken link or something loaded from elsewhere


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
