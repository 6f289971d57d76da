"""`delineate-runtime`: `predict` and `info` for exported models."""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from delineate.common.errors import DelineateError
from delineate.common.terminal import make_printable, one_line
from delineate.common.versions import version
from delineate.requests.predict import ExportedPredictOptions
from delineate.runtime.arguments import add_options, given_options

if TYPE_CHECKING:
    from delineate.inference.model_info import ModelInfo
    from delineate.inference.results import FileResult, PredictionResult

__all__ = ["main", "run"]

_PREDICT = """\
Segment images with an exported model. Writes one mask per image, at its own size.

Masks contain 0 and 255 for one foreground class, class indices for more. Volumes (NIfTI, MetaImage, NRRD, DICOM, TIFF stacks) are
segmented slice by slice, by models that were trained on volumes; their masks are label volumes (class indices) on the grid of the
image. summary.csv lists all images, for volumes also milliliters. An image that cannot be read is reported and the others are
processed; the exit code is then 1.
"""
_EXAMPLES = """\
examples:
  delineate-runtime predict polyps.onnx image.jpg --out masks
  delineate-runtime predict polyps.onnx scans/ --out masks --overlay --threads 2
  delineate-runtime predict polyps.onnx 'scans/**/*.png' --out masks --probabilities
  delineate-runtime predict hearts.onnx scans/case1.nii.gz --out masks --json
"""
_INFO = """\
examples:
  delineate-runtime info polyps.onnx
  delineate-runtime info polyps.onnx --json
"""
_SHOWN = 20
"""Lines about images on the console; all are in summary.csv."""


def main() -> None:
    """Entry point: a `DelineateError` becomes one line on stderr and exit code 2."""
    make_printable()
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {one_line(str(message))}", file=sys.stderr)
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
        raise SystemExit(code)
    except DelineateError as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except BrokenPipeError:
        # Whoever read the output has seen enough (`| head`). Python's own last flush must not fail, too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print(
            "interrupted: the masks written so far are in --out; --overwrite makes all of them again", file=sys.stderr
        )
        raise SystemExit(130) from None


def run(arguments: Sequence[str]) -> int:
    """Do what the arguments say; the exit code. Raises `DelineateError`."""
    given = vars(_parser().parse_args(arguments))
    return int(given["verb"](given))


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="delineate-runtime",
        formatter_class=raw,
        description="Segment images with models that `delineate export` wrote. Needs no torch.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--version", action="version", version=f"delineate-runtime {version()}")
    verbs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    predict = verbs.add_parser(
        "predict", formatter_class=raw, help="segment images", description=_PREDICT, epilog=_EXAMPLES
    )
    predict.add_argument("model", metavar="MODEL", help="An .onnx file that `delineate export` wrote.")
    predict.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="+",
        help="Images or volumes, folders of them, or patterns like 'scans/**/*.png'.",
    )
    add_options(predict, ExportedPredictOptions)
    predict.add_argument("--json", action="store_true", help="Print what was done as JSON.")
    predict.set_defaults(verb=_predict)
    info = verbs.add_parser(
        "info", formatter_class=raw, help="say what a model is", description="Say what a model is.", epilog=_INFO
    )
    info.add_argument("model", metavar="MODEL", help="An .onnx file that `delineate export` wrote.")
    info.add_argument("--json", action="store_true", help="Print JSON.")
    info.set_defaults(verb=_info)
    return parser


def _predict(given: dict[str, Any]) -> int:
    from delineate.runtime.verbs import predict

    options: Any = given_options(ExportedPredictOptions, given)
    with _progress("predicting") as told:
        result = predict(given["model"], given["inputs"], progress=told, **options)
    if given["json"]:
        print(json.dumps(_as_json(result), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        _tell(result)
    return 1 if result.failures else 0


def _info(given: dict[str, Any]) -> int:
    from delineate.runtime.verbs import info

    found = info(given["model"])
    if given["json"]:
        print(json.dumps(found.to_json(), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        _tell_info(found)
    return 0


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """What is to be called with (done, in all): a line that is overwritten where a person watches, else one now and then."""
    from delineate.common.progress_log import ProgressLog

    pace, watched = ProgressLog(what), sys.stderr.isatty()

    def told(done: int, total: int) -> None:
        if watched:
            print(f"\r{what}: {done} of {total}", end="", file=sys.stderr, flush=True)
        elif line := pace.line(done, total):
            print(line, file=sys.stderr)

    try:
        yield told
    finally:
        if watched:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def _tell(result: PredictionResult) -> None:
    from delineate.data.core.findings import count

    good = [file for file in result.files if file.error is None]
    for file in good[:_SHOWN]:
        print(_line(file, result.classes))
    if len(good) > _SHOWN:
        print(f"… and {len(good) - _SHOWN} more in {result.folder / 'summary.csv'}")
    for file in result.outside[:_SHOWN]:
        print(f"outside training: {file.name}: {file.drift.reason if file.drift else ''}", file=sys.stderr)
    if len(result.outside) > _SHOWN:
        print(f"… and {len(result.outside) - _SHOWN} more, in {result.folder / 'summary.csv'}", file=sys.stderr)
    for text in result.notes:
        print(f"note: {text}", file=sys.stderr)
    for text, number in result.remarks.items():
        print(f"note: {text} ({number} of {count(len(good), 'image')})", file=sys.stderr)
    for file in result.failures:
        print(f"failed: {one_line(file.error or '')}", file=sys.stderr)
    print(f"{count(len(good), 'mask')} in {result.folder} ({result.seconds:.1f} s)")


def _line(file: FileResult, classes: Sequence[str]) -> str:
    size = "×".join(str(length) for length in (file.width, file.height, file.depth) if length)
    shares = ", ".join(f"{name} {share:.2f} %" for name, share in zip(classes, file.percent, strict=True))
    amounts = ", ".join(f"{name} {amount:.2f} mL" for name, amount in zip(classes, file.milliliters, strict=False))
    return "  ".join(filter(None, (file.name, size, shares, amounts, f"{file.milliseconds:.0f} ms")))


def _as_json(result: PredictionResult) -> dict[str, Any]:
    files = [
        {
            "image": str(file.image),
            "mask": None if file.written is None else str(Path(result.folder, file.written.mask)),
            "size": [length for length in (file.width, file.height, file.depth) if length],
            "percent": dict(zip(result.classes, file.percent, strict=False)),
            "milliliters": dict(zip(result.classes, file.milliliters, strict=False)),
            "milliseconds": round(file.milliseconds, 1),
            "remark": file.remark,
            "seen": file.seen,
            "training_distance": None if file.drift is None else round(file.drift.distance, 4),
            "outside_training": None if file.drift is None else file.drift.reason,
            "error": file.error,
        }
        for file in result.files
    ]
    return {
        "folder": str(result.folder),
        "seconds": round(result.seconds, 3),
        "notes": list(result.notes),
        "files": files,
    }


def _tell_info(found: ModelInfo) -> None:
    from delineate.inference.model_card import class_rows, facts, score_table

    for section, lines in facts(found).items():
        print(section)
        for line in lines:
            print(f"  {line}")
        if section == "Model":
            _table(*class_rows(found))
    if (table := score_table(found)) is not None:
        print(f"validation scores: {table.title}")
        _table(table.head, table.rows)
    for line in found.remarks:
        print(f"warning: {line}", file=sys.stderr)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns of texts, as wide as their widest."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        print("  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    main()
