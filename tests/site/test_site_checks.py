"""The site's own checks find what they are for: planted faults in small sites, pages and navigations."""

from __future__ import annotations

import ast
import re
from importlib import import_module

import pytest

from build_site import all_pages
from delineate.methods import registry as methods
from delineate.strategies import registry as strategies
from generator.api import api_pages
from generator.built import check_site
from generator.home import home_page
from generator.navigation import navigation
from generator.page import DOCS, ROOT, Page, SiteError
from generator.rewriting import with_links_of_the_site

GOOD = '<h1 id="top">A</h1><a href="b/c.html#there">c</a><a href="#top">up</a><img src="p.png" alt="a picture"/>'
FAULTS = {
    '<a href="none.html">x</a>': "a.html: no such page: none.html",
    '<a href="b/c.html#nowhere">x</a>': "a.html: no such heading: b/c.html#nowhere",
    '<a href="#nowhere">x</a>': "a.html: no such heading: #nowhere",
    '<a href="../outside.html">x</a>': "a.html: no such page: ../outside.html",
    '<img src="none.png" alt="a picture">': "a.html: no such file: none.png",
    '<img src="p.png">': "a.html: a picture without words: p.png",
    '<script src="https://cdn.example/x.js"></script>': "a.html: loads https://cdn.example/x.js",
    '<link rel="stylesheet" href="//fonts.example/x.css">': "a.html: loads //fonts.example/x.css",
}


@pytest.fixture
def site(tmp_path):
    """Two pages and a picture, without a fault."""
    (tmp_path / "b").mkdir()
    (tmp_path / "a.html").write_text(GOOD)
    (tmp_path / "b" / "c.html").write_text(
        '<h2 id="there">C</h2><a href="../a.html">a</a><a href="https://d.example">d</a>'
    )
    (tmp_path / "p.png").touch()
    return tmp_path


def test_a_site_without_faults(site):
    checked = check_site(site)
    assert (checked.faults, checked.outside, checked.pages) == ([], {"https://d.example"}, 2)


@pytest.mark.parametrize("planted", FAULTS)
def test_a_planted_fault_is_found(site, planted):
    (site / "a.html").write_text(GOOD + planted)
    assert check_site(site).faults == [FAULTS[planted]]


def test_style_that_loads_from_elsewhere_is_found(site):
    (site / "s.css").write_text("@import 'https://fonts.example/a.css'; a { background: url(p.png) }")
    assert check_site(site).faults == ["s.css: loads https://fonts.example/a.css"]


def test_links_become_those_of_the_site():
    text = "[home](../README.md#read-on) ![p](../images/p.png) [x](https://d.example)\n```\n[code](none.md)\n```\n"
    pages = [Page("how-to/a.md", text, DOCS / "how-to" / "a.md"), Page("index.md", "", DOCS / "README.md")]
    made = with_links_of_the_site(pages, [DOCS / "images" / "p.png"])
    assert made[0].text == text.replace("../README.md", "../index.md")


def test_bars_in_code_of_a_table_lose_their_backslash():
    made = with_links_of_the_site([Page("a.md", "| `a\\|b` | c\\|d |\n\n`a\\|b`\n", None)], [])
    assert made[0].text == "| `a|b` | c\\|d |\n\n`a\\|b`\n"


def test_a_link_to_what_is_no_page_is_refused():
    page = Page("changes.md", "[code](src/delineate/cli/root.py)", ROOT / "CHANGELOG.md")
    with pytest.raises(SiteError, match=r"CHANGELOG.md: src/delineate/cli/root.py is no page of the site"):
        with_links_of_the_site([page], [])


def test_what_how_to_pages_import_is_explained():
    told = "".join(page.text for page in api_pages())
    entries = set(re.findall(r"^::: ([\w.]+)", told, re.MULTILINE))
    imported = imported_by_how_to_pages()
    assert ("delineate.methods.dense", "DenseMethod") in imported
    assert {(module, name) for module, name in imported if not {module, f"{module}.{name}"} & entries} == set()


def imported_by_how_to_pages() -> set[tuple[str, str]]:
    """(module, name) of every import of this package in a block of Python."""
    found = set()
    for page in (DOCS / "how-to").glob("*.md"):
        for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            for node in ast.walk(ast.parse(block)):
                if isinstance(node, ast.ImportFrom) and str(node.module).startswith("delineate."):
                    found |= {(str(node.module), name.name) for name in node.names}
    return found


def test_the_script_that_makes_the_pictures_still_fits_the_package():
    import_module("make_images")


def test_every_page_can_be_made_from_the_package_as_it_is():
    pages = {page.path: page.text for page in all_pages()}
    assert {f"methods/{name}.md" for name in methods.BUILT_IN} <= set(pages)
    assert {f"strategies/{name}.md" for name in strategies.BUILT_IN} <= set(pages)
    assert "`--set method.KEY=VALUE`" in pages["methods/unet.md"]


def test_the_first_page_has_the_parts_of_the_readme_that_it_names(monkeypatch):
    page = home_page()
    assert "## Your own images\n" in page.text
    assert "](how-to/own-data.md)" in page.text
    monkeypatch.setattr("generator.home.SECTIONS", ("Gone",))
    with pytest.raises(SiteError, match=r"README.md has no section 'Gone'"):
        home_page()


def test_navigation_names_every_page_once():
    pages = [Page(path, "") for path in ("index.md", "methods/a.md", "methods/b.md", "how-to/new.md", "new.md")]
    stated = [{"Home": "index.md"}, {"Methods": "methods"}, {"How-to": []}, {"Explanation": []}]
    assert navigation(stated, pages) == [
        {"Home": "index.md"},
        {"Methods": ["methods/a.md", "methods/b.md"]},
        {"How-to": ["how-to/new.md"]},
        {"Explanation": ["new.md"]},
    ]


def test_navigation_refuses_what_is_no_page():
    with pytest.raises(SiteError, match=r"names gone.md, which is no page"):
        navigation(["gone.md"], [])
