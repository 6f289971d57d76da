"""Any architecture of segmentation_models.pytorch (P. Iakubovskii, MIT license) with any of its encoders, as a method.

The package is used through its public factory and is needed only when such a method is built or loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor, nn

from delineate.common.errors import DelineateError, RecipeError
from delineate.common.names import did_you_mean
from delineate.methods.contract import Batch, Context, MethodInfo, MethodOptions, Panel
from delineate.methods.dense import DenseMethod
from delineate.methods.smp.names import FIXED, PAPERS, arguments_of, package, parse
from delineate.nn.blocks import pad_to_multiple
from delineate.nn.encoders.origin import WeightsOrigin
from delineate.nn.fuse import fold_batchnorm
from delineate.nn.normalize import ChannelStatistics, Normalization, in_words, make_normalize, statistics
from delineate.nn.segmentation_loss import LossOptions, segmentation_loss

__all__ = ["SMP", "SMPOptions", "method_class"]

_STEP = 32
"""Images are padded to multiples of it: encoders halve the resolution up to five times."""


class SMPOptions(MethodOptions):
    """Options beside architecture and encoder, which are in the name."""

    pretrained: bool = Field(False, description="start from the encoder's ImageNet weights, downloaded once")
    arguments: dict[str, Any] = Field(
        default_factory=dict,
        description="further arguments of the architecture, e.g. {decoder_channels: [256, 128, 64, 32, 16]}",
    )
    normalize: Normalization = Field(
        "auto",
        description="mean and standard deviation taken off the image: auto (as the pretrained weights expect; imagenet from random "
        "weights), imagenet, none, or {mean: [...], std: [...]} of images in [0, 1]",
    )
    loss: LossOptions = Field(LossOptions(), description="weighted sum of losses")


@cache
def method_class(member: str) -> type[DenseMethod]:
    """The method for "ARCH/ENCODER". Raises as `names.parse`."""
    arch, encoder = parse(member)
    title = f"{package().MODEL_ARCHITECTURES_MAPPING[arch].__name__} with {encoder}"
    year, paper = PAPERS.get(arch, (0, "see segmentation_models.pytorch"))
    info = MethodInfo(
        name=f"smp:{arch}/{encoder}",
        title=title,
        paper=f"{paper} (as in segmentation_models.pytorch)",
        year=year,
        min_size=_STEP,
        license_note="network code: segmentation_models.pytorch, MIT; pretrained weights: see there",
        learns_regions=True,
    )
    return type("SMPMethod", (SMP,), {"info": info, "arch": arch, "encoder": encoder, "__module__": __name__})


class SMP(DenseMethod):
    """Normalization → the package's network with K output channels. Any image size: padded inside, cropped again."""

    Options = SMPOptions
    options: SMPOptions
    arch: ClassVar[str]
    encoder: ClassVar[str]

    def __init__(self, options: SMPOptions, *, classes: int, in_channels: int) -> None:
        if options.normalize == "auto":  # settled here, so that a model file says what its network was trained with
            options = options.model_copy(update={"normalize": self._expected(options)})
        super().__init__(options, classes=classes, in_channels=in_channels)
        self.normalize = make_normalize(in_channels, options.normalize)
        self.network = self._create(None)

    def load_pretrained(self) -> Mapping[str, WeightsOrigin]:
        if not self.options.pretrained:
            return {}
        try:
            weights = self._create("imagenet").encoder.state_dict()
        except Exception as error:  # whatever the package's download raises
            raise DelineateError(
                f"method '{self.info.name}': ImageNet weights of '{self.encoder}' cannot be downloaded: "
                f"{_first_line(error)} (--set method.pretrained=false starts from random weights)"
            ) from error
        self.network.encoder.load_state_dict(weights)
        known = statistics(self._expected(self.options))
        origin = WeightsOrigin(
            source="segmentation_models.pytorch",
            name=f"{self.encoder}, imagenet",
            encoder=self.encoder,
            version=package().__version__,
            mean=known.mean,
            std=known.std,
        )
        return {"network.encoder": origin}

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        logits: Tensor = self.network(self.normalize(pad_to_multiple(image, _STEP)))
        return logits[..., :height, :width]

    def output_layers(self) -> tuple[nn.Conv2d, ...]:
        head = getattr(self.network, "segmentation_head", [None])[0]
        return (head,) if isinstance(head, nn.Conv2d) else ()

    def objective(self, batch: Batch, ctx: Context) -> dict[str, Tensor]:
        return segmentation_loss(self(batch["image"]), self.output.target(batch["mask"]), self.options.loss)

    def deploy(self) -> nn.Module:
        return fold_batchnorm(self)

    def panels(self, batch: Batch) -> dict[str, Panel]:
        """`probability`: of any foreground class."""
        return {"probability": Panel("heat", self.output.foreground(self(batch["image"])))}

    @classmethod
    def _expected(cls, options: SMPOptions) -> Normalization:
        """What the package states for its weights; some are of images in [0, 255]."""
        if not options.pretrained:
            return "imagenet"
        stated = package().encoders.get_preprocessing_params(cls.encoder, pretrained="imagenet")
        if stated["mean"] is None:
            return "none"
        largest = max(stated["input_range"] or (0, 1))
        mean, std = (tuple(value / largest for value in stated[key]) for key in ("mean", "std"))
        return in_words(ChannelStatistics(mean=mean, std=std))

    def _create(self, weights: str | None) -> Any:
        """The package's network. Raises `RecipeError` for arguments that it refuses."""
        known = arguments_of(self.arch)
        for name in self.options.arguments:
            if name in FIXED:
                raise RecipeError(f"method '{self.info.name}': arguments: '{name}' is set by Delineate; leave it out")
            if name not in known:
                raise RecipeError(
                    f"method '{self.info.name}': arguments: unknown '{name}': {did_you_mean(name, known)}"
                )
        try:
            return package().create_model(
                self.arch,
                encoder_name=self.encoder,
                encoder_weights=weights,
                in_channels=self.in_channels,
                classes=self.classes,
                **self.options.arguments,
            )
        except (TypeError, ValueError, KeyError, AttributeError, NotImplementedError, RuntimeError) as error:
            if weights is not None:
                raise
            raise RecipeError(
                f"method '{self.info.name}': segmentation_models_pytorch refuses these options: {_first_line(error)}"
            ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
