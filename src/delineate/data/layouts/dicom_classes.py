"""Classes of a data set of DICOM masks: by the labels of segments and the names of regions, whatever their numbers.

Labels that differ in case, blanks, `_` and `-` alone are one class. Classes are in the order of their lowest numbers. Where every
file has the same label for a number, that number is the value in the mask; else values are numbered anew, and each mask's address
says which becomes which.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.core.findings import Finding, count, some
from delineate.data.core.label_table import BACKGROUND, table_of
from delineate.data.core.manifest import ClassTable, Manifest
from delineate.data.formats.dicom_masks.address import MaskAddress
from delineate.data.formats.dicom_masks.objects import open_object

__all__ = ["MaskClasses", "check_named", "classes_of_masks", "label_key", "same_label", "tells", "without_background"]

_TELLS_NOTHING = re.compile(
    r"(?:new )?(?:segment|segmentation|seg|region|roi|label|class|structure|mask|object|contour|unnamed|untitled|unknown|none)?"
    r"[ .#:]*\d*"
)
"""What programs call a segment whose owner gave it no name."""
_TOLD = 3
_MOST = 12
"""Classes that a message lists."""


@dataclass(frozen=True)
class MaskClasses:
    """The classes of several masks."""

    table: ClassTable
    mapped: Mapping[str, int] | None = None
    """Label, as labels are compared → value in the masks; None: values are the numbers of the files."""
    findings: list[Finding] = field(default_factory=list)

    def values(self, names: Mapping[int, str]) -> dict[int, int]:
        """Number in a file → value in its mask, as a mask's address has it; empty where these are the same."""
        return (
            {}
            if self.mapped is None
            else {number: self.mapped[label_key(number, name)] for number, name in names.items()}
        )


def classes_of_masks(masks: Sequence[tuple[str, Mapping[int, str]]], order: Sequence[str] = ()) -> MaskClasses:
    """The classes that masks show together.

    Args:
        masks: file and its labels by number, of each mask.
        order: of the classes, where a file of codes names all of them; none: that of their lowest numbers.

    Returns:
        Class table and values; findings: names that cannot be used, masks that lack classes, numbers that differ.
    """
    if not masks:
        return MaskClasses(ClassTable())
    numbers: dict[str, set[int]] = defaultdict(set)
    called: dict[str, Counter[str]] = defaultdict(Counter)
    for _, names in masks:
        for number, name in names.items():
            numbers[label_key(number, name)].add(number)
            called[label_key(number, name)][name.strip()] += 1
    place = {_plain(name): at for at, name in enumerate(order)}
    keys = sorted(numbers, key=lambda key: (place.get(key, 0), min(numbers[key]), key))
    words = {key: min(called[key], key=lambda name: (-called[key][name], name)) for key in keys}
    by_number = Counter(number for members in numbers.values() for number in members)
    lowest = [min(numbers[key]) for key in keys]
    as_they_are = max(by_number.values()) == 1 and lowest == sorted(lowest)
    mapped = None if as_they_are else {key: at for at, key in enumerate(keys, 1)}
    pairs = [(words[key], value) for key in keys for value in sorted(numbers[key] if mapped is None else {mapped[key]})]
    findings = _differing(masks, words)
    listed = some([f"{at} {words[key]}" for at, key in enumerate(keys, 1)], _MOST)
    if order:
        findings.append(Finding("note", f"classes of the DICOM masks by their codes: {listed}"))
    elif mapped is not None:
        text = f"DICOM masks number their classes differently; they are matched by their names: {listed}"
        findings.append(Finding("note", text))
    try:
        entries = [(BACKGROUND, 0), *(pair for pair in pairs if pair[1])]
        table = table_of(entries, "labels in the DICOM masks").classes
    except DataError as error:
        cure = "name the classes with --labels, such as 1=liver,2=tumor" if mapped is None else ""
        return MaskClasses(ClassTable(), mapped, [*findings, Finding("error", str(error), cure)])
    return MaskClasses(table, mapped, findings)


def tells(label: str) -> bool:
    """Whether a label says what a segment is.

    Args:
        label: of a segment or a region.

    Returns:
        False for what programs call it where its owner gave no name.

    Example:
        >>> from delineate.data.layouts.dicom_classes import tells
        >>> tells("liver"), tells("Segment_1")
        (True, False)
    """
    return _TELLS_NOTHING.fullmatch(_plain(label)) is None


def same_label(one: str, other: str) -> bool:
    """Whether two labels are of one class: they may differ in case, blanks, `_` and `-`.

    Args:
        one: a label.
        other: another one.

    Returns:
        Whether they are.

    Example:
        >>> from delineate.data.layouts.dicom_classes import same_label
        >>> same_label("Left_Kidney", "left kidney")
        True
    """
    return _plain(one) == _plain(other)


def check_named(classes: ClassTable) -> None:
    """Refuse classes that are called as programs call a segment without a name.

    Args:
        classes: as `classes_of_masks` finds them.

    Raises:
        DataError: a name tells nothing.
    """
    rule = classes.labels
    if rule is None or rule.values is None:
        return
    empty = {value: classes.names[index] for value, index in rule.values.items() if 0 < index < len(classes.names)}
    empty = {value: name for value, name in empty.items() if not tells(name)}
    if empty:
        named = [
            f"{value}={classes.names[index]}" for value, index in rule.values.items() if 0 < index < len(classes.names)
        ]
        given = ",".join(
            "{}=NAME".format(part.partition("=")[0]) if int(part.partition("=")[0]) in empty else part for part in named
        )
        shown = some([f"'{name}' ({value})" for value, name in empty.items()], _TOLD)
        raise DataError(
            f"the DICOM masks have classes whose names tell nothing: {shown}; name them: --labels '{given}'"
        )


def without_background(manifest: Manifest) -> Manifest:
    """A manifest of DICOM masks that draws none of the segments that its owner calls background, whatever they overlap with.

    What is in no segment is background, too, without being named.

    Args:
        manifest: whose class table its owner has given.

    Returns:
        The manifest with addresses that leave those segments out.

    Raises:
        DataError: a mask cannot be read.
    """
    rule = manifest.classes.labels
    if rule is None:
        return manifest
    if rule.index_of(0) is None:
        rule = rule.model_copy(update={"values": {0: 0, **(rule.values or {})}})
        manifest = manifest.model_copy(update={"classes": manifest.classes.model_copy(update={"labels": rule})})
    out = {value for value, index in (rule.values or {}).items() if value and not index}
    if not out:
        return manifest
    cases = []
    for case in manifest.cases:
        masks = tuple(_leaving(manifest, mask, out) for mask in case.masks)
        cases.append(case.model_copy(update={"masks": masks}))
    return manifest.model_copy(update={"cases": tuple(cases)})


def _leaving(manifest: Manifest, mask: str, out: set[int]) -> str:
    address = MaskAddress.parse(manifest.path(mask))
    if address is None:
        return mask
    values = {value for _, own in address.parts for value in own.values()} or set(open_object(address.file).names)
    # Where nothing is kept: an empty table would draw everything, and a number that no segment has stands for none.
    made = address.becoming({value: value for value in values if value not in out} or {0: 0})
    return Path(str(made)).relative_to(manifest.root).as_posix()


def _differing(masks: Sequence[tuple[str, Mapping[int, str]]], words: Mapping[str, str]) -> list[Finding]:
    """Which masks lack which classes."""
    lacking: dict[str, list[str]] = defaultdict(list)
    for file, names in masks:
        own = {label_key(number, name) for number, name in names.items()}
        for key in words:
            if key not in own:
                lacking[key].append(file)
    cure = "if it was not looked for there, leave these masks out with --masks"
    if len(lacking) > _TOLD:
        text = some([f"{words[key]} ({len(files)})" for key, files in lacking.items()], _MOST)
        first = next(iter(lacking.values()))[0]
        told = (
            f"{len(lacking)} classes have no segment in some of {len(masks)} masks, read as without them (in how many): {text}; "
            f"the first is {first}"
        )
        return [Finding("warning", told, cure)]
    return [
        Finding(
            "warning",
            f"{count(len(files), 'mask has', 'masks have')} no segment {words[key]}, read as without it: {some(files, _TOLD)}",
            cure,
        )
        for key, files in lacking.items()
    ]


def label_key(number: int, name: str) -> str:
    """A label as labels are compared.

    Args:
        number: of the segment.
        name: its label.

    Returns:
        The label in one form; of one that tells nothing, its number.
    """
    plain = _plain(name)
    return plain if tells(name) else f"segment {number}"


def _plain(name: str) -> str:
    return " ".join(re.sub(r"[\s_-]+", " ", name).split()).casefold()
