"""A few-shot method before any training: `METHOD@PRESET:untrained`, such as `alpnet@tiny:untrained`, with settings of its recipe.

It finds what its first weights find. With random ones it shows what training brings; a pretrained encoder's features may tell
structures apart as they are.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from delineate.artefact.format import Artefact
from delineate.common.errors import RecipeError
from delineate.common.names import did_you_mean
from delineate.common.untrained_name import UNTRAINED, method_and_preset
from delineate.data.cases.census import Census
from delineate.data.core.findings import some
from delineate.data.core.manifest import ClassTable
from delineate.engine.first_weights import check_available, check_size, first_weights_remarks
from delineate.engine.input_settings import settle_input
from delineate.engine.recipe import Recipe, parse_setting, resolve
from delineate.fewshot.predictor import FewShotPredictor, load
from delineate.inference.device import Precision
from delineate.inference.usable import check_usable_file
from delineate.methods import registry
from delineate.methods.contract import Method
from delineate.methods.episodic import EpisodicMethod
from delineate.nn.encoders.options import EncoderOptions
from delineate.nn.encoders.origin import WeightsOrigin

__all__ = ["Untrained", "check_few_shot", "check_settings", "open_model"]

_SECTIONS = ("method", "input")
"""Of a recipe: what there is without training."""
_ENCODER = "method.encoder."
"""What these settings say is told in words, without the folders of this machine."""


@dataclass(frozen=True)
class Untrained:
    """What a name and settings describe."""

    recipe: Recipe
    settings: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, settings: Sequence[str] = ()) -> Untrained:
        """Raises `DelineateError`: an unknown method, preset or key (naming the nearest), a method that is not a few-shot one, a
        setting of training, weights that surely cannot be had."""
        method, preset = method_and_preset(name)
        if registry.method_class(method).kind != EpisodicMethod.kind:
            few = [known for known in registry.names() if registry.method_class(known).kind == EpisodicMethod.kind]
            raise RecipeError(f"method '{method}' does not segment by examples: {did_you_mean(method, few)}")
        recipe = resolve(method, preset, {}, settings)
        check_available(recipe)
        for setting in settings:
            (section,) = parse_setting(setting)
            if section not in _SECTIONS:
                raise RecipeError(
                    f"--set {setting}: {name} is not trained, so that only its sections {' and '.join(_SECTIONS)} count; "
                    "leave it out"
                )
        return cls(recipe, tuple(settings))

    def build(self, census: Census, seed: int = 0) -> Artefact:
        """The method with its first weights. `census`: of the data that it will see; `seed`: of what is random in them.

        Its title tells the encoder, where the weights are from, what is random beside them, and the settings that were given. Its
        provenance has the seed where chance is in the weights. Raises `DelineateError`: settings that do not fit the data, weights
        that cannot be had.
        """
        recipe, spec = settle_input(self.recipe, census)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            method = registry.build(recipe.name, classes=1, in_channels=spec.in_channels, options=recipe.method)
            check_size(method, spec)
            origins = method.load_pretrained() or {}  # methods of other packages may return nothing
        for remark in first_weights_remarks(method, spec, origins):
            warnings.warn(remark, stacklevel=2)
        rest = _random_parts(method, origins)
        further = [one for setting in self.settings for one in _told(parse_setting(setting))]
        about = "; ".join([*_encoder(method, origins), *([f"{rest} random"] if rest else []), *further])
        provenance = {
            "untrained": f"{recipe.name}@{recipe.preset}, untrained{f' ({about})' if about else ''}",
            "seed": seed if rest else None,
            "pretrained": {name: origin.to_json() for name, origin in origins.items()},
        }
        return Artefact(method.eval(), spec, ClassTable(), provenance=provenance)


def check_settings(name: str, settings: Sequence[str]) -> None:
    """Raise `DelineateError`, before data are read, for an untrained method that cannot be and for settings of any other model."""
    if name.endswith(UNTRAINED):
        Untrained.of(name, settings)
    elif settings:
        raise RecipeError(
            f"--set {settings[0]}: {name} has no settings to change; --set is for METHOD@PRESET{UNTRAINED}"
        )


def check_few_shot(name: str) -> None:
    """Raise `DelineateError`, before data are read, for a file that is no model, or one of a method that needs no examples."""
    if not name.endswith(UNTRAINED):
        check_usable_file(name, EpisodicMethod.kind)


def open_model(
    name: str,
    census: Census,
    *,
    settings: Sequence[str] = (),
    device: str = "auto",
    precision: Precision = "32",
    seed: int = 0,
) -> FewShotPredictor:
    """A model's file or run folder, or what `Untrained.of(name, settings).build(census, seed)` makes. Raises as these do."""
    if not name.endswith(UNTRAINED):
        return load(name, device, precision)
    return FewShotPredictor(Untrained.of(name, settings).build(census, seed), device, precision)


def _told(content: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """{"method": {"width": None}} → "method.width=null"; nothing of the encoder."""
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _told(value, f"{above}{key}.")
        elif not above.startswith(_ENCODER):
            yield f"{above}{key}={value if isinstance(value, str) else json.dumps(value, allow_nan=False)}"


def _encoder(method: Method, origins: Mapping[str, WeightsOrigin]) -> list[str]:
    """The encoder with the origin of its weights; a method may have none."""
    if origins:
        return [f"{origin.encoder}, weights of {origin.name}" for origin in origins.values()]
    options = getattr(method.options, "encoder", None)
    return [options.name] if isinstance(options, EncoderOptions) else []


def _random_parts(method: Method, origins: Mapping[str, WeightsOrigin]) -> str:
    """Which parts have random weights, in words; "" where none has."""
    loaded = tuple(f"{name}." for name in origins)
    rest = [name for name, _ in method.named_parameters() if not name.startswith(loaded)]
    if rest and not origins:
        return "all weights"
    return some(list(dict.fromkeys(name.rpartition(".")[0] or name for name in rest)))
