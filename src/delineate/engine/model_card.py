"""`card.md` of a run: what the model is, what it was trained on, how well it did, what it is not for."""

from __future__ import annotations

from collections.abc import Sequence

from delineate.artefact.format import Artefact
from delineate.data.core.findings import count
from delineate.data.core.manifest import Manifest
from delineate.data.formats.dicom.names import data_name
from delineate.engine.recipe import Recipe
from delineate.evaluation.results.score_warnings import NO_VALIDATION, score_warnings
from delineate.evaluation.results.summary import Summary
from delineate.nn.encoders.origin import WeightsOrigin

__all__ = ["model_card"]


def model_card(
    artefact: Artefact,
    manifest: Manifest,
    recipe: Recipe,
    summary: Summary,
    *,
    about: Sequence[str] = (),
    verb: str = "delineate evaluate",
) -> str:
    """Markdown. `about`: further lines on data and training; `verb`: the command that scores such a model on a test set."""
    info = artefact.method.info
    parameters = sum(p.numel() for p in artefact.method.parameters())
    scale = f" at scale {artefact.spec.scale:g}" if artefact.spec.scale != 1 else ""
    rule = artefact.spec.intensity if isinstance(artefact.spec.intensity, str) else "by channel"
    lines = [
        f"# {info.title}, trained on {data_name(manifest)}",
        "",
        f"- Method: {info.name} ({info.paper})",
        f"- Strategy: {recipe.strategy['name']}",
        f"- Preset: {recipe.preset}, seed {recipe.engine.seed}, {parameters / 1e6:.2f} M parameters",
        f"- Input: {artefact.spec.kind}, {artefact.spec.size[0]}×{artefact.spec.size[1]} ({artefact.spec.fit}{scale}, "
        f"intensity {rule}: {artefact.spec.rule_words} → 0…1)",
        f"- Classes: {', '.join(artefact.classes.names)}",
        *([f"- Regions: {artefact.classes.regions_in_words}"] if artefact.classes.regions else []),
        *_codes(artefact),
        f"- Data: {len(manifest.split('train'))} training, {count(len(manifest.split('val')), 'validation case')}; splits: "
        f"{manifest.split_origin}",
    ]
    lines += [f"- {line}" for line in [*_first_weights(artefact), *about]]
    if info.license_note:
        lines.append(f"- License: {info.license_note}")
    lines += ["", *_validation(manifest, recipe, summary, verb)]
    lines += [
        "",
        "## Limits",
        "",
        "A research model, not a medical device. It knows images like those it was trained on; on other scanners, sites or "
        "patients its masks may be wrong without any sign of it.",
        "",
    ]
    return "\n".join(lines)


def _validation(manifest: Manifest, recipe: Recipe, summary: Summary, verb: str) -> list[str]:
    """The scores of the validation cases and what they are worth; that there are none."""
    if not manifest.split("val"):
        return ["## Validation scores", "", NO_VALIDATION, "", f"A test set is scored with `{verb}`."]
    column = summary.headline_column
    lines = [
        f"## Validation scores (native resolution, {count(summary.cases, 'case')}, column `{column}`)",
        "",
        *(line for said in score_warnings(summary) for line in (f"**Warning.** {said}", "")),
        f"| {'region' if summary.of == 'regions' else 'class'} | Dice | IoU | precision | recall | n |",
        "|---|---|---|---|---|---|",
    ]
    for name, means in [*summary.classes.items(), (f"mean over {summary.of}", summary.macro)]:
        values = [means[score][column] for score in ("dice", "iou", "precision", "recall")]
        shown = " | ".join("–" if value.mean is None else f"{value.mean:.4f}" for value in values)
        lines.append(f"| {name} | {shown} | {values[0].n} |")
    chosen = (
        "The weights are those after the last step: nothing was chosen on these cases by training (settings that were tried on "
        "them may have been)"
        if recipe.engine.select_by == "last"
        else "The best weights were chosen on these very cases, so the figures are somewhat optimistic"
    )
    return [*lines, "", f"{chosen}; a test set that was never used is scored with `{verb}`."]


def _first_weights(artefact: Artefact) -> list[str]:
    """The model that training began with, where pretrained weights come from, and on which terms; that there are neither."""
    began = (artefact.provenance.get("training") or {}).get("started_from")
    said = [f"of the model {began}"] if began else []
    origins = artefact.provenance.get("pretrained") or {}
    said += [f"{name} pretrained, {WeightsOrigin.from_json(origin).words}" for name, origin in origins.items()]
    terms = "; the terms of pretrained weights hold for this model too" if origins else ""
    return [f"First weights: {'; '.join(said) or 'random'}{terms}"]


def _codes(artefact: Artefact) -> list[str]:
    """What the classes are in codes, where the owner of the data has said it."""
    table = artefact.classes
    told = [
        f"{name} {code.type.value} {code.type.scheme} {code.type.meaning}"
        for name, code in zip(table.names[1:], table.codes, strict=False)
    ]
    return [f"- Codes: {'; '.join(told)}"] if told else []
