"""A few-shot method before any training: `METHOD@PRESET:untrained`, such as `alpnet@tiny:untrained`, with settings of its recipe.

It finds what its first weights find. With random ones it shows what training brings; a pretrained encoder's features may tell
structures apart as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from delineate.artefact.format import Artefact
from delineate.common.errors import RecipeError
from delineate.common.names import did_you_mean
from delineate.common.untrained_name import method_and_preset
from delineate.data.cases.census import Census
from delineate.data.core.findings import some
from delineate.data.core.manifest import ClassTable
from delineate.engine.input_settings import settle_input
from delineate.engine.recipe import Recipe, parse_setting, resolve
from delineate.methods import registry
from delineate.methods.contract import Method
from delineate.methods.episodic import EpisodicMethod
from delineate.nn.encoders.encoder import Encoder
from delineate.nn.encoders.options import EncoderOptions

__all__ = ["Untrained", "UntrainedModel"]

_SECTIONS = ("method", "input")
"""Of a recipe: what there is without training."""
_ENCODER = ("method.encoder.name=", "method.encoder.pretrained=")
"""Settings that are told in words."""


@dataclass(frozen=True)
class Untrained:
    """What a name and settings describe."""

    recipe: Recipe
    settings: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, settings: Sequence[str] = ()) -> Untrained:
        """Raises `RecipeError`: an unknown method, preset or key (naming the nearest), a method that is not a few-shot one, a
        setting of training."""
        method, preset = method_and_preset(name)
        if registry.method_class(method).kind != EpisodicMethod.kind:
            few = [known for known in registry.names() if registry.method_class(known).kind == EpisodicMethod.kind]
            raise RecipeError(f"method '{method}' does not segment by examples: {did_you_mean(method, few)}")
        recipe = resolve(method, preset, {}, settings)
        registry.checked_options(method, recipe.method)
        for setting in settings:
            (section,) = parse_setting(setting)
            if section not in _SECTIONS:
                raise RecipeError(
                    f"--set {setting}: {name} is not trained, so that only its sections {' and '.join(_SECTIONS)} count; "
                    "leave it out"
                )
        return cls(recipe, tuple(settings))

    def build(self, census: Census, seed: int) -> UntrainedModel:
        """The method with its first weights. `census`: of the data that it will see; `seed`: of what is random in them.

        Raises `DelineateError`: settings that do not fit the data, weights that cannot be had.
        """
        recipe, spec = settle_input(self.recipe, census)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            method = registry.create(recipe.name, classes=1, in_channels=spec.in_channels, **recipe.method)
        encoder, rest = _first_weights(method)
        further = [setting for setting in self.settings if not setting.startswith(_ENCODER)]
        about = "; ".join(filter(None, [encoder, rest and f"{rest} random", *further]))
        return UntrainedModel(
            Artefact(method.eval(), spec, ClassTable()),
            title=f"{recipe.name}@{recipe.preset}, untrained{f' ({about})' if about else ''}",
            random=bool(rest),
        )


@dataclass(frozen=True)
class UntrainedModel:
    """A method with its first weights."""

    artefact: Artefact
    title: str
    """For tables: the encoder, where its weights are from, what is random beside it, and the settings that were given."""
    random: bool
    """Whether chance is in its weights."""


def _first_weights(method: Method) -> tuple[str, str]:
    """The encoder with the origin of its weights, and which other parts are random; "" where there are none."""
    options = getattr(method.options, "encoder", None)
    if not isinstance(options, EncoderOptions):
        return "", "all weights" if any(True for _ in method.parameters()) else ""
    if options.pretrained is False:
        return options.name, "all weights"
    inside = {
        id(parameter) for module in method.modules() if isinstance(module, Encoder) for parameter in module.parameters()
    }
    rest = [name for name, parameter in method.named_parameters() if id(parameter) not in inside]
    return f"{options.name}, {_source(options.pretrained)}", some([name.rpartition(".")[0] or name for name in rest])


def _source(pretrained: bool | str) -> str:
    """Where weights come from, without the folders of this machine."""
    return "timm's weights" if pretrained is True else f"weights of {Path(str(pretrained)).name}"
