"""From an encoder's options to the place that its pretrained weights come from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import nn

from delineate.common.errors import DelineateError
from delineate.nn.encoders.hub import HubWeights
from delineate.nn.encoders.options import PACKAGE, EncoderOptions
from delineate.nn.encoders.packages import PackagedWeights
from delineate.nn.encoders.store import StoredWeights, stored_names
from delineate.nn.encoders.weights import WeightsSource
from delineate.nn.encoders.weights_file import FileWeights
from delineate.nn.normalize import Normalization, in_words, statistics

__all__ = ["check_pretrained", "expected_normalization", "normalization_remarks", "weights_source"]


def weights_source(
    name: str, pretrained: bool | str, build: Callable[[], nn.Module] | None = None
) -> WeightsSource | None:
    """Where the weights come from; None: they stay random.

    Args:
        name: Of the timm network.
        pretrained: As `EncoderOptions.pretrained`.
        build: Makes the network with timm's weights; needed for reading these alone.

    Raises:
        DelineateError: An unknown package; a name of the store that is also a file here.
    """
    if pretrained is False:
        return None
    if pretrained is True:
        return HubWeights(name, build or nn.Identity)
    if pretrained.startswith(PACKAGE):
        return PackagedWeights(pretrained, name)
    if pretrained in stored_names():
        if Path(pretrained).is_file():
            raise DelineateError(
                f"method.encoder.pretrained={pretrained} is the name of weights in the store and of a file here; write "
                f"./{pretrained} for the file, or call it otherwise"
            )
        return StoredWeights(pretrained, name)
    return FileWeights(Path(pretrained), name)


def check_pretrained(options: EncoderOptions) -> None:
    """Raise `DelineateError` where the weights surely cannot be had: so that nothing else is done first."""
    source = weights_source(options.name, options.pretrained)
    if source is not None:
        source.check()


def expected_normalization(options: EncoderOptions) -> Normalization:
    """What `normalize: auto` means: the statistics that the weights were trained with; ImageNet's where there are no weights, or
    nothing is known of them."""
    source = weights_source(options.name, options.pretrained)
    known = None if source is None else source.statistics()
    return "imagenet" if known is None else in_words(known)


def normalization_remarks(options: EncoderOptions, chosen: Normalization) -> list[str]:
    """What a user should know of the input statistics: that they contradict the weights, or had to be assumed."""
    source = weights_source(options.name, options.pretrained)
    if source is None:
        return []
    known, given = source.statistics(), statistics(chosen)
    if known is not None and given != known and source.assumption() is None:
        return [
            f"method.normalize ({given.words}) contradicts the pretrained weights of '{options.name}', which were trained with "
            f"{known.words}; method.normalize=auto takes theirs"
        ]
    assumed = source.assumption()
    return [assumed] if assumed is not None and in_words(given) == expected_normalization(options) else []
