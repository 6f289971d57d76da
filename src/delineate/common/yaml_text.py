"""YAML texts of any origin: what cannot be read is one kind of error, and small texts stay small."""

from __future__ import annotations

from typing import Any

import yaml

__all__ = ["parse_yaml"]

_DEEPEST = 100
"""Parts within parts."""
_LARGEST = 100_000
"""Parts in all, where each alias (`*x`) counts as often as it is written: a text of a line could fill all memory with them."""


def parse_yaml(text: str) -> Any:
    """The content of a YAML text, plain types only. Raises `ValueError` with the reason in one line."""
    try:
        loader = yaml.SafeLoader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return None
            _measure(root, {})
            return loader.construct_document(root)
        finally:
            loader.dispose()
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(" ".join(str(error).split()) or "it is not YAML") from error


def _measure(node: yaml.Node, known: dict[yaml.Node, tuple[int, int] | None]) -> tuple[int, int]:
    """Parts and depth of what a node stands for. Each node is looked at once, however often it is repeated."""
    if node in known:
        found = known[node]
        if found is None:  # it is being measured just now
            raise ValueError("a part of it holds itself (*aliases)")
        return found
    known[node] = None
    _refuse_repeated_keys(node)
    parts = [_measure(part, known) for part in _parts(node)]
    size = 1 + sum(part[0] for part in parts)
    depth = 1 + max((part[1] for part in parts), default=0)
    if size > _LARGEST:
        raise ValueError("it repeats parts of itself too often (*aliases)")
    if depth > _DEEPEST:
        raise ValueError("it is nested too deeply")
    known[node] = size, depth
    return size, depth


def _refuse_repeated_keys(node: yaml.Node) -> None:
    """YAML would let the last one win in silence."""
    seen: set[tuple[str, str]] = set()
    for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
        if isinstance(key, yaml.ScalarNode):
            if (key.tag, key.value) in seen:
                raise ValueError(f"'{key.value}' is there twice")
            seen.add((key.tag, key.value))


def _parts(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []
