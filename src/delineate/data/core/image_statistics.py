"""What an image looks like, as two or three dozen numbers: brightness, contrast, colors, structure of each size, noise.

They are measured on the network's input before its normalization: in [0, 1], without padding. Values with a long tail are
logarithms, and shares are square roots, so that what is usual lies in an ellipsoid (`artefact.training_images`). An image of
256×256 pixels takes some milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Statistic", "measure_image", "statistic_of"]

_LEAST_SIDE: Final = 8
"""Smaller images are repeated at their edges to this."""
_DARK, _WHITE = 0.02, 0.98
_FINE, _FINEST = 0.005, 1e-4
"""Added before logarithms are taken: of spreads, and of differences of neighbors."""
_PERCENTILES: Final = (1, 5, 25, 50, 75, 95, 99)
_BANDS: Final = {"largest": 0.01, "large": 0.03, "medium": 0.08, "small": 0.16, "finest": 0.28}
"""Structures → from how many cycles per pixel on; each ends where the next begins, the last at 0.5."""


@dataclass(frozen=True)
class Statistic:
    """How one number is called, for people."""

    name: str
    what: str
    """What is measured."""
    less: str
    """What an image is of which it is too low."""
    more: str
    scale: Literal["plain", "log", "root"] = "plain"
    least: float = 0.0
    """What was added before a logarithm was taken."""

    def shown(self, value: float) -> str:
        """A value of it in its own unit."""
        if self.scale == "root":
            return f"{100 * value * value:.3g} %"
        own = np.exp(min(value, 50.0)) - self.least if self.scale == "log" else value
        return f"{own if abs(own) > 1e-6 else 0:.3g}"


def _table() -> dict[str, Statistic]:
    ends = {1: "darkest", 5: "dark", 25: "darker", 50: "middle", 75: "brighter", 95: "bright", 99: "brightest"}
    rows = [
        Statistic("brightness", "mean brightness", "darker", "brighter"),
        Statistic("contrast", "standard deviation", "flatter", "richer in contrast", "log", _FINE),
        *(
            Statistic(
                f"p{at}",
                f"{at}th percentile" if at > 1 else "1st percentile",
                f"darker in its {word} parts",
                f"brighter in its {word} parts",
            )
            for at, word in ends.items()
        ),
        Statistic("dark", "share of black pixels", "without black parts", "blacker in parts", "root"),
        Statistic("white", "share of white pixels", "without white parts", "whiter in parts", "root"),
        Statistic("red_green", "red less green", "less red", "redder"),
        Statistic("yellow_blue", "yellow less blue", "bluer", "yellower"),
        Statistic(
            "red_green_spread", "spread of red less green", "poorer in red and green", "more colorful", "log", _FINE
        ),
        Statistic(
            "yellow_blue_spread",
            "spread of yellow less blue",
            "poorer in yellow and blue",
            "more colorful",
            "log",
            _FINE,
        ),
        *(
            Statistic(
                f"band_{size}",
                f"power of {size} structures",
                f"poorer in {size} structures",
                f"richer in {size} structures",
                "log",
            )
            for size in _BANDS
        ),
        Statistic("across", "mean step from left to right", "smoother across", "rougher across", "log", _FINEST),
        Statistic("down", "mean step from top to bottom", "smoother downwards", "rougher downwards", "log", _FINEST),
        Statistic("texture", "median second difference", "smoother", "rougher", "log", _FINEST),
        Statistic("roughness", "spread of second differences", "smoother", "rougher", "log", _FINEST),
        Statistic("edges", "strength of the sharpest edges", "blurrier", "sharper", "log", _FINEST),
        Statistic("noise", "noise", "less noisy", "noisier", "log", _FINEST),
        Statistic("lighting", "spread over an 8×8 grid", "more evenly lit", "more unevenly lit", "log", _FINE),
        Statistic("even", "share of even areas", "without even areas", "richer in even areas", "root"),
        Statistic(
            "local_contrast",
            "contrast within small areas",
            "flatter in detail",
            "richer in local contrast",
            "log",
            _FINE,
        ),
    ]
    return {one.name: one for one in rows}


_KNOWN: Final = _table()
_OF_CHANNELS: Final = ("brightness", "contrast", "noise")
"""What is measured of each channel of an image with named ones, besides all of it of their mean."""


def statistic_of(name: str) -> Statistic | None:
    """How a number of `measure_image` is called; None for one that this version does not know."""
    kind, _, channel = name.partition(":")
    known = _KNOWN.get(kind)
    if known is None or not channel:
        return known
    what, less, more = f"{known.what} of {channel}", f"{known.less} in {channel}", f"{known.more} in {channel}"
    return Statistic(name, what, less, more, known.scale, known.least)


def measure_image(
    image: NDArray[np.float32], channels: Literal["rgb", "bgr", "gray"] | Sequence[str]
) -> dict[str, float]:
    """The numbers of one image.

    Args:
        image: h×w×C, float32 in [0, 1], without padding.
        channels: of the image; those of a slice alone, without its neighbors.

    Returns:
        Name → finite number. The same names for all images with these channels.
    """
    image = _large_enough(image)
    gray: Any = image[..., 0] if image.shape[2] == 1 else np.ascontiguousarray(image.mean(2))
    found = _of_gray(gray)
    if channels in ("rgb", "bgr"):
        red, green, blue = (image[..., at] for at in ((0, 1, 2) if channels == "rgb" else (2, 1, 0)))
        for name, opponent in (("red_green", red - green), ("yellow_blue", (red + green) / 2 - blue)):
            found[name] = float(opponent.mean())
            found[f"{name}_spread"] = _log(opponent.std(), _FINE)
    elif not isinstance(channels, str) and len(channels) > 1:
        for at, channel in enumerate(channels):
            own: Any = np.ascontiguousarray(image[..., at])
            values = {"brightness": float(own.mean()), "contrast": _log(own.std(), _FINE), "noise": _noise(own)}
            found |= {f"{name}:{channel}": values[name] for name in _OF_CHANNELS}
    return found


def _of_gray(gray: Any) -> dict[str, float]:
    steps, falls = np.abs(np.diff(gray, axis=1)), np.abs(np.diff(gray, axis=0))
    curved = np.abs(cv2.Laplacian(gray, cv2.CV_32F))
    found = {"brightness": float(gray.mean()), "contrast": _log(gray.std(), _FINE)}
    found |= dict(zip((f"p{at}" for at in _PERCENTILES), np.percentile(gray, _PERCENTILES).tolist(), strict=True))
    found["dark"], found["white"] = _root((gray <= _DARK).mean()), _root((gray >= _WHITE).mean())
    found |= {f"band_{size}": power for size, power in zip(_BANDS, _spectrum(gray), strict=True)}
    found["across"], found["down"] = _log(steps.mean(), _FINEST), _log(falls.mean(), _FINEST)
    middle, sharpest = np.percentile(curved, (50, 99))
    found["texture"], found["edges"] = _log(middle, _FINEST), _log(sharpest, _FINEST)
    found["roughness"] = _log(np.sqrt(np.square(curved).mean()), _FINEST)
    found["noise"] = _noise(gray)
    found["lighting"] = _log(_shrunk(gray, 8).std(), _FINE)
    spread = np.sqrt(np.maximum(_shrunk(gray * gray, 16) - _shrunk(gray, 16) ** 2, 0))
    found["even"], found["local_contrast"] = _root((spread < 0.01).mean()), _log(np.median(spread), _FINE)
    return found


def _spectrum(gray: Any) -> list[float]:
    """Logarithms of the power in each band, under a Hann window, which hides that edges do not meet."""
    height, width = gray.shape
    window = np.outer(np.hanning(height), np.hanning(width)).astype(np.float32)
    power = np.square(np.abs(np.fft.rfft2((gray - gray.mean()) * window))).ravel()
    sums = np.bincount(_band_of(height, width), power, len(_BANDS) + 1)[1:]
    return [_log(one, 1e-6) for one in sums / gray.size]


@lru_cache(maxsize=4)
def _band_of(height: int, width: int) -> NDArray[np.int8]:
    """Of each frequency of `rfft2` the number of its band, from 1; 0: below all, or in the corners beyond 0.5."""
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]).ravel()
    bands = np.searchsorted(list(_BANDS.values()), radius, side="right")
    return np.where(radius < 0.5, bands, 0).astype(np.int8)


def _noise(gray: Any) -> float:
    """From the diagonal differences of 2×2 pixels, which structures hardly have."""
    even = gray[: gray.shape[0] // 2 * 2, : gray.shape[1] // 2 * 2]
    diagonal = (even[::2, ::2] - even[1::2, ::2] - even[::2, 1::2] + even[1::2, 1::2]) / 2
    return _log(np.median(np.abs(diagonal)), _FINEST)


def _shrunk(gray: Any, side: int) -> Any:
    return cv2.resize(gray, (side, side), interpolation=cv2.INTER_AREA)


def _large_enough(image: NDArray[np.float32]) -> NDArray[np.float32]:
    short = [max(0, _LEAST_SIDE - side) for side in image.shape[:2]]
    return np.pad(image, ((0, short[0]), (0, short[1]), (0, 0)), "edge") if any(short) else image


def _log(value: Any, least: float) -> float:
    return float(np.log(value + least))


def _root(share: Any) -> float:
    return float(np.sqrt(share))
