"""YAML texts of any origin: what cannot be read is one kind of error, and small texts stay small."""

from __future__ import annotations

import json
from typing import Any

import yaml

_MOST_ALIASES = 20
"""Each may repeat a whole part, also one that repeats others: a few dozen make a text of a line larger than all memory."""


def parse_yaml(text: str) -> Any:
    """The content of a YAML text, plain types only. Raises `ValueError` with the reason in one line."""
    try:
        if sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)) > _MOST_ALIASES:
            raise ValueError("it repeats parts of itself too often (*aliases)")
        content = yaml.safe_load(text)
        json.dumps(content, default=str, skipkeys=True)  # finds a part that holds itself
        return content
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(" ".join(str(error).split()) or "it is not YAML") from error
