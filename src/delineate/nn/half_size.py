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
        Height and width in pixels, at most those of `size`. A side that is a symbol of a graph for many sizes counts as at least
        twice `least`: a method says so by its `export_least`.

    Example:
        >>> from delineate.nn.half_size import half_size
        >>> half_size((352, 288), multiple=32, least=64), half_size((96, 64), multiple=32, least=64)
        ((192, 160), (64, 64))
    """
    twice = 2 * multiple
    height, width = ((side + twice - 1) // twice * multiple for side in size)
    if not known(*size):
        return height, width
    return min(size[0], max(least, height)), min(size[1], max(least, width))
