"""A trained model → one ONNX file with everything inside, which is kept only if it does what the model does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from delineate.artefact import format as artefact_format
from delineate.common.errors import ArtefactError, DelineateError
from delineate.common.files import atomic_path, output_folder, sha256, write_json
from delineate.common.output_checks import check_result_file
from delineate.common.versions import version, version_of
from delineate.data.augment.patches import OVERLAP
from delineate.data.core.input_spec import InputSpec
from delineate.data.layouts.source import DataSource
from delineate.inference.export.cases import trial_images
from delineate.inference.export.contract import (
    IMAGE,
    LOGITS,
    LONGEST_SIDE,
    MASK,
    MOST_IMAGES,
    PROBABILITIES,
    SPACING,
    ExportFacts,
    GraphKind,
    Precision,
)
from delineate.inference.export.graph import NetworkGraph, WholeGraph, channel_names, numbers_of
from delineate.inference.export.network import network_input, network_sizes
from delineate.inference.export.onnx_file import (
    Free,
    GraphInput,
    build,
    check_opset,
    check_packages,
    count_nodes,
    with_metadata,
)
from delineate.inference.export.parity import Parity, open_session, parity_of
from delineate.inference.export.quantize import MOST_LOSS, Calibration, CalibrationMethod, Loss, loss_of, quantized
from delineate.inference.export.tiled_file import build_tiled
from delineate.inference.export.tiles import TiledGraph
from delineate.inference.predictor import Predictor

__all__ = ["DEFAULT_OPSET", "ExportResult", "check_target", "export_onnx", "facts_of", "graph_inputs", "report_path"]

DEFAULT_OPSET = 20
_SUFFIX = ".onnx"


@dataclass(frozen=True)
class ExportResult:
    """An exported file and what was measured of it.

    Example:
        ```python
        made = delineate.export("runs/first", out="polyps.onnx")
        print(made.parity.dice, made.facts.nodes)
        ```
    """

    path: Path
    report: Path
    """The JSON file beside it."""
    facts: ExportFacts
    parity: Parity
    file_bytes: int
    """Of the file."""
    loss: Loss | None = None
    """What 8 bits cost on references; None where there are none."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The ONNX file."""
        return (self.path,)

    @property
    def nodes(self) -> int:
        """Of all graphs."""
        return self.facts.nodes

    @property
    def use(self) -> str:
        """What the file takes and gives, in words."""
        return f"`{self.path.name}` takes an image as its own file has it, and gives mask and probabilities at its own size"

    @property
    def lines(self) -> list[str]:
        """For people."""
        names, facts = " and ".join(map(str, self.files)), self.facts
        first = f"{names}: {self.file_bytes / 1e6:.1f} MB, {self.nodes} nodes, {facts.precision}, opset {facts.opset}"
        lost = [] if self.loss is None else [self.loss.words]
        return [first, *self.parity.lines, *lost, f"measured values: {self.report}"]


def report_path(out: Path) -> Path:
    """Where the measured values of a file are: `polyps.onnx` → `polyps.parity.json`."""
    return out.with_suffix(".parity.json")


def export_onnx(
    model: Path,
    out: Path,
    *,
    graph: GraphKind = "whole",
    precision: Precision = "fp32",
    opset: int = DEFAULT_OPSET,
    data: DataSource | None = None,
    cases: int = 8,
    calibration: DataSource | None = None,
    calibration_method: CalibrationMethod = "minmax",
    force: bool = False,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ExportResult:
    """Write a dense method's model as an ONNX file that takes images as their files have them.

    Args:
        model: A model file, or a run folder.
        out: The file to write, `.onnx`. The measured values come beside it (`report_path`).
        graph: `whole`, or the `network` alone.
        precision: Of the network.
        opset: Of ONNX.
        data: Images to compare the file with `predict` on; None: the validation cases of the model's run, else noise.
        cases: Of these at most.
        calibration: For `int8`: a dataset with masks.
        calibration_method: For `int8`: how far the ranges of 8 bits reach.
        force: Keep a file of `int8` that loses more Dice than is allowed.
        overwrite: Whether an earlier file may be replaced.
        progress: Called with (images done, images in all) while it is compared.

    Returns:
        The file, and what was measured. Nothing is written where it does not do what the model does.

    Raises:
        DelineateError: The model cannot be exported, the file cannot be written, packages are missing, or the file gives other
            masks than the model.
    """
    check_packages()
    check_opset(opset)
    check_target(out, overwrite)
    _check_precision(precision, graph, calibration, force or calibration_method != "minmax")
    source = artefact_format.locate(model)
    artefact = artefact_format.load(source)
    info = artefact.method.info
    if not info.exportable:
        raise ArtefactError(f"{source}: method '{info.name}' cannot be exported")
    predictor = Predictor(artefact, "cpu", source=source)
    if predictor.spec.fit == "patch" and (graph == "network" or precision == "int8"):
        asked = "--graph network" if graph == "network" else "--precision int8"
        raise ArtefactError(
            f"{asked}: a model of patches (input.fit=patch) is exported whole, with its loop over tiles, in fp32 or fp16"
        )
    images = trial_images(predictor, data, cases)
    examples = None if calibration is None else Calibration(calibration, predictor)
    made = NetworkGraph if graph == "network" else TiledGraph if predictor.spec.fit == "patch" else WholeGraph
    reference = made(predictor).eval()
    traced = made(predictor, half=True).eval() if precision == "fp16" else reference
    if graph == "network":
        built = build(traced, [network_input(predictor)], (LOGITS,), opset)
    elif isinstance(traced, TiledGraph):
        built = build_tiled(traced, graph_inputs(predictor.spec)[0], opset)
    else:
        built = build(traced, graph_inputs(predictor.spec), (PROBABILITIES, MASK), opset)
    facts = _facts(predictor, graph, source).model_copy(
        update={"precision": precision, "opset": opset, "nodes": count_nodes(built)}
    )
    calibrated, loss = 0, None
    if examples is not None:
        built, calibrated = quantized(built, examples, facts, calibration_method)
        facts = facts.model_copy(update={"nodes": count_nodes(built)})
    built = with_metadata(built, artefact_format.read_header(source).to_json(), facts)
    with atomic_path(out) as temporary:
        temporary.write_bytes(built.SerializeToString())
        session = open_session(temporary)
        parity = parity_of(session, reference, predictor, facts, images, progress)
        if parity.fault is not None:
            raise DelineateError(f"{out} is not kept: {parity.fault}")
        if examples is not None:
            loss = loss_of(session, predictor, examples, calibrated, facts)
            if loss.loss > MOST_LOSS and not force:
                raise DelineateError(f"{out} is not kept: {loss.words}; --force keeps it")
        result = ExportResult(out, report_path(out), facts, parity, temporary.stat().st_size, loss)
        measured = {"parity": parity, "loss": loss}
        shown = {name: one.model_dump(mode="json") for name, one in measured.items() if one is not None}
        # The report first: whatever stops this, no file is without its report, whose sum tells which file it is of.
        report = {"file": out.name, "sha256": sha256(temporary), **facts.model_dump(mode="json")}
        write_json(result.report, report | shown | {"lines": result.lines[:-1]})
    return result


def facts_of(spec: InputSpec, threshold: float | None, source: Path) -> ExportFacts:
    """Of a whole graph in single precision; its opset and nodes are filled in later.

    Args:
        spec: Of the model's input.
        threshold: By which masks are made; None: classes compete.
        source: The model's file.

    Returns:
        What the metadata say.
    """
    versions = {name: version_of(name) for name in ("torch", "onnx", "onnxscript", "onnxruntime")}
    return ExportFacts(
        opset=DEFAULT_OPSET,
        numbers=numbers_of(spec),
        own_values=any(rule.rule == "window" for rule in spec.rules),
        channels=channel_names(spec),
        source="pictures" if spec.axis is None else "slices",
        batch=(1, 1 if spec.fit == "patch" else MOST_IMAGES),
        tile=spec.size if spec.fit == "patch" else None,
        overlap=OVERLAP if spec.fit == "patch" else None,
        height=(1, LONGEST_SIDE),
        width=(1, LONGEST_SIDE),
        spacing=spec.spacing is not None,
        threshold=threshold,
        nodes=1,
        model_sha256=sha256(source),
        versions={"delineate": version(), **versions},
    )


def _facts(predictor: Predictor, graph: GraphKind, source: Path) -> ExportFacts:
    spec = predictor.spec
    facts = facts_of(spec, predictor.threshold if predictor.method.output.independent else None, source)
    if graph == "whole":
        return facts
    high, wide, multiple = network_sizes(predictor)
    names = tuple(f"channel {number}" for number in range(spec.in_channels))
    changed = {"height": high, "width": wide, "multiple": multiple, "channels": names, "threshold": None}
    return facts.model_copy(update={"graph": graph, "numbers": "float32", "spacing": False, **changed})


def check_target(out: Path, overwrite: bool, files: Sequence[Path] = ()) -> None:
    """Raise `DelineateError` for what cannot be written. `files`: what is written in place of `out`."""
    if out.is_dir() or out.suffix.lower() != _SUFFIX:
        raise DelineateError(f"--out {out}: give the name of a file that ends with {_SUFFIX}")
    for file in files or (out,):
        if file.is_dir():
            raise DelineateError(f"--out {out}: {file} is a folder; give another name")
        if file.exists() and not overwrite:
            raise DelineateError(f"--out {file} is there already; give another name, or --overwrite to replace it")
    check_result_file(report_path(out), ['"model_sha256"'], "report of an export")
    # tracing takes minutes, so what cannot be written is said before it; no folder is made yet
    output_folder(next(folder for folder in out.absolute().parents if folder.exists()))


def _check_precision(precision: Precision, graph: GraphKind, calibration: DataSource | None, further: bool) -> None:
    if precision == "int8" and graph != "whole":
        raise DelineateError("--precision int8 is for --graph whole: calibration needs the preprocessing")
    if precision == "int8" and calibration is None:
        raise DelineateError("--precision int8 needs --calibration: a dataset with masks, whose images give the ranges")
    if precision != "int8" and (calibration is not None or further):
        raise DelineateError(
            f"--calibration, --calibration-method and --force are for --precision int8, not {precision}"
        )


def graph_inputs(spec: InputSpec) -> list[GraphInput]:
    """Of a whole graph, as examples with two images, and of another size than any that the network sees, so that no length is taken
    for another."""
    height, width = spec.size[0] * 2 + 5, spec.size[1] * 3 + 1
    numbers: torch.dtype = getattr(torch, numbers_of(spec))
    free = {
        0: Free("batch", 1, MOST_IMAGES),
        1: Free("height", 1, LONGEST_SIDE),
        2: Free("width", 1, LONGEST_SIDE),
    }
    if spec.fit == "patch":  # one image at a time
        del free[0]
    images = 2 if 0 in free else 1
    made = [GraphInput(IMAGE, torch.zeros(images, height, width, len(channel_names(spec)), dtype=numbers), free)]
    if spec.spacing is not None:
        made.append(GraphInput(SPACING, torch.tensor(spec.spacing, dtype=torch.float64), {}))
    return made
