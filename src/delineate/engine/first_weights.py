"""A method that was just built, against the images that it will be shown: their size, and what its first weights expect of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from delineate.common.errors import RecipeError
from delineate.data.core.input_spec import InputSpec
from delineate.engine.recipe import Recipe
from delineate.methods import registry
from delineate.methods.contract import Method
from delineate.methods.dense import DenseMethod
from delineate.nn.class_weights import Frequency
from delineate.nn.encoders.origin import WeightsOrigin
from delineate.nn.output import Output
from delineate.nn.output_bias import output_bias, set_output_bias

__all__ = ["begin_at_shares", "check_available", "check_size", "first_weights_remarks"]


def begin_at_shares(method: Method, seen: Sequence[Frequency], output: Output) -> None:
    """Set the biases of the layers that make logits so that each pixel begins with the shares of the training masks. Raises
    `RecipeError` for a method that does not tell these layers.

    `seen`: what lies outside of all classes or regions, then each of these.
    """
    layers = method.output_layers() if isinstance(method, DenseMethod) else ()
    if not layers:
        raise RecipeError(
            f"engine.output_bias=class_shares: method '{method.info.name}' does not tell its last layer (`output_layers`); leave "
            "it out"
        )
    set_output_bias(layers, output_bias([one.share for one in seen], output))


def check_available(recipe: Recipe) -> None:
    """Raise `RecipeError` where first weights that the recipe asks for cannot be had. Nothing is loaded."""
    if "pretrained" in registry.option_names(
        recipe.name
    ):  # options of others need not be whole yet: a plan may be still to come
        registry.checked_options(recipe.name, recipe.method).check_available()


def check_size(method: Method, spec: InputSpec) -> None:
    """Raise `RecipeError` for a working size that the method, or an encoder in it, cannot take."""
    from delineate.nn.encoders.encoder import Encoder  # with timm, which prediction by a saved model need not wait for

    info = method.info
    if min(spec.size) < info.min_size:
        raise RecipeError(
            f"input.size: {info.name} needs at least {info.min_size}×{info.min_size} pixels (given: {spec.size})"
        )
    if any(side % info.divisor for side in spec.size):
        raise RecipeError(f"input.size: {info.name} needs multiples of {info.divisor} (given: {spec.size})")
    for module in method.modules():
        if isinstance(module, Encoder):
            module.check_size(spec.size)


def first_weights_remarks(method: Method, spec: InputSpec, origins: Mapping[str, WeightsOrigin]) -> list[str]:
    """What a user should know of pretrained weights: that images are shown to them otherwise than in their training.

    `origins`: of what was loaded.
    """
    said = method.options.remarks()
    if origins and spec.channels == "bgr":
        said = [
            *said,
            "input.channels=bgr: pretrained weights and method.normalize are of images in RGB order; leave that key out, unless it "
            "is meant",
        ]
    return said
