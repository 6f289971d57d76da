"""`report.html` of one run: what was trained, how it went, how good it is on the validation split, and what it looks like.

Reads only the run folder; every part that is absent is named instead.
"""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from pathlib import Path
from typing import Any

from delineate.data.core.findings import count
from delineate.data.core.manifest import Manifest
from delineate.data.formats.dicom.names import data_name, shown_folder
from delineate.evaluation.results.score_warnings import TITLE
from delineate.evaluation.results.scores_file import ScoresFile
from delineate.report.html.document import notice, page, pictures, section, write_page
from delineate.report.html.elements import Html, element, facts, fold, join, number, table
from delineate.report.html.images import contour_legend, figure
from delineate.report.parts.case_gallery import VOLUMES_SHOWN
from delineate.report.parts.distribution import class_histograms
from delineate.report.parts.first_weights import briefly
from delineate.report.parts.run_record import RunRecord, read_run
from delineate.report.parts.scores import (
    COLUMN_WORDS,
    case_values,
    headline_metric,
    notes,
    outcome_table,
    range_words,
    score_tables,
    title_of,
)
from delineate.report.parts.training_curves import curves

__all__ = ["write_run_report"]

_PICTURE, _SHEET = 480, 960
"""Pixels a side of a case's picture, and of a volume's planes together, at most."""
_PANEL_CASES = 6
"""So many cases' panels are shown; further ones stay in the run folder."""


def write_run_report(run: Path) -> Path:
    """Write `run/report.html` and return its path. Raises `ArtefactError` when `run` is not a run folder."""
    record = read_run(run)
    title = " · ".join(
        part for part in (_method(record), data_name(record.manifest) if record.manifest else "") if part
    )
    document = page(
        title or run.name,
        "run report",
        _lead(record),
        notice(_state(record), "About this run"),
        notice(_warnings(record), TITLE),
        notice(list(map(str, record.summary.get("leaks", []))), "Images in more than one split"),
        notice(record.missing, "Missing from this run folder"),
        _headline(record),
        _scores(
            record.scores,
            str(record.summary.get("test_with", "delineate evaluate")),
            by_scores=_chosen_by_scores(record),
        ),
        _overlays(record),
        _panels(record),
        curves(record.metrics, record.summary),
        _data(record.manifest),
        _details(record),
    )
    return write_page(run / "report.html", document)


def _method(record: RunRecord) -> str:
    return str(record.summary.get("title") or record.summary.get("method") or "")


def _lead(record: RunRecord) -> Html | None:
    summary = record.summary
    words = [f"preset {summary['preset']}"] if "preset" in summary else []
    words += [f"strategy {summary['strategy']}"] if "strategy" in summary else []
    words += [f"seed {summary['seed']}"] if "seed" in summary else []
    words += [f"started {summary['started']}"] if "started" in summary else []
    return element("p", ", ".join(words), class_="lead") if words else None


def _state(record: RunRecord) -> list[str]:
    """What an unfinished run's reader must know."""
    if record.finished:
        return []
    last = record.metrics[-1] if record.metrics else {}
    where = f"last validated at step {last.get('step')} of {last.get('total_steps')} of stage '{last.get('stage')}'"
    done = where if last else "not validated yet"
    if record.summary.get("status") == "interrupted":
        return [f"It was interrupted: {done}. The same command with --resume goes on."]
    if record.summary.get("status") in ("failed", "diverged"):
        return [f"It failed: {record.summary.get('reason', 'no reason is noted')}. {done[0].upper()}{done[1:]}."]
    return [f"It is not finished: {done}."]


def _warnings(record: RunRecord) -> list[str]:
    """What must be known before any score is read."""
    changed = [f"The recipe was changed on the way: {line}." for line in record.summary.get("changes", [])]
    return [*map(str, record.summary.get("warnings", [])), *changed]


def _headline(record: RunRecord) -> Html:
    return element("div", _headline_score(record), facts(_facts(record)), class_="headline")


def _headline_score(record: RunRecord) -> Html:
    if (scores_file := record.scores) is not None and (metric := headline_metric(scores_file)) is not None:
        entry, several = scores_file.mean(metric), len(scores_file.classes) > 1
        column = scores_file.column_of(metric)
        what = f"mean {title_of(scores_file, metric)}, column “{column}” ({COLUMN_WORDS[column]})"
        of = "foreground classes" if scores_file.of == "classes" else scores_file.of
        lines = [what + (f", over the {of}" if several else "")]
        lines += [f"95 % interval {range_words(entry)}"] if entry["low"] is not None else []
        words = record.summary.get("headline", {}).get("words")
        lines += [
            f"n = {count(entry['n'], 'case')}",
            *([words] if words else []),
            "validation split, native resolution",
        ]
        head = record.summary.get("headline", {"dice": entry["mean"]})
        value = number(entry["mean"]) if head["dice"] is not None else "–"
    else:
        best = max((dice for line in record.metrics if (dice := _dice(line)) is not None), default=None)
        when = "" if record.finished else " so far"
        none = "no validation cases" if record.finished else "no scores yet"
        lines = [f"best validation Dice{when}, at the working size"] if best is not None else [none]
        value = number(best)
    return element("div", element("strong", value), *(element("span", line) for line in lines), class_="score")


def _dice(line: dict[str, Any]) -> float | None:
    """None where no reference has foreground, or something was not finite."""
    value = line.get("val", {}).get("dice")
    return None if value is None else float(value)


def _chosen_by_scores(record: RunRecord) -> bool:
    """Whether validation chose the weights; else they are those after the last step."""
    return not str((record.summary.get("best") or {}).get("chosen_by", "")).startswith("nothing: the weights after")


def _facts(record: RunRecord) -> dict[str, str]:
    summary, found = record.summary, {}
    if (count := summary.get("parameters")) is not None:
        found["Parameters"] = f"{count / 1e6:.2f} million"
    if began := summary.get("first_weights"):
        found["First weights"] = briefly(str(began))
    if stages := summary.get("stages"):
        found["Stages" if len(stages) > 1 else "Steps"] = ", ".join(
            f"{stage['name']} ({stage['steps']} steps)" if len(stages) > 1 else str(stage["steps"]) for stage in stages
        )
    if (images := summary.get("images_seen")) is not None:
        found["Images seen"] = f"{images:,}".replace(",", " ")
    if (minutes := summary.get("minutes")) is not None:
        found["Training time"] = f"{minutes:.1f} min"
    if best := summary.get("best"):
        found["Best validation" if _chosen_by_scores(record) else "Weights of"] = f"step {best.get('step')}"
        if best.get("chosen_by"):
            found["Weights chosen by"] = str(best["chosen_by"])
    if episodes := summary.get("episodes"):
        found["Episodes"] = str(episodes)
    if device := record.environment.get("device"):
        found["Device"] = str(device)
    if manifest := record.manifest:
        found["Classes"] = ", ".join(manifest.classes.names[1:])
        found |= {"Regions": manifest.classes.regions_in_words} if manifest.classes.regions else {}
        found["Cases"] = ", ".join(f"{count} {name}" for name, count in _splits(manifest).items())
    return found or {"Run": record.folder.name}


def _splits(manifest: Manifest) -> dict[str, int]:
    counts = Counter(case.split or "no split" for case in manifest.cases)
    return {name: counts[name] for name in ("train", "val", "test", "no split") if counts[name]}


def _scores(scores_file: ScoresFile | None, verb: str, *, by_scores: bool) -> Html | None:
    """`verb`: the command that scores such a model on a test set; `by_scores`: whether the weights were chosen by such scores."""
    if scores_file is None or (metric := headline_metric(scores_file)) is None:
        return None
    chosen = "The weights were chosen on this split" if by_scores else "Settings may have been chosen on this split"
    lead = join(
        f"Means over the cases of the validation split at native resolution. {chosen}, so these "
        "scores are not an estimate for new images; for that, predict a test set and use ",
        element("code", verb),
        ".",
    )
    return section(
        "Validation scores",
        score_tables(scores_file),
        notes(scores_file),
        element("div", *class_histograms(scores_file, metric), outcome_table(scores_file), class_="grid"),
        lead=lead,
    )


def _overlays(record: RunRecord) -> Html | None:
    if not record.overlays:
        return None
    dice = _dice_of_cases(record.scores)
    volumes = any(any((record.folder / "validation" / "masks").glob(f"*{end}")) for end in (".nii.gz", ".tif"))
    parts = []
    for rank, group in groupby(record.overlays, key=lambda overlay: overlay.rank):
        figures = [
            figure(
                overlay.path,
                f"Contours on {overlay.case}",
                element("b", _case_dice(dice, overlay.case)),
                overlay.case,
                longest=_SHEET if volumes else _PICTURE,
            )
            for overlay in group
        ]
        parts += [element("h3", f"{rank.capitalize()} by Dice"), pictures(figures, wide=volumes)]
    names = list(record.manifest.classes.names) if record.manifest else []
    shown = element("p", VOLUMES_SHOWN, class_="note") if volumes else None
    return section("Worst, median and best cases", contour_legend(names), shown, *parts)


def _dice_of_cases(scores_file: ScoresFile | None) -> dict[str, float]:
    return case_values(scores_file, "dice") if scores_file is not None and "dice" in scores_file.metrics else {}


def _case_dice(dice: dict[str, float], case: str) -> str:
    return f"Dice {dice[case]:.3f}" if case in dice else ""


def _panels(record: RunRecord) -> Html | None:
    """Of each rank the first case before any second, so that a few panels show the range."""
    if not record.panels:
        return None
    ranks = {overlay.case: overlay for overlay in sorted(record.overlays, key=lambda overlay: overlay.place)}
    ordered = [case for case in ranks if case in record.panels]
    ordered += [case for case in record.panels if case not in ranks]
    sets = [
        _panel_set(case, ranks[case].rank if case in ranks else "", record.panels[case])
        for case in ordered[:_PANEL_CASES]
    ]
    left = len(ordered) - _PANEL_CASES
    rest = (
        element("p", f"{count(left, 'more case is', 'more cases are')} in validation/panels.", class_="note")
        if left > 0
        else None
    )
    lead = "Images that the method makes on its way to the mask, at the working size."
    return section("Images from inside the method", element("div", *sets, class_="panel-sets"), rest, lead=lead)


def _panel_set(case: str, rank: str, paths: list[Path]) -> Html:
    figures = [figure(path, f"{path.stem} of {case}", path.stem, longest=240) for path in paths]
    title = element("h3", case, element("small", f" · {rank}" if rank else "", class_="lead"))
    return element("div", title, element("div", *figures, class_="small pictures"))


def _data(manifest: Manifest | None) -> Html | None:
    if manifest is None:
        return None
    splits = _splits(manifest)
    groups = {
        name: len({case.group or case.id for case in manifest.cases if (case.split or "no split") == name})
        for name in splits
    }
    unlabeled = {
        name: sum(not case.masks for case in manifest.cases if (case.split or "no split") == name) for name in splits
    }
    rows: list[list[Any]] = [[name, count, groups[name], unlabeled[name]] for name, count in splits.items()]
    about = {
        "Folder": shown_folder(manifest),
        "Layout": manifest.layout,
        "Splits from": manifest.split_origin,
        "Labels": manifest.labels.reason or "–",
        "Classes": ", ".join(f"{at} {name}" for at, name in enumerate(manifest.classes.names)),
    }
    about |= {"Regions": manifest.classes.regions_in_words} if manifest.classes.regions else {}
    return section("Data", facts(about), table(["Split", "Cases", "Groups", "Unlabeled"], rows))


def _details(record: RunRecord) -> Html:
    parts = []
    if record.recipe:
        parts.append(fold("Recipe", element("pre", record.recipe)))
    if record.environment:
        parts.append(fold("Environment", facts({name: str(value) for name, value in record.environment.items()})))
    if record.card:
        parts.append(fold("Method card", element("pre", record.card)))
    if per_case := _dice_of_cases(record.scores):
        rows: list[list[Any]] = [
            [case, number(dice)] for case, dice in sorted(per_case.items(), key=lambda item: item[1])
        ]
        parts.append(
            fold(f"Dice of all {count(len(rows), 'validation case')}, worst first", table(["Case", "Dice"], rows))
        )
    return section("Details", *parts)
