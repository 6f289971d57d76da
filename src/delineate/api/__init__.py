"""The library's verbs, which join several rooms. The command line calls these; each loads what it needs when it is called."""

from delineate.api.benchmarks import benchmark
from delineate.api.data import convert_data
from delineate.api.demonstration import DemoResult, DemoRow, demo
from delineate.api.exporting import export
from delineate.api.fewshot import fewshot_episodes, fewshot_evaluate
from delineate.api.models import info
from delineate.api.prediction import calibrate, drift, fewshot_predict, load, predict
from delineate.api.scores import compare, evaluate
from delineate.api.serving import make_serving_app, serve_models
from delineate.api.studies import estimate_study_labels, study_labels, suggest_labels
from delineate.api.training import estimate_training, fewshot_train, train
from delineate.api.weights import add_weights, list_weights, remove_weights

__all__ = [
    "DemoResult",
    "DemoRow",
    "add_weights",
    "benchmark",
    "calibrate",
    "compare",
    "convert_data",
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
