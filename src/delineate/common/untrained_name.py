"""The name of a method that was not trained: `METHOD@PRESET:untrained`, such as `alpnet@tiny:untrained`."""

from __future__ import annotations

__all__ = ["UNTRAINED", "method_and_preset"]

UNTRAINED = ":untrained"


def method_and_preset(name: str) -> tuple[str, str]:
    """("alpnet", "tiny") of "alpnet@tiny:untrained"; without a preset it is "paper"."""
    method, _, preset = name.removesuffix(UNTRAINED).partition("@")
    return method, preset or "paper"
