"""Builds the documentation site: `python docs/build_site.py OUT` (`make docs` does it). Needs the extra `docs`.

Pages are gathered in `build/docs`, with links as they are on the site; Zensical makes HTML of them, and every link is followed.
OUT is replaced only by a site without faults.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from generator.api import api_pages
from generator.built import check_site
from generator.cards import card_pages
from generator.navigation import navigation
from generator.page import DOCS, ROOT, Page, SiteError
from generator.rewriting import with_links_of_the_site
from generator.written import pictures, written_pages


def main(out: Path) -> int:
    try:
        built = build(ROOT / "build" / "docs")
        replace_site(built, out)
    except SiteError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"open {out / 'index.html'}")
    return 0


def build(work: Path) -> Path:
    """Build the site inside of `work`, which is emptied first; gives its folder. Raises `SiteError` for any fault."""
    shutil.rmtree(work, ignore_errors=True)
    write_pages(all_pages(), work)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", str(work / "mkdocs.yml")]
    if subprocess.run(command, cwd=work, check=False).returncode:
        raise SiteError(f"the site has faults, see above (its pages are in {work / 'docs'})")
    checked = check_site(work / "site")
    if checked.faults:
        raise SiteError("\n".join(checked.faults))
    outside = sorted(checked.outside)
    print("\n".join([f"{checked.pages} pages; not followed, since they lead to other sites:", *outside]))
    return work / "site"


def all_pages() -> list[Page]:
    """Every page in Markdown, with links as they are on the site. Raises `SiteError` for a link to what is no page."""
    return with_links_of_the_site([*written_pages(), *card_pages(), *api_pages()], pictures())


def write_pages(pages: list[Page], work: Path) -> None:
    """Write the pages, the pictures and the options of the site."""
    for page in pages:
        path = work / "docs" / page.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page.text, encoding="utf-8")
    for folder in ("assets", "images"):
        shutil.copytree(DOCS / folder, work / "docs" / folder)
    stated = (DOCS / "site.yaml").read_text(encoding="utf-8").replace("$ROOT", str(ROOT))
    options = yaml.safe_load(stated)
    options["nav"] = navigation(options["nav"], pages)
    (work / "mkdocs.yml").write_text(yaml.safe_dump(options, sort_keys=False, allow_unicode=True), encoding="utf-8")


def replace_site(built: Path, out: Path) -> None:
    """Put the new site in the place of an earlier one. Raises `SiteError` where something else is there."""
    if out.exists() and not (out / "search.json").exists() and not (out / "search").exists():
        raise SiteError(f"{out} is no earlier site; move it away")
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(built, out)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
