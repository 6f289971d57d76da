"""What a model file says of itself: classes, input, training data, scores, licenses. No weights are loaded and no network
library is needed.

Texts of a model may come from anywhere. Folders are cut off from all of them, so that what is shown tells of no machine.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from delineate.artefact.header import ENTRY, Header, locate, parse_header, read_header, stored_shapes
from delineate.artefact.onnx_metadata import read_metadata
from delineate.artefact.training_images import TrainingImages
from delineate.common.errors import ArtefactError
from delineate.common.files import read_json, sha256
from delineate.common.terminal import one_line
from delineate.data.core.known import KnownPictures
from delineate.data.core.manifest import LabelRule
from delineate.data.formats.dicom_masks.codes import Segment, default_segments, segments_of
from delineate.evaluation.comparison.training_record import TrainingRecord
from delineate.evaluation.results.no_validation import NO_VALIDATION
from delineate.inference.overlay import foreground_colors
from delineate.nn.encoders.origin import WeightsOrigin

__all__ = ["LIMITS", "ModelInfo", "read_info", "without_folders"]

LIMITS = (
    "A research model, not a medical device. It knows images like those it was trained on; on other scanners, sites or patients "
    "its masks may be wrong without any sign of it."
)
_ABSOLUTE = re.compile(
    r"(?<![\w:/\\.])(?:file:(?=/)|[A-Za-z]:(?=[\\/])|~(?=[\\/]))?"
    r"(?:[\\/]+[^\\/\s;:,'\"()\]][^\\/;:,'\"()\]]*(?=[\\/]))*[\\/]+[^\\/\s;:,'\"()\]]+[\\/]?"
)
"""A path from the root, from the home folder or of a drive; the addresses of the web are none."""


def read_info(model: Path | str) -> ModelInfo:
    """What a model file, that of a run folder, or an exported ONNX file says. Raises `ArtefactError`."""
    file = locate(model)
    if file.suffix.lower() == ".onnx":
        metadata = read_metadata(file)
        if ENTRY not in metadata:
            raise ArtefactError(
                f"{file} is an ONNX file without Delineate's metadata; make one with `delineate export`"
            )
        digest = sha256(file)
        return ModelInfo(
            parse_header(metadata[ENTRY], file), file.stat().st_size, digest, None, _exported(file, digest)
        )
    header, digest = read_header(file), sha256(file)
    weights = sum(math.prod(shape) for shape in stored_shapes(file).values())
    return ModelInfo(header, file.stat().st_size, digest, weights, _exported(file, digest))


@dataclass(frozen=True)
class ModelInfo:
    """What a model says of itself; all of it comes from the header of its file."""

    header: Header
    file_bytes: int
    sha256: str
    """Of the file, hexadecimal."""
    weights: int | None
    """Numbers stored: parameters and buffers; None: of an ONNX file they are not counted."""
    exported: tuple[str, ...] = ()
    """What was measured of an exported file: of itself, or of those that lie beside the model. From `NAME.parity.json`."""

    @property
    def method(self) -> str:
        """Name of the method."""
        return self.header.method

    @cached_property
    def about_method(self) -> dict[str, Any]:
        """`title`, `paper`, `license_note` and `parameters` of the method; models of earlier versions say nothing of these."""
        return _table(self._provenance.get("method"))

    @cached_property
    def training(self) -> TrainingRecord | None:
        """How it was trained; None where nothing tells."""
        return TrainingRecord.read(self._provenance.get("training"))

    @cached_property
    def classes(self) -> list[dict[str, Any]]:
        """Each class: `index`, `name`, `color` (#rrggbb, None: the background), `code` (the owner's, else SNOMED CT's of its name;
        None: not known), and the `values` that meant it in the masks of the training data, as texts."""
        table = self.header.table
        colors = foreground_colors(table)
        found = [_class(0, table.names[0], None, None)]
        names = table.names[1:]
        segments = segments_of(names, table.codes, colors) if table.codes else default_segments(names, colors)
        for index, (name, color, segment) in enumerate(zip(names, colors, segments, strict=True), 1):
            found.append(_class(index, name, segment.color if table.codes else color, segment))
        for one in found:
            one["values"] = _values(table.labels, one["index"])
        return found

    @property
    def activation(self) -> str:
        """What makes probabilities of the network's outputs: "sigmoid" or "softmax"."""
        return "sigmoid" if self.header.table.outputs == 1 or self.header.regions else "softmax"

    @cached_property
    def data(self) -> dict[str, Any]:
        """The training data: `name`, number of `cases` by split, `splits` (where they come from), `sha256` over all files that were
        trained and validated on, `labeled` cases and the `labeled_sha256` of their list where others had no masks, `license`, and
        how many `pictures` the model knows by hash; None where nothing tells."""
        known = self._provenance
        record = self.training or TrainingRecord()
        pictures = KnownPictures.read(known.get("pictures"))
        roles = list(pictures.roles.values())
        return {
            "name": _name(known.get("data")),
            "cases": {str(split): number for split, number in _table(known.get("cases")).items() if _whole(number)},
            "splits": _text(known.get("splits")),
            "sha256": record.data_sha256,
            "labeled": record.labeled,
            "labeled_sha256": record.labeled_sha256,
            "license": _text(known.get("data_license")),
            "pictures": {role: roles.count(role) for role in dict.fromkeys(sorted(roles))},
        }

    @cached_property
    def training_images(self) -> TrainingImages | None:
        """What the training images look like (`predict` compares others with them); None where the model does not tell."""
        return TrainingImages.read(self._provenance)

    @cached_property
    def pretrained(self) -> dict[str, WeightsOrigin]:
        """Submodule → where its pretrained weights come from."""
        found = {}
        for part, content in _table(self._provenance.get("pretrained")).items():
            cleaned = {key: without_folders(value) for key, value in _table(content).items()}
            cleaned["name"] = _name(cleaned.get("name")) or "unknown"
            found[str(part)] = WeightsOrigin.from_json(cleaned)
        return found

    @property
    def first_weights(self) -> str:
        """Where training began, in words."""
        if (imported := _table(self._provenance.get("imported"))) != {}:
            return f"imported: {_text(imported.get('as')) or 'a checkpoint'} ({_name(imported.get('file'))})"
        if untrained := _text(self._provenance.get("untrained")):
            return f"not trained: {untrained}"
        begun = _name((self.training or TrainingRecord()).started_from)
        said = [f"of the model {begun}"] if begun else []
        said += [f"{part} pretrained, {origin.words}" for part, origin in self.pretrained.items()]
        return "; ".join(said) or ("random" if self.training is not None else "not known")

    @cached_property
    def scores(self) -> dict[str, Any]:
        """Validation scores as in `scores.json`: `protocol`, `headline`, `cases`, `groups`, `classes` and `macro` with intervals;
        empty where the model has none."""
        found: dict[str, Any] = without_folders(self.header.scores)
        return found if isinstance(found.get("macro"), dict) and isinstance(found.get("classes"), dict) else {}

    @property
    def remarks(self) -> list[str]:
        """What a reader of the scores must not miss."""
        said = [_text(line) or "" for line in self.scores.get("warnings") or ()]
        if not self.header.complete:
            said.insert(0, "Only a part of the weights is trained: good for --init, not for prediction.")
        if self.scores and not self.scores.get("cases") and not self.scores.get("warnings"):
            said.append(NO_VALIDATION)
        return said

    @property
    def notes(self) -> list[str]:
        """Further lines on data and training."""
        lines = self._provenance.get("about")
        return [_text(line) or "" for line in lines] if isinstance(lines, list) else []

    @property
    def fewshot(self) -> bool:
        """Whether it segments as a few annotated images show."""
        return "episodes" in self._provenance

    @property
    def _provenance(self) -> dict[str, Any]:
        return self.header.provenance

    @property
    def preset(self) -> str | None:
        """Name of the recipe's preset; None: not known."""
        return _text(self._provenance.get("preset"))

    @property
    def seed(self) -> int | None:
        """Of its training; None: not known."""
        return seed if _whole(seed := self._provenance.get("seed")) else None

    @property
    def date(self) -> str | None:
        """Day on which training ended (YYYY-MM-DD); None: not known."""
        return _text(self._provenance.get("date"))

    def to_json(self) -> dict[str, Any]:
        """All of it in plain types, for a JSON file.

        Returns:
            Nested settings; folders are cut off from all texts.
        """
        header, record = self.header, self.training
        postprocessing = header.postprocessing
        content = {
            "model": {
                "method": self.method,
                "options": header.options,
                **{key: self.about_method.get(key) for key in ("title", "paper", "parameters")},
                "preset": self.preset,
                "seed": self.seed,
                "date": self.date,
                "complete": header.complete,
                "format": header.format,
                "file_bytes": self.file_bytes,
                "sha256": self.sha256,
                "weights": self.weights,
            },
            "classes": self.classes,
            "regions": header.table.regions_by_name,
            "input": header.input.model_dump(mode="json") | {"words": header.input.rule_words},
            "output": {
                "channels": header.classes,
                "activation": self.activation,
                "threshold": header.threshold,
                "temperature": header.temperature,
                "temperatures": list(header.temperatures),
                "calibration": None if header.calibration is None else header.calibration.model_dump(mode="json"),
                "postprocessing": None if postprocessing is None else postprocessing.model_dump(mode="json"),
            },
            "data": self.data,
            "training_images": None if self.training_images is None else self.training_images.to_table(),
            "training": None if record is None else record.to_json(),
            "first_weights": self.first_weights,
            "pretrained": {part: origin.to_json() for part, origin in self.pretrained.items()},
            "scores": self.scores,
            "remarks": self.remarks,
            "notes": self.notes,
            "exported": list(self.exported),
            "limits": LIMITS,
            "licenses": self.licenses,
        }
        return dict(without_folders(content))

    @property
    def licenses(self) -> dict[str, str]:
        """What → its license in words: the method's code, pretrained weights, data; "not stated" where nothing tells."""
        found = {"data": self.data["license"] or "not stated"}
        found |= {f"weights of {origin.name}": origin.license for origin in self.pretrained.values()}
        if note := _text(self.about_method.get("license_note")):
            found["method"] = note
        return found


def _exported(file: Path, digest: str) -> tuple[str, ...]:
    """The lines of reports beside a file that are of it: they name its hash."""
    lines: list[str] = []
    for path in sorted(file.parent.glob("*.parity.json")):
        try:
            report = _table(read_json(path))
        except (OSError, ValueError):
            continue
        known = [report, *(_table(report.get(graph)) for graph in ("condition", "forward"))]
        if digest in {one.get(key) for one in known for key in ("sha256", "model_sha256")}:
            lines += [without_folders(line) for line in report.get("lines") or () if isinstance(line, str)]
    return tuple(lines)


def without_folders(content: Any) -> Any:
    """Texts anywhere in nested settings with absolute paths cut down to their last name; nothing that is given is changed."""
    if isinstance(content, str):
        return _ABSOLUTE.sub(lambda found: re.split(r"[\\/]", found[0].rstrip("\\/"))[-1], content)
    if isinstance(content, Mapping):
        return {without_folders(key): without_folders(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [without_folders(value) for value in content]
    return content


def _class(index: int, name: str, color: tuple[int, int, int] | None, segment: Segment | None) -> dict[str, Any]:
    code = None
    if segment is not None and not segment.is_generic:
        parts = {"modifier": segment.modifier, "region": segment.region}
        code = {**segment.type._asdict(), **{key: part._asdict() for key, part in parts.items() if part is not None}}
    shown = None if color is None else "#{:02x}{:02x}{:02x}".format(*color)
    return {"index": index, "name": one_line(name), "color": shown, "code": code}


def _values(rule: LabelRule | None, index: int) -> list[str]:
    """The raw values that a rule reads as a class."""
    if rule is None:
        return []
    if rule.threshold is not None:
        return [f"≥ {rule.threshold}" if index else f"< {rule.threshold}"]
    single = [str(value) for value, own in sorted((rule.values or {}).items()) if own == index]
    return [*single, *(f"{first}–{last}" for first, last, own in rule.ranges if own == index)]


def _table(content: Any) -> dict[Any, Any]:
    return content if isinstance(content, dict) else {}


def _whole(content: Any) -> bool:
    return isinstance(content, int) and not isinstance(content, bool)


def _text(content: Any) -> str | None:
    """One line without folders; None for what is no text."""
    return one_line(without_folders(content)) if isinstance(content, str) and content.strip() else None


def _name(content: Any) -> str | None:
    """The last part of what may be a path."""
    return one_line(re.split(r"[\\/]", content.rstrip("\\/"))[-1]) if isinstance(content, str) else None
