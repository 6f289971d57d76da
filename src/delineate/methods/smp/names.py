"""Names `smp:ARCH/ENCODER`: architectures and encoders of segmentation_models.pytorch, and the papers of the architectures."""

from __future__ import annotations

import inspect
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from delineate.common.errors import DelineateError, RecipeError
from delineate.common.names import did_you_mean
from delineate.nn.encoders.encoder import check_name

__all__ = ["FIXED", "PACKAGE", "PAPERS", "arguments_of", "package", "parse"]

PACKAGE = "segmentation_models_pytorch"
_FORM = "smp:ARCH/ENCODER, for example smp:unetplusplus/resnet34"
_TIMM_PREFIX = "tu-"
"""Prefix by which the package takes any timm encoder. What follows must be an architecture that timm itself holds: timm also takes
addresses (`hf-hub:…`, `local-dir:…`), and would download what a model file names."""

_ENCODER_ARGUMENTS = {"drop_rate", "drop_path_rate", "img_size"}
FIXED = {"encoder_name", "encoder_weights", "in_channels", "classes", "aux_params", "activation"}
"""Arguments that the method itself sets."""

PAPERS: dict[str, tuple[int, str]] = {
    "unet": (2015, "Ronneberger, Fischer, Brox: U-Net, MICCAI 2015, arXiv 1505.04597"),
    "unetplusplus": (2018, "Zhou et al.: UNet++, DLMIA 2018, arXiv 1807.10165"),
    "manet": (2020, "Fan et al.: MA-Net, IEEE Access 8, 2020"),
    "linknet": (2017, "Chaurasia, Culurciello: LinkNet, VCIP 2017, arXiv 1707.03718"),
    "fpn": (2017, "Lin et al.: Feature Pyramid Networks, CVPR 2017, arXiv 1612.03144"),
    "pspnet": (2017, "Zhao et al.: Pyramid Scene Parsing Network, CVPR 2017, arXiv 1612.01105"),
    "deeplabv3": (2017, "Chen et al.: DeepLabv3, 2017, arXiv 1706.05587"),
    "deeplabv3plus": (2018, "Chen et al.: DeepLabv3+, ECCV 2018, arXiv 1802.02611"),
    "pan": (2018, "Li et al.: Pyramid Attention Network, BMVC 2018, arXiv 1805.10180"),
    "upernet": (2018, "Xiao et al.: UPerNet, ECCV 2018, arXiv 1807.10221"),
    "segformer": (2021, "Xie et al.: SegFormer, NeurIPS 2021, arXiv 2105.15203"),
    "dpt": (2021, "Ranftl et al.: Vision Transformers for Dense Prediction, ICCV 2021, arXiv 2103.13413"),
}


def package() -> Any:
    """The module. Raises `DelineateError` saying how to install it."""
    if find_spec(PACKAGE) is None:
        raise DelineateError(
            "methods named smp:… need segmentation_models.pytorch, which is not installed; pip install segmentation-models-pytorch"
        )
    return import_module(PACKAGE)


def parse(member: str) -> tuple[str, str]:
    """ "UnetPlusPlus/resnet34" → ("unetplusplus", "resnet34"), both known to the package.

    Raises `RecipeError` for another form and for unknown names, naming the nearest; `DelineateError` without the package.
    """
    arch, slash, encoder = member.partition("/")
    if not (arch and slash and encoder):
        raise RecipeError(f"method 'smp:{member}': the name has the form {_FORM}")
    smp, arch = package(), arch.lower()
    if arch not in smp.MODEL_ARCHITECTURES_MAPPING:
        known = did_you_mean(arch, smp.MODEL_ARCHITECTURES_MAPPING)
        raise RecipeError(f"method 'smp:{member}': unknown architecture '{arch}': {known}")
    encoders = smp.encoders.get_encoder_names()
    if encoder.startswith(_TIMM_PREFIX):
        try:
            check_name(encoder.removeprefix(_TIMM_PREFIX))
        except RecipeError as error:
            raise RecipeError(f"method 'smp:{member}': {error}") from error
    elif encoder not in encoders:
        raise RecipeError(f"method 'smp:{member}': unknown encoder '{encoder}': {did_you_mean(encoder, encoders)}")
    return arch, encoder


def arguments_of(arch: str) -> set[str]:
    """The arguments of an architecture that options may set: its own, and harmless ones of its encoder. It passes all others
    to timm, which takes paths and addresses there."""
    parameters = inspect.signature(package().MODEL_ARCHITECTURES_MAPPING[arch]).parameters.values()
    own = {parameter.name for parameter in parameters if parameter.kind is not inspect.Parameter.VAR_KEYWORD}
    return (own | _ENCODER_ARGUMENTS) - FIXED
