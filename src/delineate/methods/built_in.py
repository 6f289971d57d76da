"""Where the methods of this package are: text only, so that a misspelled name is known before anything is loaded."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

__all__ = ["BUILT_IN", "CHECKPOINTS", "CHECKPOINT_GROUP", "ENTRY_POINT_GROUP", "FAMILIES", "all_names", "recipe_of"]

BUILT_IN = {
    "alpnet": "delineate.methods.alpnet.network:ALPNet",
    "cmaformer": "delineate.methods.cmaformer.network:CMAformer",
    "condseg": "delineate.methods.condseg.network:ConDSeg",
    "correction": "delineate.methods.correction.network:Correction",
    "decseg": "delineate.methods.decseg.network:DECSeg",
    "din": "delineate.methods.din.network:DIN",
    "ipsl": "delineate.methods.ipsl.network:IPSL",
    "mc-net": "delineate.methods.mc_net.network:MCNet",
    "mfel": "delineate.methods.mfel.network:MFEL",
    "mslkseg": "delineate.methods.mslkseg.network:MSLKSeg",
    "panet": "delineate.methods.panet.network:PANet",
    "resenc": "delineate.methods.resenc.network:ResEnc",
    "unet": "delineate.methods.unet.network:UNet",
}
CHECKPOINTS = {"condseg": "delineate.methods.condseg.authors_checkpoint:read"}
"""Method → function from the tensors of a checkpoint of its authors' code to an `ImportedModel`."""
FAMILIES = {"smp": "delineate.methods.smp.network:method_class"}
"""Prefix of names "FAMILY:MEMBER" → function from the member to its class; `registry.names` does not list what they hold."""
ENTRY_POINT_GROUP = "delineate.methods"
CHECKPOINT_GROUP = "delineate.checkpoints"


def all_names() -> list[str]:
    """Names of all methods, also of those that other packages bring."""
    return sorted({*BUILT_IN, *(point.name for point in entry_points(group=ENTRY_POINT_GROUP))})


def recipe_of(name: str) -> Path:
    """The file with a built-in method's presets."""
    return Path(__file__).parent / BUILT_IN[name].rpartition(".network:")[0].rpartition(".")[2] / "recipe.yaml"
