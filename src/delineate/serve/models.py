"""The models that a server has, by name."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import Any

from delineate.artefact.header import Header
from delineate.data.core.input_spec import InputSpec
from delineate.fewshot.predictor import FewShotPredictor
from delineate.inference.model_card import score_table
from delineate.inference.model_info import ModelInfo
from delineate.inference.overlay import palette
from delineate.inference.predictor import Predictor
from delineate.inference.segmenter import Segmenter
from delineate.inference.tta import Tta
from delineate.inference.variants import has_threshold, variant_of
from delineate.inference.write import mask_values, value_names
from delineate.nn.output import Output
from delineate.page.model_facts import rules_of

__all__ = ["ServedModel"]

_VARIANTS = 32
"""Thresholds and augmentations of a model that are kept at a time: they share its weights."""


class ServedModel:
    """A model under a name."""

    def __init__(self, name: str, loaded: Segmenter | FewShotPredictor, info: ModelInfo) -> None:
        """
        Args:
            name: In addresses.
            loaded: The model.
            info: What its file says.
        """
        self.name, self.loaded, self.info = name, loaded, info
        self._variants = lru_cache(_VARIANTS)(self._variant)

    @property
    def fewshot(self) -> bool:
        """Whether it segments by examples, and so not without them."""
        return isinstance(self.loaded, FewShotPredictor)

    @property
    def segmenter(self) -> Segmenter:
        """Of a model that segments an image alone."""
        assert not isinstance(self.loaded, FewShotPredictor), "asked before"
        return self.loaded

    @property
    def spec(self) -> InputSpec:
        """What is done to an image before the network sees it."""
        return self.loaded.spec

    @property
    def device(self) -> str:
        """On which it is computed."""
        return str(self.loaded.device) if isinstance(self.loaded, Predictor | FewShotPredictor) else "cpu"

    def variant(self, threshold: float | None = None, tta: Tta | None = None) -> Segmenter:
        """The model with another threshold or test-time augmentation. Raises `DataError` as `inference.variants.variant_of`."""
        return self._variants(threshold, tta)

    def _variant(self, threshold: float | None, tta: Tta | None) -> Segmenter:
        return variant_of(self.segmenter, threshold, tta)

    @staticmethod
    def network_key(variant: Segmenter, *, doubt: bool, maps: bool) -> Hashable:
        """Images of requests that agree in this may be in one batch: the same networks see the same forms of them.

        A threshold matters in the forward pass only where that measures how sure the model is, or decides the classes of tiles.
        """
        decides = doubt or variant.one_by_one
        return variant.tta, doubt, maps and decides, getattr(variant, "threshold", None) if decides else None

    def about(self) -> dict[str, Any]:
        """In the list of models."""
        return {
            "name": self.name,
            "kind": "fewshot" if self.fewshot else "dense",
            "title": self.info.about_method.get("title") or self.info.method,
            "sha256": self.info.sha256,
            "device": self.device,
            "channels": self.spec.channels,
            "volumes": self.spec.axis is not None,
        }

    def details(self) -> dict[str, Any]:
        """All that is known of it; `masks`: how they are made of probabilities and written; `scores`: its card's table."""
        return {
            **self.about(),
            "masks": None if self.fewshot else masks_of(self.segmenter, self.info.header),
            "scores": None if (table := score_table(self.info)) is None else vars(table),
            "info": self.info.to_json(),
        }


def masks_of(model: Segmenter, header: Header) -> dict[str, Any]:
    """How probabilities become a mask: `outputs` planes; from `threshold` on, `painted` (plane, class) one upon the other, or
    where it is null the most probable class. `values` stand for the classes in the masks of pictures; `rules` are those of the
    post-processing of pictures, null where only the server can follow them."""
    table, values, colors = model.classes, mask_values(model.classes), palette(model.classes)
    decided, chosen = has_threshold(model), model.postprocessing
    by_server = chosen is not None and chosen.rules and (chosen.unit == "mm" or chosen.dimensions != 2)
    rules = None if by_server else rules_of(header, table)
    return {
        "outputs": table.outputs,
        "threshold": getattr(model, "threshold", None) if decided else None,
        "painted": [list(one) for one in Output.of(table).painted] if decided else [],
        "values": list(values),
        "palette": None if colors is None else [list(color) for color in colors],
        "labels": value_names(table, values),
        "postprocessing": None if model.postprocessing is None else model.postprocessing.words,
        "rules": rules,
    }
