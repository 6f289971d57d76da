"""What values the voxels of training volumes have: what an intensity rule with a unit is planned by.

After nnU-Net's fingerprint (Isensee et al., Nature Methods 2021), whose window of CT goes from the 0.5th to the 99.5th percentile
of the labeled voxels. Each volume has the same weight, whatever its size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DelineateError
from delineate.common.files import read_json, write_json
from delineate.data.cache.entries import entries_folder
from delineate.data.cases.census import Census
from delineate.data.cases.volumes import opened, percentiles_of, volume_mask
from delineate.data.core.manifest import IGNORE, Case, Manifest
from delineate.data.core.modality import of_ct, said_of_ct
from delineate.data.formats.several import Stacked

__all__ = ["Intensities", "Pair", "measure_intensities", "taken_for_ct"]

_MOST = 50
"""Volumes that are decoded at most, evenly spaced through the training split."""
_PROBES = 3
"""Volumes whose values are looked at where no name says what they are."""
_AIR = (-4100.0, -900.0)
"""Between these lies the 0.5th percentile of a scan with air around the body in Hounsfield units; scanners pad down to −4096."""
_BODY = (50.0, 4100.0)
"""Between these lies its 99.5th percentile: soft tissue … metal."""
_FORMAT = 1
_VOXELS = 20_000
"""Labeled voxels that are taken of each channel of a volume."""

Pair = tuple[float, float]
"""A lower and an upper value."""


@dataclass(frozen=True)
class Intensities:
    """Values of training volumes, as their files have them, all channels together."""

    volumes: int
    """That were decoded."""
    lows: Pair
    """The least and the greatest of their 0.5th percentiles."""
    highs: Pair
    """The same of their 99.5th percentiles."""
    labeled: Pair | None
    """0.5th and 99.5th percentile of the voxels of any class; None where there are none."""


def measure_intensities(
    manifest: Manifest,
    cases: Sequence[Case],
    *,
    channels: Sequence[int] = (),
    most: int = _MOST,
    cache_folder: Path | None = None,
) -> Intensities:
    """Decode volumes, one at a time, and look at their values. Those that were measured before are remembered.

    Args:
        manifest: With the hashes of all files and the label rule.
        cases: The training cases that are volumes, at least one.
        channels: Which channels are looked at, from 0; none: all.
        most: So many of them are decoded at most.
        cache_folder: Where results are kept. None: the user's cache folder.

    Returns:
        What was measured. It is the same for the same files.

    Raises:
        DataError: A file is damaged or has changed, or has voxels that are not numbers.
    """
    places = np.linspace(0, len(cases) - 1, min(most, len(cases))).round().astype(int)
    chosen = [cases[at] for at in np.unique(places)]
    index = entries_folder(cache_folder) / "intensities" / f"{_key(manifest, chosen, channels)}.json"
    try:
        return _restored(read_json(index))
    except (OSError, ValueError, TypeError, KeyError):
        found = _measured(manifest, chosen, channels)
        with suppress(DelineateError):  # saves time only: a cache that cannot be written is no reason to stop
            write_json(index, asdict(found))
        return found


def taken_for_ct(
    manifest: Manifest, census: Census, cases: Sequence[Case], *, cache_folder: Path | None = None
) -> tuple[tuple[int, ...], str]:
    """Which channels of volumes are computed tomography in Hounsfield units. Names decide; only where there are none, values do.

    Args:
        manifest: With the names of channels and the modalities of cases.
        census: What the files' headers tell.
        cases: The training cases that are volumes, at least one.
        cache_folder: As for `measure_intensities`.

    Returns:
        Their indices, (0,) where the one channel has no name; and what says so, for people.

    Raises:
        DataError: As `measure_intensities`.
    """
    if named := manifest.channels:
        those = tuple(at for at, name in enumerate(named) if said_of_ct(name))
        if those:
            of_all = "the channels are" if len(those) == len(named) else "a channel is"
            of_all = "channels are" if 1 < len(those) < len(named) else of_all
            return those, f"{of_all} called {', '.join(named[at] for at in those)}: CT, in Hounsfield units"
    everything = tuple(range(max(1, len(manifest.channels))))
    stated = sorted({case.modality for case in cases if case.modality})
    if stated and all(case.modality for case in cases):
        if (ct := of_ct(stated)) is None:
            return (
                (),
                f"the training volumes are of several modalities, {', '.join(stated)}: their values have no unit in common",
            )
        if ct:
            return everything, f"the data name the modality {', '.join(stated)}, in Hounsfield units"
    if named or stated:
        return (), f"nothing says that the values of {', '.join(named or stated)} have a unit"
    about = (census.facts[case.id].volume for case in cases)
    if all(one is not None and not one.dtype.startswith("uint") for one in about):
        found = measure_intensities(manifest, cases, most=_PROBES, cache_folder=cache_folder)
        if _within(found.lows, _AIR) and _within(found.highs, _BODY):
            return everything, (
                f"taken for CT in Hounsfield units, since the values of {found.volumes} training volumes begin at "
                f"{found.lows[0]:g} … {found.lows[1]:g}, as air does"
            )
    return (), "nothing says that the values have a unit"


def _measured(manifest: Manifest, cases: Sequence[Case], channels: Sequence[int]) -> Intensities:
    spans: list[Pair] = []
    labeled: list[NDArray[Any]] = []
    for case in cases:
        volume = opened([manifest.path(file) for file in case.images], manifest.channels)
        mask = volume_mask(manifest, case) if case.masks else None
        marked = None if mask is None else (mask > 0) & (mask != IGNORE)
        stored = volume.stored
        handles = stored.handles if isinstance(stored, Stacked) else (stored,)
        for handle in [handles[at] for at in channels] or handles:
            voxels = handle.read()
            spans.append(_pair(percentiles_of(voxels, handle.path, (0.5, 99.5))))
            if marked is not None:
                values = volume.turn.apply(voxels)[marked]
                labeled.append(values[:: max(1, len(values) // _VOXELS)].astype(np.float32))
    lows, highs = zip(*spans, strict=True)
    values = np.concatenate([np.zeros(0, np.float32), *labeled])
    return Intensities(
        volumes=len(cases),
        lows=(min(lows), max(lows)),
        highs=(min(highs), max(highs)),
        labeled=_pair(np.percentile(values, (0.5, 99.5))) if values.size else None,
    )


def _key(manifest: Manifest, cases: Sequence[Case], channels: Sequence[int]) -> str:
    files: list[Any] = [[case.hashes.get(file) for file in (*case.images, *case.masks)] for case in cases]
    files += [{"channels": list(channels)}] if channels else []
    rule = manifest.labels.model_dump_json(exclude={"reason"})
    return hashlib.sha256(f"{_FORMAT} {files} {rule}".encode()).hexdigest()[:32]


def _restored(content: Any) -> Intensities:
    labeled = content["labeled"]
    return Intensities(
        int(content["volumes"]),
        _pair(content["lows"]),
        _pair(content["highs"]),
        None if labeled is None else _pair(labeled),
    )


def _pair(values: Sequence[float] | NDArray[Any]) -> Pair:
    low, high = (float(value) for value in values)
    return low, high


def _within(values: Pair, limits: Pair) -> bool:
    return limits[0] <= values[0] and values[1] <= limits[1]
