"""What the page's scripts know of a model: how pictures become its input, and probabilities masks.

A browser has no class table, no regions and no rules: they are resolved here, into lists that scripts can follow.
"""

from __future__ import annotations

from typing import Any

from delineate.artefact.header import Header
from delineate.artefact.postprocessing import StructureRule
from delineate.common.errors import ArtefactError
from delineate.data.core.manifest import ClassTable
from delineate.inference.export.contract import ExportFacts
from delineate.inference.model_info import ModelInfo
from delineate.inference.overlay import palette
from delineate.inference.postprocess import Structure, structures_of
from delineate.inference.write import mask_values, value_names
from delineate.nn.output import Output

__all__ = ["MOST_PIXELS", "check_for_page", "model_facts", "rules_of"]

MOST_PIXELS = 40_000_000
"""Of a picture: WebAssembly has 4 GB, and a picture is there several times as floats."""


def check_for_page(info: ModelInfo) -> None:
    """Raise `ArtefactError` for a model whose input is not a single picture, or whose masks a page cannot finish."""
    header, spec = info.header, info.header.input
    why = ""
    if info.fewshot:
        why = "segments by annotated examples"
    elif spec.axis is not None:
        why = "segments slices of volumes"
    elif spec.spacing is not None:
        why = "needs the size of pixels in mm (input.spacing), which picture files do not tell"
    elif spec.named:
        why = f"takes the channels {spec.kind} from files of their own"
    elif (rules := header.postprocessing) is not None and rules.unit == "mm" and rules.rules and rules.dimensions == 2:
        why = "has a post-processing in mm², and picture files do not tell how large a pixel is"
    if why:
        raise ArtefactError(f"--format html is for models of single pictures, and this one {why}; use --format onnx")


def model_facts(info: ModelInfo, facts: ExportFacts) -> dict[str, Any]:
    """In plain types, for JSON; `source/app.js` and `source/mask.js` read them.

    Args:
        info: Of the model.
        facts: Of the exported graph.

    Returns:
        Classes with colors; what the graph takes; how a mask is decided, post-processed and written.
    """
    table, values = info.header.table, mask_values(info.header.table)
    colors = palette(table)
    return {
        "classes": [
            {"index": one["index"], "name": one["name"], "rgb": _rgb(one["color"] or "#000000")} for one in info.classes
        ],
        "numbers": facts.numbers,
        "ownValues": facts.own_values,
        "gray": info.header.input.channels == "gray",
        "maxPixels": MOST_PIXELS,
        "outputs": table.outputs,
        "threshold": facts.threshold,
        "painted": Output.of(table).painted if facts.threshold is not None else [],
        "postprocessing": rules_of(info.header, table),
        "values": list(values),
        "palette": None if colors is None else [list(color) for color in colors],
        "labels": value_names(table, values),
    }


def rules_of(header: Header, table: ClassTable) -> list[dict[str, Any]]:
    """The post-processing of a picture's mask as `source/postprocess.js` follows it."""
    chosen = header.postprocessing
    if chosen is None or chosen.dimensions != 2:
        return []
    given = {rule.name: rule for rule in chosen.rules if rule.acts}
    return [_rule(one, given[one.name]) for one in structures_of(table) if one.name in given]


def _rule(structure: Structure, rule: StructureRule) -> dict[str, Any]:
    return {
        "classes": list(structure.classes),
        "paints": structure.paints,
        "beneath": structure.beneath,
        "around": list(structure.around),
        "largest": rule.largest,
        "minSize": rule.min_size,
        "fillHoles": rule.fill_holes,
    }


def _rgb(color: str) -> list[int]:
    return [int(color[at : at + 2], 16) for at in (1, 3, 5)]
