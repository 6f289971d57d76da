"""Classes of DICOM masks by their codes: which class of a file of codes (`--codes`) each segment or region is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from delineate.data.core.findings import Finding, count, some
from delineate.data.core.label_table import BACKGROUND, IGNORED
from delineate.data.core.manifest import ClassTable
from delineate.data.formats.dicom_masks.coded_items import UNCODED, SegmentCodes, same_concept
from delineate.data.formats.dicom_masks.codes import CodedClass, CodeTable
from delineate.data.layouts.dicom_classes import same_label

__all__ = ["CodedNames", "coded", "names_by_codes"]

_TOLD = 3


@dataclass(frozen=True)
class CodedNames:
    """What segments are called by a file of codes."""

    names: list[dict[int, str]]
    """Of each mask, number → name of its class."""
    findings: list[Finding] = field(default_factory=list)


def names_by_codes(
    table: CodeTable, masks: Sequence[tuple[str, Mapping[int, str], Mapping[int, SegmentCodes]]]
) -> CodedNames:
    """The classes of segments: by the code of their type; of those whose code is none of the file's, by their label.

    A modifier or a region that an entry has must be the segment's, too; of several entries that fit, the one that says most is
    meant, then the one with the segment's label, then the one of its category.

    Args:
        table: the file of codes.
        masks: file, labels and codes by number, of each mask.

    Returns:
        Their names; errors where a segment is of no class, of several, or is called as one class and coded as another.
    """
    if fault := _fault(table):
        return CodedNames([dict(names) for _, names, _ in masks], [fault])
    named: list[dict[int, str]] = []
    unknown: dict[str, list[str]] = defaultdict(list)
    odd: dict[str, list[str]] = defaultdict(list)
    for file, labels, codes in masks:
        own = {}
        for number, label in labels.items():
            code = codes.get(number, UNCODED)
            found = _entries(table.entries, label, code)
            own[number] = found[0].name if len(found) == 1 else label
            if len(found) > 1:
                both = " and ".join(f"'{entry.name}'" for entry in found[:2])
                odd[f"'{label}' ({_in_words(code)}) may be {both}"].append(file)
            elif not found:
                unknown[f"'{label}' ({_in_words(code)})"].append(file)
        named.append(own)
    findings = []
    if unknown:
        text = f"{table.path} has no class for {_listed(unknown)}"
        mend = "add each to it as `name: {type: [value, scheme, meaning]}`, or leave such masks out with --masks"
        findings.append(Finding("error", text, mend))
    if odd:
        text = f"{table.path} does not tell what segments are: {_listed(odd)}"
        findings.append(
            Finding("error", text, "correct the label, or the code, or part them there by modifier or region")
        )
    return CodedNames(named, findings)


def coded(classes: ClassTable, table: CodeTable) -> ClassTable:
    """A class table with the codes of its classes.

    Args:
        classes: whose names are known.
        table: the file of codes.

    Returns:
        A new table.

    Raises:
        DataError: naming the file; it lacks a class.
    """
    own = {entry.name: entry.code for entry in table.entries}
    names = classes.names[1:]
    known = all(name in own for name in names)
    codes = tuple(own[name] for name in names) if known else table.of_classes(names)
    return classes.model_copy(update={"codes": codes})


def _fault(table: CodeTable) -> Finding | None:
    """What makes a file of codes useless for telling classes."""
    names = [entry.name for entry in table.entries]
    if odd := [name for name in names if name.casefold() in (BACKGROUND, IGNORED)]:
        return Finding("error", f"{table.path} has a code for '{odd[0]}', which is no class", "leave it out there")
    twice = next(((one, other) for one, other in combinations(names, 2) if same_label(one, other)), None)
    if twice is None:
        return None
    text = f"{table.path} calls two classes '{twice[0]}' and '{twice[1]}', which DICOM masks do not part"
    return Finding("error", text, "give each a name of its own there")


def _entries(entries: Sequence[CodedClass], label: str, code: SegmentCodes) -> list[CodedClass]:
    """What a segment is: one entry; several, where that cannot be told; none."""
    called = [entry for entry in entries if same_label(entry.name, label)]
    fitting = [entry for entry in entries if _fits(entry, code)]
    if not fitting:
        return called[:1]
    if called and called[0] not in fitting:
        return [called[0], fitting[0]]
    if called:
        return called
    most = max(map(_said, fitting))
    best = [entry for entry in fitting if _said(entry) == most]
    if len(best) > 1:
        best = [entry for entry in best if same_concept(entry.code.category, code.category)] or best
    return best


def _fits(entry: CodedClass, code: SegmentCodes) -> bool:
    own = entry.code
    return (
        same_concept(own.type, code.type)
        and (own.modifier is None or same_concept(own.modifier, code.modifier))
        and (own.region is None or same_concept(own.region, code.region))
    )


def _said(entry: CodedClass) -> int:
    return (entry.code.modifier is not None) + (entry.code.region is not None)


def _in_words(code: SegmentCodes) -> str:
    if code.type is None:
        return "without a code"
    more = "".join(f", {part.meaning or part.value}" for part in (code.modifier, code.region) if part is not None)
    return f"{code.type.value} {code.type.scheme} {code.type.meaning}{more}"


def _listed(files: Mapping[str, Sequence[str]]) -> str:
    """Each with the first of its files, and how many more there are."""
    told = []
    for what, where in files.items():
        more = f" and {count(len(where) - 1, 'more mask')}" if len(where) > 1 else ""
        told.append(f"{what} in {where[0]}{more}")
    return some(told, _TOLD)
