"""Recipes of earlier versions. Keys in another spelling are read as they were meant; so are keys that have moved, in saved recipes:
who types one is told the new one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from delineate.common.config import merge
from delineate.common.errors import RecipeError
from delineate.common.spelling import respelled

__all__ = ["in_todays_spelling", "of_today", "refuse_key", "refuse_moved"]

_EMA = "strategy.ema"
"""Where the decay of the averaged weights is set, which was the engine's."""


def of_today(content: Mapping[str, Any], options: Collection[str] = ()) -> dict[str, Any]:
    """A saved recipe of an earlier version, as it would be written today; `options`: names of its method's options."""
    content = today = in_todays_spelling(content, options)
    if isinstance(stages := content.get("stages"), Mapping):
        today["stages"] = {name: _parted(stage) for name, stage in stages.items()}
    if isinstance(engine := content.get("engine"), Mapping) and "ema" in engine:
        parted = _parted(engine)
        strategy = parted.pop("strategy")
        today |= {"engine": parted, "strategy": merge(strategy, content.get("strategy") or {})}
    if isinstance(episodes := content.get("episodes"), Mapping) and "axis" in episodes:
        today["episodes"] = {key: value for key, value in episodes.items() if key != "axis"}
        today["data"] = {**(content.get("data") or {}), "axis": episodes["axis"]}
    if isinstance(seen := today.get("input"), Mapping) and seen.get("intensity") == "zscore":
        today["input"] = {
            "zscore_over": "image",
            **seen,
        }  # a recipe that does not say it is older than scores over volumes
    method = today.get("method") or {}
    if {"pretrained", "normalize"} <= set(options) and isinstance(method, Mapping):
        today["method"] = {"normalize": "imagenet", **method}  # a recipe that does not say it is older than `auto`
    return today


def in_todays_spelling(content: Mapping[str, Any], options: Collection[str]) -> dict[str, Any]:
    """Sections of a recipe; `options`: names of its method's options, which may be anything."""
    today = dict(respelled({key: value for key, value in content.items() if key != "method"}))
    if "method" in content:
        today["method"] = respelled(content["method"], options)
    return today


def refuse_moved(content: Mapping[str, Any]) -> None:
    """Raise `RecipeError` naming the new key where a preset or a user states an old one."""
    places = {"engine": content.get("engine")}
    stages = content.get("stages")
    if isinstance(stages, Mapping):
        places |= {f"stages.{name}": stage for name, stage in stages.items()}
    for place, section in places.items():
        if isinstance(section, Mapping) and "ema" in section:
            refuse_key(f"{place}.ema")
    if isinstance(episodes := content.get("episodes"), Mapping) and "axis" in episodes:
        refuse_key("episodes.axis")


def refuse_key(path: str) -> None:
    """The same for one dotted key."""
    if path == "episodes.axis":
        raise RecipeError(f"{path} is called data.axis now: all methods see volumes slice by slice")
    section, _, name = path.rpartition(".")
    if name == "ema" and (section == "engine" or (section.startswith("stages.") and section.count(".") == 1)):
        new = _EMA if section == "engine" else f"{section}.{_EMA}"
        raise RecipeError(f"{path} is called {new} now: averaging the weights is a part of how a method is trained")


def _parted(section: Any) -> Any:
    """A section whose `ema` is one of its strategy's options."""
    if not isinstance(section, Mapping) or "ema" not in section:
        return section
    return {key: value for key, value in section.items() if key != "ema"} | {"strategy": {"ema": section["ema"]}}
