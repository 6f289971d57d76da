"""The card of a model, in Markdown: what it is for, what it takes and gives, what it learned from, how well it did, on which terms.

Everything in it comes from the model file (`inference.model_info`), so that a card can be made wherever the file has gone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from delineate.artefact.calibration import CalibrationRecord
from delineate.common.versions import version
from delineate.data.core.findings import count
from delineate.inference.model_info import LIMITS, ModelInfo

__all__ = [
    "ScoreTable",
    "class_rows",
    "facts",
    "front_matter",
    "intended_use",
    "model_card",
    "score_table",
    "title_of",
]

_LICENSES = {
    *("apache-2.0", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "gpl", "gpl-2.0", "gpl-3.0", "lgpl-3.0", "agpl-3.0"),
    *("mpl-2.0", "isc", "unlicense", "wtfpl", "openrail", "bigscience-openrail-m", "creativeml-openrail-m", "cc0-1.0"),
    *("cc", "cc-by-2.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0"),
    *("cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0"),
    *("cc-by-nc-sa-4.0", "cdla-permissive-2.0", "odc-by", "odbl", "pddl", "ecl-2.0", "epl-2.0", "eupl-1.1", "unknown"),
}
"""Names that the Hugging Face hub knows; it takes others as `other` with a name."""


@dataclass(frozen=True)
class ScoreTable:
    """Validation scores as a table of texts."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def model_card(info: ModelInfo, *, license: str | None = None, hub: bool = False) -> str:
    """The card.

    Args:
        info: Of the model.
        license: Of the model's weights, as their owner says; None: not stated.
        hub: Whether front matter for a hub stands before it.

    Returns:
        Markdown.
    """
    told = facts(info, license)
    parts = [f"# {title_of(info)}", _bullets(told["Model"]), "## Intended use", intended_use(info)]
    parts += ["## Classes", _classes(info)]
    for section in ("Input", "Output", "Data", "Training"):
        parts += [f"## {section}", _bullets(told[section])]
    parts += _scores(info)
    if info.exported:
        parts += ["## Exported files", _bullets(info.exported)]
    parts += ["## Limits", LIMITS, "## Licenses", _bullets(told["Licenses"])]
    text = "\n\n".join(parts) + "\n"
    return front_matter(info, license) + "\n" + text if hub else text


def facts(info: ModelInfo, license: str | None = None) -> dict[str, list[str]]:
    """Section → its lines: `Model`, `Input`, `Output`, `Data`, `Training`, `Licenses`; `Exported files` where
    there are some. `license`: of the model's weights."""
    return {
        "Model": _model(info),
        "Input": _input(info),
        "Output": _output(info),
        "Data": _data(info),
        "Training": _training(info),
        **({"Exported files": list(info.exported)} if info.exported else {}),
        "Licenses": _licenses(info, license),
    }


def class_rows(info: ModelInfo) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The classes as a table of texts: head and rows."""
    rows: list[tuple[str, ...]] = []
    for one in info.classes:
        code = one["code"]
        words = _code(code) if code else "–"
        values = ", ".join(one["values"]) or "–"
        rows.append((str(one["index"]), one["name"], one["color"] or "–", words, values))
    return ("index", "class", "color", "code", "value in the masks"), rows


def score_table(info: ModelInfo) -> ScoreTable | None:
    """Validation scores with 95 % intervals, a row for each class; None where the model has none."""
    scores = info.scores
    if not scores or not scores.get("cases"):
        return None
    metrics = {name: about for name, about in scores.get("metrics", {}).items() if name in scores["macro"]}
    of = "regions" if scores.get("of") == "regions" else "classes"
    named = [*scores["classes"].items()]
    if len(named) > 1:
        named.append((f"mean over {of}", scores["macro"]))
    headline = str(scores.get("headline"))
    rows = []
    for name, means in named:
        chosen = [_column(means.get(metric, {}), headline) for metric in metrics]
        rows.append((str(name), *(_interval(one) for one in chosen), str(chosen[0].get("n", "–")) if chosen else "–"))
    titles = [str(about.get("title", name)) for name, about in metrics.items()]
    groups = scores.get("groups")
    grouped = f" of {count(groups, 'group')}" if isinstance(groups, int) and groups != scores["cases"] else ""
    protocol = str(scores.get("protocol", "not known"))
    words = protocol if "protocol" in protocol else f"protocol {protocol}"  # that of episodes is "few-shot protocol …"
    how = f"{words}, {count(scores['cases'], 'case')}{grouped}"
    title = f"{how}, column `{headline}`, mean [95 % interval]"
    return ScoreTable(title, ("region" if of == "regions" else "class", *titles, "n"), tuple(rows))


def front_matter(info: ModelInfo, license: str | None = None) -> str:
    """YAML between two lines of dashes, as the Hugging Face hub and its tools read it.

    The license is `unknown` where nobody has stated it, and `other` with its name where the hub has no word for it.
    """
    import yaml  # for this alone: what prints facts does without

    name = info.data["name"] or "not stated"
    content: dict[str, Any] = {
        "library_name": "delineate",
        "pipeline_tag": "image-segmentation",
        **_hub_license(license),
        "tags": ["medical", "segmentation", "delineate", info.method],
    }
    results = _hub_scores(info)
    if results:
        content["metrics"] = list(dict.fromkeys(one["type"] for one in results))
        content["model-index"] = [
            {
                "name": f"{info.method} on {name}",
                "results": [
                    {
                        "task": {"type": "image-segmentation"},
                        "dataset": {"name": f"{name}, validation", "type": _slug(name), "split": "validation"},
                        "metrics": results,
                    }
                ],
            }
        ]
    return f"---\n{yaml.safe_dump(content, sort_keys=False, allow_unicode=True)}---\n"


def _hub_license(license: str | None) -> dict[str, str]:
    if license is None:
        return {"license": "unknown"}
    slug = license.strip().lower().replace(" ", "-")
    return {"license": slug} if slug in _LICENSES else {"license": "other", "license_name": _slug(license)}


def _hub_scores(info: ModelInfo) -> list[dict[str, Any]]:
    if score_table(info) is None:
        return []
    found = []
    for metric, columns in info.scores["macro"].items():
        one = _column(columns, str(info.scores.get("headline")))
        if isinstance(one.get("mean"), float | int):
            title = info.scores.get("metrics", {}).get(metric, {}).get("title", metric)
            found.append({"type": metric, "value": round(float(one["mean"]), 4), "name": f"{title}, {_interval(one)}"})
    return found


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-") or "not-stated"


def title_of(info: ModelInfo) -> str:
    title = info.about_method.get("title") or info.method
    name = info.data["name"]
    return f"{title}, trained on {name}" if name else str(title)


def _model(info: ModelInfo) -> list[str]:
    about, paper = info.about_method, info.about_method.get("paper")
    number = about.get("parameters")
    counted = "" if info.weights is None else f"{info.weights / 1e6:.2f} M weights"
    size = f"{number / 1e6:.2f} M parameters" if isinstance(number, int) else counted
    made = [f"preset {info.preset}" if info.preset else "", f"seed {info.seed}" if info.seed is not None else "", size]
    return [
        f"Method: {info.method} ({paper})" if paper else f"Method: {info.method}",
        f"Made: {', '.join(part for part in [*made, info.date or ''] if part)}",
    ]


def intended_use(info: ModelInfo) -> str:
    spec = info.header.input
    names = [one["name"] for one in info.classes[1:]]
    kind = f"{spec.modality} " if spec.modality else ""
    seen = "color" if spec.kind in ("rgb", "bgr") else spec.kind
    images = f"slices of {kind}volumes" if spec.axis is not None else f"{seen} pictures"
    if info.fewshot:
        return (
            f"To mark in {images} what a few annotated images of the same kind show. For research; a person looks at "
            "every mask that matters."
        )
    return (
        f"To mark {', '.join(names)} in {images} of the kind that it was trained on. For research; a person looks at every "
        "mask that matters."
    )


def _classes(info: ModelInfo) -> str:
    whose = "stated by the owner of the data" if info.header.codes else "found by the names of the classes"
    said = [
        _markdown(*class_rows(info)),
        f"Codes are {whose}; `predict --codes FILE` states others.",
    ]
    return "\n\n".join([*said, f"- Regions: {info.header.table.regions_in_words}"] if info.header.regions else said)


def _input(info: ModelInfo) -> list[str]:
    spec = info.header.input
    scale = f" at scale {spec.scale:g}" if spec.scale != 1 else ""
    rule = spec.intensity if isinstance(spec.intensity, str) else "by channel"
    lines = [
        f"Input: {spec.kind}, {spec.size[0]}×{spec.size[1]} ({spec.fit}{scale}, intensity {rule}: {spec.rule_words} → 0…1)",
        f"Trained on images of {spec.source_bits} bits" + (f", modality {spec.modality}" if spec.modality else ""),
    ]
    if spec.spacing is not None:
        lines.append(f"Pixels are resampled to {spec.spacing[0]:g} × {spec.spacing[1]:g} mm")
    if spec.axis is not None:
        beside = f", with {count(spec.neighbors, 'slice')} on either side" if spec.neighbors else ""
        along = "all three axes" if spec.all_axes else f"axis {spec.axis}"
        lines.append(f"Volumes are seen slice by slice across {along}{beside}")
    if spec.trained_spacing is not None:
        ranges = " × ".join(f"{low:g}" if low == high else f"{low:g}–{high:g}" for low, high in spec.trained_spacing)
        lines.append(f"Spacing of the training volumes: {ranges} mm")
    return lines


def _output(info: ModelInfo) -> list[str]:
    header = info.header
    temperatures = ", ".join(f"{one:.3g}" for one in header.temperatures)
    lines = [f"Probabilities: {info.activation} of {count(header.classes, 'channel')}, temperature {temperatures}"]
    if info.activation == "sigmoid":
        lines.append(f"Foreground: probability ≥ {header.threshold:g}")
    if header.postprocessing is not None:
        lines.append(f"Post-processing: {header.postprocessing.words}")
    return [*lines, *_calibration(header.calibration)]


def _calibration(record: CalibrationRecord | None) -> list[str]:
    if record is None:
        return ["Calibration: none; probabilities are those of the network"]
    lines = [f"Calibration: {one}" for one in record.remarks]
    if record.figures is not None:
        means = [
            f"{title} {one.before.words}" + (f" → {one.after.words}" if record.temperatures else "")
            for title, one in record.figures.by_title.items()
        ]
        how = "without and with these temperatures, cross-validated, " if record.temperatures else ""
        cases = f"{count(record.cases, 'validation case')} of {count(record.groups, 'group')}"
        lines.append(f"Calibration of pixels, {how}{cases}: {'; '.join(means)}")
    if record.expected_dice is not None:
        lines.append(f"Expected Dice of a mask: {record.expected_dice.words}, cross-validated")
    return lines


def _data(info: ModelInfo) -> list[str]:
    data, cases = info.data, info.data["cases"]
    lines = []
    if cases:
        numbers = f"{cases.get('train', 0)} training, {count(cases.get('val', 0), 'validation case')}"
        lines.append(f"Data: {numbers}" + (f"; splits: {data['splits']}" if data["splits"] else ""))
    if data["labeled"] is not None:
        lines.append(f"Training cases with masks: {data['labeled']} (sha256 of their list {data['labeled_sha256']})")
    if data["sha256"]:
        lines.append(f"SHA-256 over all training and validation files: {data['sha256']}")
    if data["pictures"]:
        words = {
            "train": "trained on",
            "before": "of the model before",
            "val": "validation",
            "test": "kept for testing",
        }
        parts = [f"{number} {words[role]}" for role, number in data["pictures"].items()]
        lines.append(f"Known by hash: {', '.join(parts)}")
    if info.training_images is not None:
        lines.append(f"Of the training images {info.training_images.words}")
    return lines or ["Nothing is known of the training data."]


def _training(info: ModelInfo) -> list[str]:
    record = info.training
    lines = []
    if record is not None and "strategy.name" in record.recipe:
        lines.append(f"Strategy: {record.recipe['strategy.name']}")
    if record is not None and record.steps:
        seen = f", {record.images_seen} images seen" if record.images_seen else ""
        lines.append(f"Steps: {record.steps}{seen}")
    terms = "; the terms of pretrained weights hold for this model too" if info.pretrained else ""
    return [*lines, f"First weights: {info.first_weights}{terms}", *info.notes]


def _scores(info: ModelInfo) -> list[str]:
    verb = "delineate fewshot evaluate" if info.fewshot else "delineate evaluate"
    test = f"A test set is scored with `{verb}`."
    warnings = [f"**Warning.** {line}" for line in info.remarks]
    table = score_table(info)
    if table is None:
        return ["## Validation scores", *warnings, *([] if info.scores else ["The model file has none."]), test]
    by = "" if info.training is None else info.training.recipe.get("engine.select_by")
    chosen = (
        "The weights are those after the last step: nothing was chosen on these cases by training (settings that were tried on "
        "them may have been)"
        if by == "last"
        else "The best weights were chosen on these very cases, so the figures are somewhat optimistic"
    )
    end = f"{chosen}; a test set that was never used is scored with `{verb}`."
    return [f"## Validation scores ({table.title})", *warnings, _markdown(table.head, table.rows), end]


def _licenses(info: ModelInfo, license: str | None) -> list[str]:
    lines = [f"This model's weights: {license or 'not stated; its owner says it'}"]
    for what, terms in info.licenses.items():
        lines.append(f"{what[0].upper()}{what[1:]}: {terms}")
    return [*lines, f"Code: Apache-2.0 (Delineate {version()})"]


def _column(columns: Any, headline: str) -> dict[str, Any]:
    """The interval to quote of a metric: of the headline's column, or of the first."""
    columns = columns if isinstance(columns, dict) else {}
    found = columns.get(headline, next(iter(columns.values()), {}))
    return found if isinstance(found, dict) else {}


def _code(code: dict[str, Any]) -> str:
    further = [code[part]["meaning"] for part in ("modifier", "region") if part in code]
    return f"{code['value']} {code['scheme']}, {', '.join([code['meaning'], *further])}"


def _interval(one: dict[str, Any]) -> str:
    mean, low, high = (one.get(key) for key in ("mean", "low", "high"))
    if not isinstance(mean, float | int):
        return "–"
    if not isinstance(low, float | int) or not isinstance(high, float | int):
        return f"{mean:.3f}"
    return f"{mean:.3f} [{low:.3f}, {high:.3f}]"


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
