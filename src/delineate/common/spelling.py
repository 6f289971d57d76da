"""The spelling of files of earlier versions: keys that have taken the spelling of torch and scikit-learn since."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

__all__ = ["KEYS", "respelled", "respelled_path", "respelled_setting"]

KEYS = {
    "colour": "color",
    "grey": "gray",
    "labelled_share": "labeled_share",
    "least_labelled": "least_labeled",
    "normalise": "normalize",
    "optimiser": "optimizer",
}
"""Earlier key of a recipe or of a method's options → today's."""


def respelled(content: Any, kept: Collection[str] = ()) -> Any:
    """Nested settings with the keys of today, and with the color mode `gray` for `grey`; nothing that is given is changed.

    `kept`: names that stay, since today's options have them (those of a method of another package may).
    """
    if not isinstance(content, Mapping):
        return content
    today = {}
    for key, value in content.items():
        name = key if key in kept else KEYS.get(key, key)
        today[name] = "gray" if name == "channels" and value == "grey" else respelled(value, kept)
    return today


def respelled_path(path: str) -> str:
    """One dotted key, the same way."""
    return ".".join(KEYS.get(key, key) for key in path.split("."))


def respelled_setting(path: str, value: Any) -> tuple[str, Any]:
    """A dotted key and its value, the same way."""
    path = respelled_path(path)
    return path, "gray" if path.endswith("input.channels") and value == "grey" else value
