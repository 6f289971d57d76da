"""Pages of the library's names, for mkdocstrings to fill: what users call, and what authors of plugins build on.

Whole modules stand here by themselves, so that a new name in one of them is on its page.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import delineate
from delineate.api import DemoResult
from delineate.artefact.calibration import CalibrationRecord, ExpectedDice, Figure, Measured, ProbabilityFigures
from delineate.artefact.format import Artefact
from delineate.artefact.training_images import TrainingImages
from delineate.common import errors
from delineate.data.augment import transform as augmentation
from delineate.data.augment.pixels import full_scale
from delineate.data.convert.convert import ConversionResult
from delineate.data.core import findings, geometry, input_spec, manifest, samples
from delineate.data.formats import contract as formats
from delineate.data.formats.registry import open_image
from delineate.data.formats.testing import check_format
from delineate.data.loading.open_data import open_data
from delineate.data.loading.samples import SampleSet, open_samples
from delineate.data.splits.folds import split_data
from delineate.data.splits.resplit import resplit
from delineate.engine.calibrate import Calibration, TemperatureStep
from delineate.engine.dry_run import TrainingEstimate
from delineate.engine.run import RunResult
from delineate.evaluation.comparison.compare import Comparison
from delineate.evaluation.metrics import masks, metric
from delineate.evaluation.metrics.testing import check_metric
from delineate.evaluation.results.evaluate import Evaluation
from delineate.evaluation.statistics import intervals, paired
from delineate.fewshot.episode_file import EpisodeFile
from delineate.fewshot.export.export import FewShotExportResult
from delineate.fewshot.predictor import FewShotPredictor
from delineate.inference.export.container import ContainerResult
from delineate.inference.export.export import ExportResult
from delineate.inference.export.hub import HubResult
from delineate.inference.exported_model import ExportedModel
from delineate.inference.model_info import ModelInfo
from delineate.inference.outside import CaseDrift
from delineate.inference.predictor import Predictor
from delineate.inference.results import PredictionResult
from delineate.inference.series_drift import SeriesDrift
from delineate.methods import contract as methods
from delineate.methods import dense, episodic
from delineate.methods import registry as method_registry
from delineate.methods.listing import MethodRow
from delineate.methods.testing import checks as method_checks
from delineate.nn import losses
from delineate.nn.blocks import ConvBNAct
from delineate.nn.boundary_loss import boundary_loss
from delineate.nn.encoders.encoder import Encoder
from delineate.nn.encoders.options import EncoderOptions
from delineate.nn.encoders.store import StoredRecord
from delineate.nn.fuse import fold_batchnorm
from delineate.nn.normalize import Normalize, make_normalize
from delineate.nn.segmentation_loss import LossOptions, Term, segmentation_loss
from delineate.nn.selective_scan import selective_scan
from delineate.nn.ss2d import SS2D
from delineate.nn.views.cutmix import CutMix
from delineate.nn.views.strong import StrongView
from delineate.nn.views.weak import WeakView
from delineate.page.html_file import HtmlResult
from delineate.strategies import contract as strategies
from delineate.strategies import registry as strategy_registry
from delineate.strategies.batches import select_samples
from delineate.strategies.testing import checks as strategy_checks
from delineate.studies.labels.estimate import StudyEstimate
from delineate.studies.labels.results import StudyTable
from delineate.studies.leaderboard import Leaderboard
from delineate.studies.suggest.suggest import LabelSuggestions, Suggestion
from generator.page import Page


@dataclass(frozen=True)
class Group:
    """One page."""

    place: str
    title: str
    words: str
    things: Sequence[Any]
    """Modules, of which all public names are shown, and single classes and functions."""


def api_pages() -> Iterator[Page]:
    """All pages, behind one that lists them."""
    groups = _groups()
    lines = "".join(f"- [{group.title}]({group.place}.md): {group.words}\n" for group in groups)
    yield Page("api/index.md", f"# Python API\n\n{lines}")
    for group in groups:
        entries = "\n".join(_entry(thing) for thing in group.things)
        yield Page(
            f"api/{group.place}.md", f"# {group.title}\n\n{group.words[0].upper()}{group.words[1:]}\n\n{entries}"
        )


def public_names() -> dict[str, Any]:
    """Each class and function on these pages, by its dotted name."""
    named: dict[str, Any] = {}
    for group in _groups():
        for thing in group.things:
            inside = _inside(thing) if isinstance(thing, ModuleType) else [thing]
            named |= {_name(one): one for one in inside}
    return named


def _inside(module: ModuleType) -> list[Any]:
    """The public classes and functions that a module defines."""
    public = [value for name, value in vars(module).items() if not name.startswith("_")]
    return [value for value in public if getattr(value, "__module__", None) == module.__name__]


def _groups() -> list[Group]:
    public = [getattr(delineate, name) for name in delineate.__all__]
    functions_first = sorted(public, key=inspect.isclass)
    results = [
        *(
            Predictor,
            ExportedModel,
            FewShotPredictor,
            RunResult,
            PredictionResult,
            CaseDrift,
            SeriesDrift,
            Evaluation,
            Comparison,
            Leaderboard,
            ConversionResult,
            Calibration,
            TrainingImages,
            TemperatureStep,
            CalibrationRecord,
            ProbabilityFigures,
            Figure,
            Measured,
            ExpectedDice,
            ExportResult,
            FewShotExportResult,
            TrainingEstimate,
            StudyTable,
            StudyEstimate,
            LabelSuggestions,
            Suggestion,
        ),
        *(
            EpisodeFile,
            DemoResult,
            MethodRow,
            ModelInfo,
            StoredRecord,
            HtmlResult,
            HubResult,
            ContainerResult,
            Artefact,
        ),
    ]
    data = [open_data, open_samples, SampleSet, split_data, resplit, manifest, samples, input_spec, geometry, findings]
    blocks = [
        *(Encoder, EncoderOptions, ConvBNAct, Normalize, make_normalize, fold_batchnorm),
        *(LossOptions, segmentation_loss, Term, losses, boundary_loss),
        *(StrongView, WeakView, CutMix, selective_scan, SS2D),
    ]
    own_method = [methods, dense, episodic, method_registry, method_checks]
    return [
        Group("library", "The library", "what `import delineate` gives.", functions_first),
        Group("results", "Results and models", "what the library's functions give back.", results),
        Group("data", "Data", "cases, the manifest, and how pixels become the network's input.", data),
        Group("methods", "Methods", "what a method of your own derives from and is given.", own_method),
        Group("blocks", "Blocks and losses", "parts for networks of your own.", blocks),
        Group(
            "strategies",
            "Ways of training",
            "what a strategy of your own derives from.",
            [strategies, select_samples, strategy_registry, strategy_checks],
        ),
        Group("metrics", "Metrics", "what a metric of your own is made of.", [metric, masks, check_metric]),
        Group(
            "formats",
            "File formats",
            "what images are opened by, and a format of your own derives from.",
            [open_image, formats, check_format],
        ),
        Group("augmentation", "Augmentation", "what an augmentation is made of.", [augmentation, full_scale]),
        Group("statistics", "Statistics", "intervals and tests on arrays.", [intervals, paired]),
        Group("errors", "Errors", "what is raised for whatever a user can mend.", [errors]),
    ]


def _entry(thing: Any) -> str:
    """What tells mkdocstrings to put a thing here."""
    if isinstance(thing, ModuleType):
        return f"::: {thing.__name__}\n    options:\n      show_root_heading: false\n      show_root_toc_entry: false\n"
    return f"::: {_name(thing)}\n"


def _name(thing: Any) -> str:
    name = thing.__qualname__
    return (
        f"delineate.{name}"
        if name in delineate.__all__ and getattr(delineate, name) is thing
        else f"{thing.__module__}.{name}"
    )
