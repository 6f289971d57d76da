"""Delineate's runtime: exported models segment images with onnxruntime and NumPy, without torch.

    import delineate_runtime
    model = delineate_runtime.load("polyps.onnx")
    mask = model.predict("image.png")       # H×W class indices at the image's own size
    result = delineate_runtime.predict("polyps.onnx", ["images/"], out="masks")

This folder and what it imports are the distribution `delineate-seg-runtime`, as the package `delineate_runtime`. Names are
loaded on first use, so that the import costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from delineate.runtime.verbs import info, load, predict

__all__ = ["info", "load", "predict"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("delineate.runtime.verbs"), name)
    if name == "__version__":
        return import_module("delineate.common.versions").version()
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
