"""What `dataset.json` says of a data set's images: the Medical Segmentation Decathlon and nnU-Net keep one beside their folders.

Its labels are read by `data.core.label_files`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from delineate.common.files import read_json
from delineate.data.core.findings import Finding, count, some
from delineate.data.core.manifest import Case
from delineate.data.formats.registry import file_stem

__all__ = ["FILE", "Description", "describe", "description_near", "unlisted"]

FILE = "dataset.json"


@dataclass(frozen=True)
class Description:
    """The part of a `dataset.json` that tells of images."""

    path: Path
    channels: tuple[str, ...] = ()
    """Their names by number (`channel_names`, or `modality` in older files); none where it does not name each once."""
    listed: tuple[str, ...] = ()
    """Names of the label files of its training cases, without suffix; none where it lists no cases."""
    license: str | None = None
    """Of the data (`licence`, as the Decathlon spells it, or `license`)."""

    @property
    def in_words(self) -> str:
        """What it names, for messages: `heads/dataset.json names 2 channels (T1, FLAIR)`."""
        return f"{self.path} names {count(len(self.channels), 'channel')} ({', '.join(self.channels)})"


def describe(folder: Path) -> Description | None:
    """The description in a folder; None where there is none, or where it is no table in JSON."""
    try:
        content = read_json(folder / FILE)
    except (OSError, ValueError):
        return None
    if not isinstance(content, Mapping):
        return None
    license = next(
        (text for key in ("licence", "license") if isinstance(text := content.get(key), str) and text.strip()), None
    )
    return Description(folder / FILE, _channels(content), _listed(content), license)


def description_near(folder: Path) -> Description | None:
    """The description in a folder of images, or in the one above it."""
    return describe(folder) or describe(folder.resolve().parent)


def unlisted(description: Description, cases: Sequence[Case]) -> list[Finding]:
    """Where the list of training cases and the files are at odds: told, since the files hold."""
    here = {file_stem(Path(mask)) for case in cases for mask in case.masks}
    lost = sorted(set(description.listed) - here)
    more = sorted(here - set(description.listed))
    findings = []
    if lost:
        number = count(len(lost), "training case that is", "training cases that are")
        text = f"{FILE} lists {number} not here: {some(lost, 3)}"
        findings.append(Finding("warning", text, "add the files if they are to be used"))
    if more and description.listed:
        text = f"{count(len(more), 'case')} of images and labels not in the list of {FILE}, used all the same: {some(more, 3)}"
        findings.append(Finding("warning", text, "move the files away if they are not to be used"))
    return findings


def _channels(content: Mapping[str, Any]) -> tuple[str, ...]:
    named = content.get("channel_names") or content.get("modality")
    if not isinstance(named, Mapping):
        return ()
    names = tuple(str(named.get(str(number), "")).strip() for number in range(len(named)))
    return names if all(names) and len(set(names)) == len(names) else ()


def _listed(content: Mapping[str, Any]) -> tuple[str, ...]:
    cases = content.get("training")
    if not isinstance(cases, Sequence) or not all(isinstance(one, Mapping) and one.get("label") for one in cases):
        return ()
    return tuple(file_stem(Path(PurePosixPath(str(one["label"])).name)) for one in cases)
