"""At what size a picture in a file is seen: which of its sizes is read, and how that is resized.

A model has learned from pixels of some size. Where that is known in micrometers (`--mpp`, or the model's own spacing), the smallest
copy in the file that is fine enough is read.
"""

from __future__ import annotations

from dataclasses import dataclass

from delineate.common.errors import DataError, RecipeError
from delineate.data.core.input_spec import InputSpec, PixelSpacing
from delineate.data.formats.contract import ImageHandle

__all__ = ["Seen", "check_mpp", "seen_at"]

_EQUAL = 0.02
"""Sizes of pixels that differ by less than this share are not resampled: scanners state them no better."""
_ENLARGED = 1.5
"""A picture that is enlarged by more than this is told: it has no such detail."""

_Size = tuple[int, int]
_Microns = tuple[float, float]


@dataclass(frozen=True)
class Seen:
    """How a picture is seen."""

    level: ImageHandle
    """The size that is read."""
    size: _Size
    """Height and width that it is brought to."""
    microns: _Microns | None
    """Distances of rows and columns then, in µm; None where they are not known."""
    output: _Size
    """Height and width of what is written: those of the picture, or as it is seen."""
    output_microns: _Microns | None
    remark: str | None = None


def check_mpp(spec: InputSpec, mpp: float | None) -> None:
    """Raise `RecipeError` for a model that `--mpp` has no meaning for, or that has learned from pixels of another size."""
    if mpp is None:
        return
    if not 0 < mpp < 1e4:
        raise RecipeError(f"--mpp is the size of a pixel in micrometers, such as 0.5 (given: {mpp:g})")
    if spec.fit != "patch":
        raise RecipeError(
            f"--mpp is for models trained on patches (input.fit=patch); this one sees whole images brought to "
            f"{spec.size[0]}×{spec.size[1]} (input.fit={spec.fit}), whatever the size of their pixels: leave it out"
        )
    if spec.scale != 1:
        raise RecipeError(
            f"--mpp and the model's input.scale={spec.scale:g} both say at what size it sees images; leave --mpp out, or train "
            "with input.spacing"
        )
    if spec.spacing is not None and any(abs(1000 * side / mpp - 1) > _EQUAL for side in spec.spacing):
        own = "×".join(f"{1000 * side:g}" for side in spec.spacing)
        raise RecipeError(
            f"--mpp {mpp:g}: the model has learned from pixels of {own} µm (input.spacing); leave --mpp out"
        )


def seen_at(handle: ImageHandle, spec: InputSpec, mpp: float | None, spacing: PixelSpacing | None = None) -> Seen:
    """How a model sees a picture.

    `mpp`: micrometers per pixel that were asked for; what is written then has the pixels that were seen. `spacing`: of the
    picture's pixels in mm, where its data set tells; else its file tells. Raises `DataError` where nothing does and it matters.
    """
    height, width = own = handle.shape[0], handle.shape[1]
    known = handle.microns if spacing is None else (1000 * spacing[0], 1000 * spacing[1])
    wanted = (mpp, mpp) if mpp is not None else None
    if wanted is None and spec.spacing is not None:
        wanted = (1000 * spec.spacing[0], 1000 * spec.spacing[1])
    if wanted is None:
        size = spec.working_size(height, width)
        return Seen(handle, size, _scaled(known, own, size), own, known)
    if known is None:
        what = f"--mpp {mpp:g}" if mpp is not None else f"a model that sees pixels of {wanted[0]:g}×{wanted[1]:g} µm"
        raise DataError(
            f"{handle.path} does not tell how large its pixels are in µm, which {what} needs: save it with its resolution "
            "(OME-TIFF, or the TIFF tags)"
        )
    fine = [one for one in handle.levels if _fits(_scaled(known, own, (one.shape[0], one.shape[1])), wanted)]
    level = fine[-1] if fine else handle
    inner = level.shape[0], level.shape[1]
    pixels = _scaled(known, own, inner)
    assert pixels is not None
    factors = tuple(mine / target for mine, target in zip(pixels, wanted, strict=True))
    size = inner
    if any(abs(factor - 1) > _EQUAL for factor in factors):
        size = max(1, round(inner[0] * factors[0])), max(1, round(inner[1] * factors[1]))
    microns = _scaled(known, own, size)
    output, of_output = (own, known) if mpp is None else (size, microns)
    told = None
    if max(factors) > _ENLARGED:
        told = f"its finest pixels are {min(known):.3g} µm, and it is enlarged to {min(wanted):g} µm: it has no such detail"
    return Seen(level, size, microns, output, of_output, told)


def _fits(pixels: _Microns | None, wanted: _Microns) -> bool:
    """Whether pixels are fine enough."""
    return pixels is not None and all(
        mine <= target * (1 + _EQUAL) for mine, target in zip(pixels, wanted, strict=True)
    )


def _scaled(microns: _Microns | None, own: _Size, size: _Size) -> _Microns | None:
    if microns is None:
        return None
    return microns[0] * own[0] / size[0], microns[1] * own[1] / size[1]
