"""What the owner of the data says about mask values: `--labels`, or a `labels.yaml`.

0=background,128=cytoplasm,255=nucleus      1=lesion,255=lesion      1-65535=nucleus      #ff0000=wall,255=ignore

labels:                      # labels.yaml: name → value, values, range or color; value → name is understood too
  background: 0
  nucleus: [1, 2, 10-19]
  ignore: 255
colors: {nucleus: "#ff8800"} # for overlays; not needed
regions: {cell: [cytoplasm, nucleus], nucleus: [nucleus]} # what to learn and to score instead of classes; not needed
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any, NoReturn

import yaml

from delineate.common.errors import DataError
from delineate.common.files import parse_json
from delineate.data.core.findings import some
from delineate.data.core.manifest import IGNORE, ClassTable, LabelRule
from delineate.data.core.regions import Region, make_regions

__all__ = [
    "BACKGROUND",
    "IGNORED",
    "LARGEST",
    "LabelTable",
    "classes_of",
    "labels_of_text",
    "pairs_of",
    "parse_labels",
    "read_labels_file",
    "regions_text",
    "table_of",
]

_MOST_CLASSES = 254
LARGEST = 65535
BACKGROUND, IGNORED = "background", "ignore"

_VALUE = re.compile(r"(\d+)(?:\s*-\s*(\d+))?|#([0-9a-fA-F]{6})")
_EXAMPLE = "write --labels 0=background,1=lesion"
_Span = tuple[int, int]
"""First and last raw value (or color, as 0xRRGGBB)."""


@dataclass(frozen=True)
class LabelTable:
    """Names with their raw values. `origin`: who says so, for messages."""

    names: tuple[str, ...]
    """By class index; the background first."""
    spans: tuple[tuple[int, int, int], ...]
    """(first value, last value, class index; 255 = ignore), ascending."""
    painted: bool = False
    """Values are colors, 0xRRGGBB."""
    colors: tuple[str, ...] | None = None
    origin: str = "--labels"
    regions: tuple[Region, ...] = ()

    @property
    def rule(self) -> LabelRule:
        """As manifests and artefacts hold it; its `coding` is left to the files where values are numbers."""
        values = {first: index for first, last, index in self.spans if first == last}
        ranges = tuple(span for span in self.spans if span[0] != span[1])
        coding = "color" if self.painted else None
        return LabelRule(values=values, ranges=ranges, coding=coding, reason=f"{Path(self.origin).name}: {self.words}")

    @property
    def classes(self) -> ClassTable:
        """The class table with its rule: what `label_reading.read_by_table` checks against the masks."""
        return ClassTable(names=self.names, labels=self.rule, colors=self.colors, regions=self.regions)

    @property
    def words(self) -> str:
        """ "0 background, 128 cytoplasm, 255 ignored"."""
        return some([f"{self.span(each)} {self.name(each[2])}" for each in self.spans], 12)

    def name(self, index: int) -> str:
        return "ignored" if index == IGNORE else self.names[index]

    def span(self, span: tuple[int, int, int]) -> str:
        first, last, _ = span
        shown = [f"#{value:06x}" if self.painted else str(value) for value in dict.fromkeys((first, last))]
        return "-".join(shown)


def parse_labels(given: str | Path) -> LabelTable:
    """A table from a command line's text, or from a file (`.yaml`, `.yml`, `.json`). Raises `DataError` that says what is wrong."""
    text = str(given)
    path = Path(given)
    if isinstance(given, Path) or "=" not in text or path.is_file():
        return read_labels_file(path)
    return labels_of_text(text, "--labels")


def labels_of_text(text: str, origin: str) -> LabelTable:
    """A table from text alone, never from a file: the text may be somebody else's. Raises `DataError` with the origin."""
    entries = []
    for part in text.split(","):
        values, sign, name = part.partition("=")
        if not sign or not part.strip():
            raise DataError(f"{origin}: '{part.strip()}' is no 'value=name'; {_EXAMPLE}")
        entries.append((name, values))
    return _table(entries, origin)


def table_of(entries: Sequence[tuple[str, Any]], origin: str) -> LabelTable:
    """The table of names with their values, ranges or colors, as text or numbers. Raises `DataError` with the origin."""
    return _table(entries, origin)


def classes_of(entries: Sequence[tuple[str, int]], origin: str) -> ClassTable:
    """The class table of names with their values, which a data set itself brings. Several values of one name are one class.

    Raises `DataError` with the origin: names that cannot be used, too many of them, none beside the background.
    """
    return _table(entries, origin).classes


def read_labels_file(path: Path) -> LabelTable:
    """A table from a file. Raises `DataError` naming it."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        content = parse_json(text) if path.suffix.lower() == ".json" else yaml.load(text, _Loader)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        raise DataError(f"cannot read the labels in {path}: {reason}; give a labels.yaml, or {_EXAMPLE}") from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} cannot be read: {reason}") from error
    if not isinstance(content, Mapping):
        raise DataError(f"{path} holds no table of labels; write 'labels:' and below it 'name: value'")
    labels = content.get("labels", content)
    if isinstance(labels, list):  # [{name: …, values: …}]
        labels = {_entry(one, "name", path): _entry(one, "value", path) for one in labels}
    if not isinstance(labels, Mapping):
        raise DataError(f"{path}: 'labels' is no table; write 'name: value' lines below it")
    if "labels" in content and content.get("ignore") is not None and IGNORED not in labels:
        labels = {**labels, IGNORED: content["ignore"]}
    colors, regions = (content.get(key) if "labels" in content else None for key in ("colors", "regions"))
    table = _table(list(pairs_of(labels, path)), str(path), colors)
    return table if regions is None else replace(table, regions=_regions(regions, table.names, path))


def _regions(given: Any, names: Sequence[str], path: Path) -> tuple[Region, ...]:
    if not isinstance(given, Mapping) or not all(isinstance(members, list) for members in given.values()):
        raise DataError(f"{path}: 'regions' is no table; write 'name: [class, class]' lines below it")
    try:
        return make_regions({str(name): [str(one) for one in members] for name, members in given.items()}, names)
    except ValueError as error:
        raise DataError(f"{path}: regions: {error}") from error


def regions_text(classes: ClassTable) -> str:
    """The regions of a class table as `labels.yaml` has them; empty without any."""
    lines = [
        f"  {_quoted(name)}: [{', '.join(map(_quoted, members))}]\n"
        for name, members in classes.regions_by_name.items()
    ]
    return "".join(["regions:\n", *lines]) if lines else ""


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False, allow_nan=False)


class _Loader(yaml.SafeLoader):
    """Refuses a key that is written twice, which YAML would let win in silence."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[Any] = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if isinstance(name, str | int) and name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"'{name}' is there twice", key.start_mark)
            seen.add(name if isinstance(name, str | int) else None)
        return super().construct_mapping(node, deep)


def _entry(one: Any, key: str, path: Path) -> Any:
    found = one.get(key, one.get(f"{key}s")) if isinstance(one, Mapping) else None
    if found is None:
        raise DataError(f"{path}: '{one}' has no '{key}'; write {{name: lesion, value: 1}}")
    return found


def pairs_of(labels: Mapping[Any, Any], path: Path) -> Iterable[tuple[str, Any]]:
    """(name, values) of a table in either direction."""
    backwards = all(_VALUE.fullmatch(str(key).strip()) for key in labels)
    for key, value in labels.items():
        name, values = (value, key) if backwards else (key, value)
        if not isinstance(name, str):
            raise DataError(f"{path}: {name!r} is no name; put names in quotes")
        for one in values if isinstance(values, list | tuple) else [values]:
            if isinstance(one, bool) or not isinstance(one, int | str):
                raise DataError(
                    f"{path}: {one!r} is no value of '{name}'; values are numbers, ranges like 1-9, or '#rrggbb'"
                )
            yield name, one


def _table(entries: Sequence[tuple[str, Any]], origin: str, colors: Any = None) -> LabelTable:
    """Checked and put in order. Raises `DataError` with the origin."""

    def wrong(text: str) -> NoReturn:
        raise DataError(f"{origin}: {text}")

    spans: dict[_Span, str] = {}
    painted = set()
    for name, text in entries:
        name = " ".join(name.split())
        match = _VALUE.fullmatch(str(text).strip())
        if not name or match is None:
            wrong(f"'{str(text).strip()}={name}' is no label; write value=name, first-last=name or '#rrggbb=name'")
        if not name.isprintable() or len(name) > 80:
            wrong(f"the name '{name[:80]}' cannot be used; give a short name in one line")
        span = (int(match[3], 16),) * 2 if match[3] else (int(match[1]), int(match[2] or match[1]))
        painted.add(match[3] is not None)
        if match[3] is None and (span[0] > span[1] or span[1] > LARGEST):
            wrong(f"'{text}' is no range of values; values go from 0 to {LARGEST}")
        if spans.setdefault(span, name) != name:
            wrong(f"{text} is called '{spans[span]}' and '{name}'; a value means one class")
    if not spans:
        wrong(f"there are no labels; {_EXAMPLE}")
    if len(painted) > 1:
        wrong("numbers and colors are mixed; name all labels by number, or all by color")
    return _ordered(spans, painted.pop(), origin, colors, wrong)


def _ordered(spans: dict[_Span, str], painted: bool, origin: str, colors: Any, wrong: Any) -> LabelTable:
    order = list(spans) if painted else sorted(spans)
    for one, other in combinations(sorted(spans), 2):
        exception = one[0] < one[1] and other[0] == other[1]  # a single value inside of a range
        if other[0] <= one[1] and spans[one] != spans[other] and not exception and one[0] < one[1]:
            wrong(f"{other[0]} is called '{spans[one]}' and '{spans[other]}'; a value means one class")
    names = list(dict.fromkeys(spans[span] for span in order if spans[span].lower() != IGNORED))
    zero = next((name for (first, last), name in spans.items() if first <= 0 <= last and name in names), None)
    background = next((name for name in names if name.lower() == BACKGROUND), None)
    background = background or zero
    if background is None:
        background = BACKGROUND
        spans = {(0, 0): BACKGROUND, **spans}
    names = [background, *(name for name in names if name != background)]
    if len(names) < 2:
        wrong("there is no class beside the background; name one")
    if len(names) > _MOST_CLASSES:
        wrong(f"{len(names)} classes are more than {_MOST_CLASSES}; give several values one name")
    if len({name.lower() for name in names}) < len(names):
        wrong("two names differ only in upper and lower case; give each class a name of its own")
    index = {name: at for at, name in enumerate(names)}
    placed = sorted((first, last, index.get(name, IGNORE)) for (first, last), name in spans.items())
    return LabelTable(tuple(names), tuple(placed), painted, _colors(spans, names, painted, colors, wrong), origin)


def _colors(spans: dict[_Span, str], names: list[str], painted: bool, given: Any, wrong: Any) -> tuple[str, ...] | None:
    """Colors for overlays: those given, or those that the masks are painted in."""
    if given is None and not painted:
        return None
    chosen = {name: f"#{first:06x}" for (first, _), name in reversed(spans.items())} if painted else {}
    if given is not None:
        if not isinstance(given, Mapping) or not all(
            re.fullmatch("#[0-9a-fA-F]{6}", str(value)) for value in given.values()
        ):
            wrong("'colors' is no table of name: '#rrggbb'")
        unknown = sorted(set(map(str, given)) - set(names))
        if unknown:
            wrong(f"'colors' names {some(unknown)}, which is no label")
        chosen |= {str(name): str(value).lower() for name, value in given.items()}
    if set(names[1:]) - set(chosen):
        return None
    return tuple(chosen.get(name, "#000000") for name in names)
