"""Delineate: train, compare and run medical image segmentation networks.

    import delineate
    run = delineate.train("polyps/", method="condseg", preset="tiny", out="runs/first")
    model = delineate.load("runs/first")
    mask = model.predict(image)            # H×W class indices at the image's own size

Names are loaded on first use, so that `import delineate` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from delineate.api import (
        add_weights,
        benchmark,
        calibrate,
        compare,
        convert_data,
        demo,
        drift,
        estimate_study_labels,
        estimate_training,
        evaluate,
        export,
        fewshot_episodes,
        fewshot_evaluate,
        fewshot_predict,
        fewshot_train,
        info,
        list_weights,
        load,
        make_serving_app,
        predict,
        remove_weights,
        serve_models,
        study_labels,
        suggest_labels,
        train,
    )
    from delineate.data.layouts.source import DataSource
    from delineate.methods.listing import list_methods
    from delineate.methods.registry import create

__version__ = "0.1.0"
__all__ = [
    "DataSource",
    "add_weights",
    "benchmark",
    "calibrate",
    "compare",
    "convert_data",
    "create",
    "demo",
    "drift",
    "estimate_study_labels",
    "estimate_training",
    "evaluate",
    "export",
    "fewshot_episodes",
    "fewshot_evaluate",
    "fewshot_predict",
    "fewshot_train",
    "info",
    "list_methods",
    "list_weights",
    "load",
    "make_serving_app",
    "predict",
    "remove_weights",
    "serve_models",
    "study_labels",
    "suggest_labels",
    "train",
]

_HOME = {
    "DataSource": "delineate.data.layouts.source",
    "add_weights": "delineate.api",
    "benchmark": "delineate.api",
    "calibrate": "delineate.api",
    "compare": "delineate.api",
    "convert_data": "delineate.api",
    "create": "delineate.methods.registry",
    "demo": "delineate.api",
    "drift": "delineate.api",
    "estimate_study_labels": "delineate.api",
    "estimate_training": "delineate.api",
    "evaluate": "delineate.api",
    "export": "delineate.api",
    "fewshot_episodes": "delineate.api",
    "fewshot_evaluate": "delineate.api",
    "fewshot_predict": "delineate.api",
    "fewshot_train": "delineate.api",
    "info": "delineate.api",
    "list_methods": "delineate.methods.listing",
    "list_weights": "delineate.api",
    "load": "delineate.api",
    "make_serving_app": "delineate.api",
    "predict": "delineate.api",
    "remove_weights": "delineate.api",
    "serve_models": "delineate.api",
    "study_labels": "delineate.api",
    "suggest_labels": "delineate.api",
    "train": "delineate.api",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'delineate' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
