"""Frozen few-shot episodes: made, and models scored on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from delineate.requests.fewshot import EpisodesOptions, FewshotEvaluateOptions
from delineate.requests.signature import takes

if TYPE_CHECKING:
    from delineate.data.layouts.source import DataSource
    from delineate.evaluation.results.evaluate import Evaluation
    from delineate.fewshot.episode_file import EpisodeFile

__all__ = ["fewshot_episodes", "fewshot_evaluate"]


@takes(EpisodesOptions)
def fewshot_episodes(data: Path | str | DataSource, **options: Unpack[EpisodesOptions]) -> EpisodeFile:
    """Draw few-shot episodes of a dataset and write them to the file `out`, with the SHA-256 of every image and mask they use.

    Models that are scored on the same file see the same supports and queries.

    Args:
        data: As for `fewshot_train`.

    Returns:
        The episodes that were written.

    Raises:
        DataError: The data cannot be used, or have too few cases for the protocol.

    Example:
        ```python
        episodes = delineate.fewshot_episodes("slices/", protocol="chunk3", shots=1, out="chunk3.json")
        ```
    """
    from delineate.common.output_checks import check_result_file
    from delineate.data.formats.dicom.names import data_name
    from delineate.data.layouts.source import as_source
    from delineate.data.loading.samples import open_samples
    from delineate.fewshot.protocol import ProtocolSettings, make_episodes

    out, stack, fold = Path(options["out"]), options["stack"], options["fold"]
    check_result_file(out, ['"protocol"', '"episodes"', '"support_split"'], "file of episodes")
    opened = open_samples(as_source(data), stack=stack, axis=options["axis"], fold=fold)
    plan = ProtocolSettings(
        protocol=options["protocol"],
        shots=options["shots"],
        seed=options["seed"],
        draws=options["draws"],
        split=options["split"],
        support_split=options["support_split"],
        classes=options["classes"],
    )
    made = make_episodes(opened, plan, name=data_name(opened.manifest), stack=stack)
    made = made.model_copy(update={"fold": fold})
    made.save(out)
    return made


@takes(FewshotEvaluateOptions)
def fewshot_evaluate(
    model: Path | str,
    data: Path | str | DataSource,
    *,
    progress: Callable[[int, int], None] | None = None,
    **options: Unpack[FewshotEvaluateOptions],
) -> Evaluation:
    """Score a few-shot model on fixed episodes. Write scores, `episodes.csv`, pictures and `report.html` to `out`.

    Args:
        model: A run folder or model file; a baseline such as "copy-support-mask"; or an untrained method such as
            "alpnet@tiny:untrained", whose recipe `settings` change.
        data: The dataset from which the episodes were drawn.
        progress: Called with (episodes done, episodes in total).

    Returns:
        One row of scores per case and class, their means with 95 % intervals, and how they were computed.

    Raises:
        DelineateError: There is no such model, a setting cannot be used, the files are not those of the episodes, a class is
            unknown, or a support has too little foreground.

    Example:
        ```python
        scores = delineate.fewshot_evaluate("runs/alpnet", "slices/", episodes="chunk3.json", out="scores/alpnet")
        ```
    """
    from delineate.common.files import output_folder
    from delineate.common.output_checks import check_new, check_results_folder
    from delineate.data.layouts.source import as_source
    from delineate.fewshot.episode_file import EpisodeFile
    from delineate.fewshot.episode_images import write_pictures
    from delineate.fewshot.evaluate import METRICS, EpisodeTest, evaluate_episodes, write_episodes
    from delineate.fewshot.evaluated_models import check_model, check_unseen, open_evaluated_model
    from delineate.report.pages.evaluation import write_evaluation_report

    out, source, classes = Path(options["out"]), as_source(data), options["classes"]
    check_new(out, "scores.json", options["overwrite"])
    check_results_folder(out, "scores.json", [source.path, Path(model)])
    check_model(str(model), options["settings"])
    frozen = EpisodeFile.load(Path(options["episodes"]))
    frozen = frozen.of_classes(classes) if classes else frozen
    opened = frozen.open(source)
    candidate = open_evaluated_model(
        str(model),
        opened.census,
        settings=options["settings"],
        device=options["device"],
        precision=options["precision"],
        seed=options["seed"],
    )
    candidate = candidate.on(opened, frozen)
    if options["setting"] == 2:
        check_unseen(candidate, frozen.classes)
    job = EpisodeTest(candidate, opened, frozen, options["batch_size"])
    evaluation, scored = evaluate_episodes(job, metrics=options["metrics"] or METRICS, progress=progress)
    folder = output_folder(out)
    evaluation = write_episodes(folder, job, evaluation, scored, write_pictures(job, scored, folder), source.path)
    write_evaluation_report(folder)
    return evaluation
