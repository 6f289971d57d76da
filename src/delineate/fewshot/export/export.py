"""A trained few-shot model → two ONNX files beside each other, which are kept only if they do what the model does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from delineate.artefact import format as artefact_format
from delineate.common.errors import ArtefactError, DelineateError
from delineate.common.files import atomic_path, sha256, write_json
from delineate.data.layouts.source import DataSource
from delineate.fewshot.export.episodes import trial_episodes
from delineate.fewshot.export.graphs import ConditionGraph, ForwardGraph, ShotGraph
from delineate.fewshot.export.parity import Files, Graphs, fewshot_parity
from delineate.fewshot.export.shots import of_support
from delineate.fewshot.export.state import SHOTS, example_states, example_support, state_names, state_tensors
from delineate.fewshot.predictor import FewShotPredictor
from delineate.inference.export.contract import MASK, MOST_SHOTS, PROBABILITIES, ExportFacts, StateTensor
from delineate.inference.export.export import (
    DEFAULT_OPSET,
    ExportResult,
    check_target,
    facts_of,
    graph_inputs,
    report_path,
)
from delineate.inference.export.graph import channel_names, numbers_of
from delineate.inference.export.onnx_file import (
    GraphInput,
    build,
    check_opset,
    check_packages,
    count_nodes,
    with_metadata,
)
from delineate.inference.export.parity import open_session

__all__ = ["FewShotExportResult", "export_fewshot", "file_names"]


@dataclass(frozen=True)
class FewShotExportResult(ExportResult):
    """The two files of a few-shot model and what was measured of them. `path` and `facts` are of the file that segments.

    Example:
        ```python
        made = delineate.export("runs/alpnet", out="organs.onnx")
        print(made.condition, made.path)  # organs.condition.onnx organs.forward.onnx
        ```
    """

    condition: Path = Path()
    """The file that looks at the support."""
    condition_facts: ExportFacts | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The ONNX files."""
        return self.condition, self.path

    @property
    def nodes(self) -> int:
        """Of both graphs."""
        return self.facts.nodes + (0 if self.condition_facts is None else self.condition_facts.nodes)

    @property
    def use(self) -> str:
        """In words."""
        return (
            f"`{self.condition.name}` takes images with masks of a class and gives a state; `{self.path.name}` takes an image and "
            "the states, and gives mask and probabilities at the image's own size"
        )


def file_names(out: Path) -> tuple[Path, Path]:
    """organs.onnx → organs.condition.onnx and organs.forward.onnx."""
    return out.with_suffix(f".condition{out.suffix}"), out.with_suffix(f".forward{out.suffix}")


def export_fewshot(
    model: Path,
    out: Path,
    *,
    graph: str = "whole",
    precision: str = "fp32",
    opset: int = DEFAULT_OPSET,
    data: DataSource | None = None,
    cases: int = 8,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
    calibration_method: str = "minmax",
    **of_others: Any,
) -> FewShotExportResult:
    """Write a few-shot method's model as two ONNX files.

    Args:
        model: A model file, or a run folder.
        out: NAME.onnx: the files are NAME.condition.onnx and NAME.forward.onnx. The measured values come beside them, in
            NAME.parity.json.
        graph: `whole`; there is no other.
        precision: `fp32`; there is no other.
        opset: Of ONNX.
        data: Annotated images to compare the files with `predict` on; None: the validation cases of the model's run, else noise.
        cases: Episodes of these at most.
        overwrite: Whether earlier files may be replaced.
        progress: Called with (episodes done, episodes in all) while they are compared.
        calibration_method: Not for these methods.
        of_others: What only methods that segment by themselves have; must be empty or false.

    Returns:
        The files, and what was measured. Nothing is written where they do not do what the model does.

    Raises:
        DelineateError: As `export_onnx`.
    """
    check_packages()
    check_opset(opset)
    _check_asked(graph, precision, of_others | {"method": calibration_method != "minmax"})
    files = file_names(out)
    check_target(out, overwrite, files)
    source = artefact_format.locate(model)
    artefact = artefact_format.load(source)
    if not artefact.method.info.exportable:
        raise ArtefactError(f"{source}: method '{artefact.method.info.name}' cannot be exported")
    predictor = FewShotPredictor(artefact, "cpu", source=source)
    episodes = trial_episodes(predictor, data, cases)
    names = state_names(predictor)
    graphs = Graphs(ShotGraph(predictor), ConditionGraph(predictor).eval(), ForwardGraph(predictor, names).eval())
    tensors = state_tensors(predictor, names)
    made = _condition(graphs, predictor, tensors, opset), _forward(graphs, predictor, tensors, opset)
    base = facts_of(artefact.spec, artefact.threshold, source).model_copy(update={"opset": opset, "state": tensors})
    shown = {"graph": "condition", "batch": (1, MOST_SHOTS), "threshold": None}
    facts = (
        base.model_copy(update=shown | {"nodes": count_nodes(made[0])}),
        base.model_copy(update={"graph": "forward", "nodes": count_nodes(made[1])}),
    )
    header = artefact_format.read_header(source)
    # The report first, then the file that is needed first: whatever stops this, no file is without its report.
    with atomic_path(files[1]) as forward, atomic_path(files[0]) as condition:
        for path, graph_made, own in zip((condition, forward), made, facts, strict=True):
            path.write_bytes(with_metadata(graph_made, header.to_json(), own).SerializeToString())
        opened = Files(open_session(condition), open_session(forward))
        parity = fewshot_parity(opened, graphs, predictor, facts[1], episodes, progress)
        if parity.fault is not None:
            raise DelineateError(f"{out} is not kept: {parity.fault}")
        size = sum(path.stat().st_size for path in (condition, forward))
        result = FewShotExportResult(
            files[1], report_path(out), facts[1], parity, size, condition=files[0], condition_facts=facts[0]
        )
        report = {
            one.graph: {"file": file.name, "sha256": sha256(path), **one.model_dump(mode="json")}
            for one, file, path in zip(facts, files, (condition, forward), strict=True)
        }
        measured = {"model_sha256": facts[0].model_sha256, "parity": parity.model_dump(mode="json")}
        write_json(result.report, report | measured | {"lines": result.lines[:-1]})
    return result


def _check_asked(graph: str, precision: str, of_others: dict[str, Any]) -> None:
    if graph != "whole":
        raise DelineateError(f"--graph {graph}: a method that segments by examples is exported whole, as two files")
    if precision != "fp32" or any(of_others.values()):
        raise DelineateError("methods that segment by examples are exported in single precision: leave --precision out")


def _condition(graphs: Graphs, model: FewShotPredictor, tensors: tuple[StateTensor, ...], opset: int) -> Any:
    image, *_ = graph_inputs(model.spec)
    one = image.example[:1]
    free = {axis: free for axis, free in image.free.items() if axis}
    mask = torch.ones(one.shape[:3], dtype=torch.uint8)
    shot = build(
        graphs.shot.eval(), [GraphInput("image", one, free), GraphInput("mask", mask, free)], ("shown", "labels"), opset
    )
    examples = zip(("shown", "labels"), example_support(model, 3), strict=True)
    inputs = [GraphInput(name, example, {0: SHOTS}) for name, example in examples]
    support = build(graphs.condition, inputs, [tensor.name for tensor in tensors], opset)
    return of_support(shot, support, numbers_of(model.spec), len(channel_names(model.spec)))


def _forward(graphs: Graphs, model: FewShotPredictor, tensors: tuple[StateTensor, ...], opset: int) -> Any:
    inputs = [*graph_inputs(model.spec), *example_states(model, tensors)]
    return build(graphs.forward, inputs, (PROBABILITIES, MASK), opset)
