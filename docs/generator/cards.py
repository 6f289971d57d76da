"""A page for each method and each way of training: its card, with facts, presets and options from the code."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from pydantic import BaseModel

from delineate.methods import registry as methods
from delineate.methods.built_in import BUILT_IN, FAMILIES
from delineate.methods.listing import MethodRow, list_methods
from delineate.strategies import registry as strategies
from delineate.strategies.built_in import BUILT_IN as BUILT_IN_STRATEGIES
from delineate.strategies.listing import StrategyRow, list_strategies
from generator.page import DOCS, Page
from generator.settings import settings_of
from generator.tables import table
from generator.written import OPTIONS

METHODS = """# Methods

Each page is a method's card: what it is, how this project reads the paper where that leaves something open, what it reached, and
all of its options. The last two columns count parameters.

{rows}
Beside these, [`smp:ARCH/ENCODER`](smp.md) names the networks of segmentation_models.pytorch.
"""
STRATEGIES = """# Ways of training

How a method is trained is a choice of its own: `delineate train … --strategy NAME`.

{rows}
"""
TRAINED_BY = {"dense": "delineate train", "episodic": "delineate fewshot train"}


def card_pages() -> Iterator[Page]:
    """Those of this package, each kind behind a page that lists them; other packages have documentation of their own."""
    known = [row for row in list_methods() if row.name in BUILT_IN]
    yield Page("methods/index.md", _methods_index(known), instead_of=OPTIONS)
    for row in known:
        yield _method_page(row)
    for family, place in FAMILIES.items():
        module = import_module(place.partition(":")[0])
        yield _page(f"methods/{family}.md", Path(str(module.__file__)).with_name("card.md"), "", "")
    ways = [row for row in list_strategies() if row.name in BUILT_IN_STRATEGIES]
    yield Page("strategies/index.md", _strategies_index(ways))
    for way in ways:
        yield _strategy_page(way)


def _methods_index(rows: list[MethodRow]) -> str:
    head = ["Name", "Method", "Year", "Segments", "Preset `tiny`", "Preset `paper`"]
    cells = []
    for row in rows:
        sizes = [_parameters(row, preset) for preset in ("tiny", "paper")]
        cells.append([f"[`{row.name}`]({row.name}.md)", row.title, str(row.year), _kind(row), *sizes])
    return METHODS.format(rows=table(head, cells))


def _strategies_index(rows: list[StrategyRow]) -> str:
    head = ["Name", "Way of training", "Year", "Images without masks"]
    cells = [[f"[`{row.name}`]({row.name}.md)", row.title, str(row.year), _without_masks(row)] for row in rows]
    return STRATEGIES.format(rows=table(head, cells))


def _method_page(row: MethodRow) -> Page:
    folder = methods.folder(row.name)
    facts = [
        ["Name", f"`{row.name}`"],
        ["Paper", row.paper],
        ["Segments", _kind(row)],
        ["Images without masks", "used in training" if row.uses_unlabeled else "left out of training"],
        ["Stages of training", ", ".join(f"`{stage}`" for stage in row.stages)],
        ["Parameters", ", ".join(f"{_parameters(row, preset)} (`{preset}`)" for preset in row.presets)],
    ]
    first = f"```bash\n{TRAINED_BY[row.kind]} my-data/ --method {row.name} --preset small --out runs/{row.name}\n```\n"
    presets = (folder / "recipe.yaml").read_text(encoding="utf-8")
    end = (
        f"## Presets\n\nWhat `--preset NAME` sets; all else keeps its default.\n\n```yaml\n{presets}```\n\n"
        f"## Options\n\n{_options(methods.method_class(row.name).Options, 'method')}"
    )
    start = f"{_picture(row, folder)}{table(['', ''], facts)}\n{first}"
    return _page(f"methods/{row.name}.md", folder / "card.md", start, end)


def _picture(row: MethodRow, folder: Path) -> str:
    """What the method makes of phantoms, where there is a picture of it."""
    picture = DOCS / "images" / "methods" / f"{row.name}.jpg"
    words = f"Lesions in phantom images, outlined by {row.title} (solid) and by the reference (dashed)"
    if row.kind == "episodic":
        words += "; the first image of each row is one of three that it was shown"
    return f"![{words}]({os.path.relpath(picture, folder)})\n\n" if picture.exists() else ""


def _strategy_page(row: StrategyRow) -> Page:
    facts = [
        ["Name", f"`{row.name}`"],
        ["Paper", row.paper],
        ["Images without masks", _without_masks(row)],
    ]
    first = f"```bash\ndelineate train my-data/ --method unet --preset tiny --strategy {row.name} --out runs/{row.name}\n```\n"
    end = f"## Options\n\n{_options(strategies.strategy_class(row.name).Options, 'strategy')}"
    card = strategies.folder(row.name) / "card.md"
    return _page(f"strategies/{row.name}.md", card, f"{table(['', ''], facts)}\n{first}", end)


def _page(place: str, card: Path, facts: str, end: str) -> Page:
    """The card with `facts` before its first section and `end` after its last."""
    head, mark, sections = card.read_text(encoding="utf-8").partition("## ")
    return Page(place, f"{head}{facts}\n{mark}{sections}\n{end}", card)


def _options(model: type[BaseModel], section: str) -> str:
    """A table of keys within the recipe's section."""
    first = f"Each with `--set {section}.KEY=VALUE`, or in the section `{section}` of a recipe."
    settings = list(settings_of(model))
    rows = [[f"`{one.key}`", f"`{one.type}`", f"`{one.default}`", one.meaning] for one in settings]
    if not any(one.from_paper for one in settings):
        return f"{first} None is stated by a paper.\n\n{table(['Key', 'Type', 'Default', ''], rows)}"
    for row, one in zip(rows, settings, strict=True):
        row.insert(3, "paper" if one.from_paper else "us")
    words = f"{first} *By* says whether the paper states it or it is this project's reading."
    return f"{words}\n\n{table(['Key', 'Type', 'Default', 'By', ''], rows)}"


def _kind(row: MethodRow) -> str:
    return "as a few annotated images show" if row.kind == "episodic" else "an image by itself"


def _parameters(row: MethodRow, preset: str) -> str:
    return f"{row.parameters[preset] / 1e6:.2f} M"


def _without_masks(row: StrategyRow) -> str:
    return "used in training" if row.uses_unlabeled else "as the method does"
