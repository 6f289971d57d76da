"""Augmentation, first half: the list of augmentations, their settings, and drawing their parameters. `apply` applies them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, SerializeAsAny

from delineate.data.augment.blur import BlurSettings
from delineate.data.augment.color import ColorSettings
from delineate.data.augment.dropout import DropoutSettings
from delineate.data.augment.elastic import ElasticSettings
from delineate.data.augment.flips import FlipSettings
from delineate.data.augment.gamma import GammaSettings
from delineate.data.augment.gray import GraySettings
from delineate.data.augment.noise import NoiseSettings
from delineate.data.augment.quarter_turns import QuarterTurnSettings
from delineate.data.augment.transform import CHANCE, ColorTransform, Transform, TransformSettings
from delineate.data.augment.warp import WarpSettings

__all__ = ["AugmentParameters", "AugmentSettings", "parts", "sample"]

_TransformT = TypeVar("_TransformT", bound=Transform)


class AugmentSettings(
    DropoutSettings,
    NoiseSettings,
    BlurSettings,
    GammaSettings,
    GraySettings,
    ColorSettings,
    ElasticSettings,
    WarpSettings,
    QuarterTurnSettings,
    FlipSettings,
):
    """The recipe's section `augment`: probabilities and ranges of all augmentations. The defaults change nothing.

    The bases are the list of augmentations, and their order is the order of application: the last is applied first, as in a product
    of matrices. (Pydantic lists the fields in the same order, and so do recipes and the reference.)
    """

    @property
    def is_identity(self) -> bool:
        fields = type(self).model_fields.items()
        return not any(getattr(self, name) for name, field in fields if CHANCE in field.metadata)

    @property
    def in_file_pixels(self) -> bool:
        """Whether something is stated in pixels of the image's file, so that `sample` needs the zoom."""
        return self.dropout_pixels is not None


@cache
def parts(settings: type[TransformSettings] = AugmentSettings) -> tuple[type[TransformSettings], ...]:
    """The augmentations, in the order in which they are applied."""
    return tuple(base for base in reversed(settings.__bases__) if issubclass(base, TransformSettings))


@cache
def _drawing(settings: type[TransformSettings]) -> tuple[type[TransformSettings], ...]:
    """The augmentations, in the order in which they draw."""
    return tuple(sorted(parts(settings), key=lambda part: part.generation))


def _read(value: Any) -> Any:
    """What a log holds of one augmentation → an instance of its class."""
    if not isinstance(value, Mapping):
        return value
    classes = {part.transform.model_fields["name"].default: part.transform for part in parts()}
    if value.get("name") not in classes:
        raise ValueError(f"there is no augmentation {value.get('name')!r}; there are {', '.join(classes)}")
    return classes[value["name"]].model_validate(value)


class AugmentParameters(BaseModel):
    """What was drawn for one sample. It can be saved as JSON and read back, so that a log reproduces any augmented picture.

    Example:
        >>> AugmentParameters.of(Flip(horizontal=True), Gamma(power=1.2)).model_dump_json()
        '{"drawn":[{"name":"flip","horizontal":true,"vertical":false},{"name":"gamma","power":1.2}]}'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    drawn: tuple[Annotated[SerializeAsAny[Transform], BeforeValidator(_read)], ...] = ()
    """In the order of application, except that all geometry is applied first and all color second."""

    @classmethod
    def of(cls, *drawn: Transform) -> AugmentParameters:
        return cls(drawn=drawn)

    def kind(self, wanted: type[_TransformT]) -> list[_TransformT]:
        """The transforms of one class or base class."""
        return [one for one in self.drawn if isinstance(one, wanted)]


def sample(
    settings: TransformSettings,
    rng: np.random.Generator,
    height: int,
    width: int,
    *,
    colors: bool = True,
    zoom: tuple[float, float] = (1.0, 1.0),
) -> AugmentParameters:
    """Draw the parameters for one image of height × width pixels. `colors`: whether its channels may be mixed with each other; the
    numbers drawn are the same. `zoom`: `InputSpec.zoom` of the image's file."""
    kind, size = type(settings), (height, width)
    drawn: dict[Any, Transform | None] = {}
    for part in _drawing(kind):
        draw: Any = part.draw
        drawn[part] = draw(settings, rng, size, zoom) if part.takes_zoom else draw(settings, rng, size)
    found = (drawn[part] for part in parts(kind))
    if not colors:
        found = (one.without_mixing() if isinstance(one, ColorTransform) else one for one in found)
    return AugmentParameters.model_construct(drawn=tuple(one for one in found if one is not None))
