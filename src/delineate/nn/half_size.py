"""The size of a smaller copy of an image, for networks that must agree with themselves at two scales."""

from __future__ import annotations

from delineate.nn.blocks import known

__all__ = ["half_size"]


def half_size(size: tuple[int, int], *, multiple: int, least: int) -> tuple[int, int]:
    """Half of a size, rounded up to multiples.

    Args:
        size: Height and width in pixels.
        multiple: Of which both sides of the result are multiples, where they are not those of `size`.
        least: Smallest side; a side that is shorter stays as it is.

    Returns:
        Height and width in pixels, at most those of `size`.

    Raises:
        ValueError: The size is a symbol of a graph for any size.

    Example:
        >>> from delineate.nn.half_size import half_size
        >>> half_size((352, 288), multiple=32, least=64), half_size((96, 64), multiple=32, least=64)
        ((192, 160), (64, 64))
    """
    if not known(*size):
        raise ValueError("a network of two scales is exported for one size alone")
    twice = 2 * multiple
    height, width = (min(side, max(least, (side + twice - 1) // twice * multiple)) for side in size)
    return height, width
