"""The parts of written pages that the code itself knows, each between two marks: `<!-- generated: verbs -->` … `<!-- end -->`."""

from __future__ import annotations

import re
from collections.abc import Callable

from generator.commands import verbs
from generator.plugins import formats, method_options, metrics, strategy_options
from generator.python_names import python
from generator.recipe import benchmark, recipe

BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
PARTS: dict[str, Callable[[], str]] = {
    "benchmark": benchmark,
    "formats": formats,
    "methods": method_options,
    "metrics": metrics,
    "python": python,
    "recipe": recipe,
    "strategies": strategy_options,
    "verbs": verbs,
}


def filled(text: str) -> str:
    """A page with its parts made anew."""
    return BLOCK.sub(lambda found: found[1] + PARTS[found[2]]() + found[3], text)
