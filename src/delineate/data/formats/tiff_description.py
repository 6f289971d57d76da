"""What programs write into a TIFF file's description about its pages: ImageJ its stacks, OME-TIFF its XML, tifffile a shape.

    ImageJ=1.54f                                    channels first, then slices, then moments in time
    images=40 channels=2 slices=20 unit=micron spacing=0.5

    <OME …><Image><Pixels SizeZ="20" SizeC="2" SizeT="1" DimensionOrder="XYZCT" PhysicalSizeZ="0.5" …>

    {"shape": [20, 512, 512], "axes": "ZYX"}        axes only where the owner named them

Only what these say is taken: pages that nothing describes are no slices for that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isfinite, prod
from typing import Any
from xml.etree import ElementTree

from delineate.common.files import parse_json

__all__ = ["Description", "describe"]

_MILLIMETERS = {"m": 1000.0, "meter": 1000.0, "cm": 10.0, "centimeter": 10.0, "mm": 1.0, "millimeter": 1.0}
_MILLIMETERS |= dict.fromkeys(("µm", "μm", "um", "micron", "microns", "micrometer", "\\u00b5m"), 1e-3)
_MILLIMETERS |= {"nm": 1e-6, "nanometer": 1e-6, "å": 1e-7, "pm": 1e-9, "in": 25.4, "inch": 25.4}
_MOST_XML = 1 << 26
"""Characters of a description that are parsed as XML."""


@dataclass(frozen=True)
class Description:
    """What a description says. Without one, everything is as its default."""

    program: str = ""
    """Who wrote it, for messages; '' where nothing is known of the pages."""
    planes: int = 1
    channels: int = 1
    moments: int = 1
    """In time."""
    order: str = "CZT"
    """Which of the three changes fastest from page to page."""
    names: tuple[str, ...] = ()
    """Of the channels; none where they are not named, or not all differently."""
    images: int = 0
    """Pages that it tells of; 0: it does not."""
    values: int = 0
    """Numbers in all pages together, where it tells these."""
    size: tuple[float | None, float | None, float | None] = (None, None, None)
    """Distances of columns, rows and planes in millimeters, as far as it tells them."""
    unit: float | None = None
    """Millimeters in the unit that the tags of resolution are in; None where it does not tell."""
    at: Mapping[tuple[int, int, int], int] = field(default_factory=dict)
    """(channel, plane, moment) → page, where the order is not all there is."""
    fault: str = ""
    """Why its pages cannot be told, as the rest of a message."""

    def pages(self, values: int) -> int:
        """How many pages it tells of, each of so many numbers; 1 where it tells none."""
        return self.images or self.values // max(1, values) or 1

    def page(self, channel: int, plane: int, moment: int) -> int:
        """Which page it is."""
        if self.at:
            return self.at.get((channel, plane, moment), -1)
        number, step = 0, 1
        for letter in self.order:
            at, size = {"C": (channel, self.channels), "Z": (plane, self.planes), "T": (moment, self.moments)}[letter]
            number, step = number + at * step, step * size
        return number

    def distances(self, per_unit: tuple[float, float] | None) -> tuple[float | None, float | None, float | None]:
        """Of columns, rows and planes in millimeters; `per_unit`: pixels in a unit, as tags of resolution say."""
        across, down, depth = self.size
        if self.unit is not None and per_unit is not None:
            across, down = self.unit / per_unit[0], self.unit / per_unit[1]
        return across, down, depth


def describe(content: bytes) -> Description:
    """Read a description. What cannot be read says nothing."""
    text = content.rstrip(b"\0").decode("utf-8", "replace")
    try:
        if text.startswith("ImageJ="):
            return _imagej(text)
        if text.startswith("{") and '"shape"' in text:
            return _shaped(parse_json(text))
        if text.lstrip("\ufeff \n\t").startswith("<") and "<OME" in text[:4096] and len(text) <= _MOST_XML:
            return _ome(text)
    except (ValueError, TypeError, KeyError, OverflowError, ElementTree.ParseError):
        pass
    return Description()


def _imagej(text: str) -> Description:
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    def number(name: str) -> int:
        return max(1, int(fields.get(name, "1")))

    images, planes, channels, moments = (number(name) for name in ("images", "slices", "channels", "frames"))
    if planes == channels == moments == 1:
        planes = images  # as ImageJ opens it
    unit = _MILLIMETERS.get(fields.get("unit", "").strip().lower())
    deep = _MILLIMETERS.get(fields.get("zunit", fields.get("unit", "")).strip().lower())
    depth = abs(float(fields["spacing"])) if "spacing" in fields else None
    if fields.get("yunit", fields.get("unit")) != fields.get("unit"):
        unit = None  # rows in one unit and columns in another
    return Description(
        "ImageJ",
        planes,
        channels,
        moments,
        images=images,
        size=(None, None, _length(depth, deep)),
        unit=unit,
    )


def _shaped(said: dict[str, Any]) -> Description:
    """tifffile's: the last axes are those of a page, the others change the slower the earlier they stand."""
    shape = [int(size) for size in said["shape"]]
    axes = said.get("axes")
    found = Description(values=prod(shape))
    if isinstance(axes, str) and len(axes) == len(shape):
        sizes = dict(zip(axes.upper(), shape, strict=True))
        outer = [letter for letter in axes.upper() if letter not in "YXS"]
        if {*outer} <= {*"CZT"}:
            order = "".join(reversed(outer))
            order += "".join(letter for letter in "CZT" if letter not in order)
            planes, channels, moments = (sizes.get(letter, 1) for letter in "ZCT")
            return replace(found, program="tifffile", planes=planes, channels=channels, moments=moments, order=order)
    outer_sizes = [size for size in shape[:-2] if size > 1]
    if len(outer_sizes) > 1 and not (len(outer_sizes) == 2 and shape[-1] in (3, 4)):
        return replace(found, fault=f"are an array of {'×'.join(map(str, shape))} whose axes have no names")
    return found


def _ome(text: str) -> Description:
    if "<!DOCTYPE" in text:
        return Description()
    root = ElementTree.fromstring(text)
    images = [one for one in root if _tag(one) == "Image"]
    pixels = [one for image in images for one in image if _tag(one) == "Pixels"]
    if not pixels:
        return Description(fault="are described in another file (OME-TIFF with its metadata apart)")
    if len(pixels) > 1:
        return Description("OME-TIFF", fault=f"are of {len(pixels)} images")
    found = pixels[0]
    planes, channels, moments = (int(found.get(f"Size{letter}", "1")) for letter in "ZCT")
    if min(planes, channels, moments) < 1 or planes * channels * moments > 1 << 24:
        raise ValueError("sizes that cannot be")
    parts = [one for one in found if _tag(one) == "Channel"]
    samples = sum(int(one.get("SamplesPerPixel", "1")) for one in parts)
    if len(parts) == 1 and samples == channels > 1:
        channels = 1  # colors of one page
    names = tuple(one.get("Name", "").strip() for one in parts)
    named = len(names) == channels and all(names) and len(set(names)) == channels
    files = {uuid.get("FileName") for one in found if _tag(one) == "TiffData" for uuid in one} - {None}
    order = found.get("DimensionOrder", "XYZCT")[2:]
    said = Description(
        "OME-TIFF",
        planes,
        channels,
        moments,
        order if sorted(order) == ["C", "T", "Z"] else "ZCT",
        names if named else (),
        images=planes * channels * moments,
        size=(_physical(found, "X"), _physical(found, "Y"), _physical(found, "Z")),
        fault="are divided among several files" if len(files) > 1 else "",
    )
    return replace(said, at=_places(found, said))


def _places(pixels: ElementTree.Element, said: Description) -> dict[tuple[int, int, int], int]:
    """Where each plane is, as the elements TiffData tell; nothing where they only repeat the order."""
    entries = [one for one in pixels if _tag(one) == "TiffData"]
    sizes = {"C": said.channels, "Z": said.planes, "T": said.moments}
    found: dict[tuple[int, int, int], int] = {}
    for entry in entries:
        page = int(entry.get("IFD", "0"))
        at = {letter: int(entry.get(f"First{letter}", "0")) for letter in "CZT"}
        number = int(entry.get("PlaneCount", "1" if "IFD" in entry.attrib else str(said.images)))
        for step in range(min(number, said.images)):
            found[at["C"], at["Z"], at["T"]] = page + step
            for letter in said.order:
                at[letter] += 1
                if at[letter] < sizes[letter]:
                    break
                at[letter] = 0
    usual = all(said.page(*place) == page for place, page in found.items()) and len(found) == said.images
    return {} if usual else found


def _physical(pixels: ElementTree.Element, axis: str) -> float | None:
    stated = pixels.get(f"PhysicalSize{axis}")
    unit = pixels.get(f"PhysicalSize{axis}Unit", "µm")
    return _length(None if stated is None else float(stated), _MILLIMETERS.get(unit.strip().lower()))


def _length(value: float | None, unit: float | None) -> float | None:
    """In millimeters; None where it, or its unit, is not told or cannot be."""
    return value * unit if value is not None and unit is not None and isfinite(value) and value > 0 else None


def _tag(element: ElementTree.Element) -> str:
    return re.sub(r"^\{.*\}", "", element.tag)
