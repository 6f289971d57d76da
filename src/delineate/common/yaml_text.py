"""YAML texts of any origin: what cannot be read is one kind of error, and small texts stay small."""

from __future__ import annotations

from typing import Any

import yaml

_DEEPEST = 100
"""Parts within parts; one that holds itself has no end."""
_MOST_ALIASES = 20
"""Each may repeat a whole part, also one that repeats others: a few dozen make a text of a line larger than all memory."""


def parse_yaml(text: str) -> Any:
    """The content of a YAML text, plain types only. Raises `ValueError` with the reason in one line."""
    try:
        if sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)) > _MOST_ALIASES:
            raise ValueError("it repeats parts of itself too often (*aliases)")
        content = yaml.safe_load(text)
        _check_depth(content)
        return content
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(" ".join(str(error).split()) or "it is not YAML") from error


def _check_depth(content: Any, depth: int = 0) -> None:
    if depth > _DEEPEST:
        raise ValueError("it is nested too deeply, or holds itself")
    for part in content.values() if isinstance(content, dict) else content if isinstance(content, list | set) else ():
        _check_depth(part, depth + 1)
