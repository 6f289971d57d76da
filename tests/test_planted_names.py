"""No verb tells who a patient is: words are planted into headers and names of a DICOM set, and looked for in all that comes out.

- What is in headers may only be in DICOM results, where the standard wants patient and study.
- Names of folders and files may only be in the lists that find the files again, and in messages of the terminal.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread
from typer.testing import CliRunner

from delineate.cli.root import app
from delineate.common.errors import DelineateError
from delineate.data.core.manifest import Manifest
from delineate.engine.checkpoint import Checkpoints
from planted import (
    ELEMENT,
    HEADER,
    HEADER_WORDS,
    NAME_WORDS,
    ROOT_WORD,
    contents,
    found_in,
    label_by_segmentations,
    words_in,
    write_planted,
)

pytest.importorskip("pydicom")
pytest.importorskip("highdicom")
pytest.importorskip("nibabel")
SETTINGS = ("method.encoder.name=resnet10t", "method.decoder_channels=[16, 16, 8, 8, 8]", "engine.batch_size=4")
SMALL = ["--size", "32", *(word for each in SETTINGS for word in ("--set", each))]
TRAIN = ["--method", "unet", "--preset", "tiny", "--device", "cpu", *SMALL]
LISTS = (
    "manifest.json",
    "split.json",
    "scored.json",
    "predictions.json",
    "support.json",
    "episodes.json",
    "epi.json",
    "next.csv",
    "scans.csv",
)
"""They find the files again: who gets them gets the names."""
FOLDERS = (*LISTS, "run.json", "setup.json", "scores.json", "evaluations.jsonl", "openings.jsonl")
"""The same of the folder that was given."""


@dataclass
class Ran:
    folder: Path
    said: dict[str, str]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Every verb that sees the set, once; then the same with a damaged file, and with one that is missing."""
    base = tmp_path_factory.mktemp("planted")
    root, done = write_planted(base / "in"), Ran(base / "out", {})
    done.folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(done.folder / "state"))
        patch.setenv("XDG_CACHE_HOME", str(done.folder / "cache"))
        _sound(done, root, patch)
        _faulty(done, root)
    return done


def _sound(done: Ran, root: Path, patch: pytest.MonkeyPatch) -> None:
    out, images = done.folder, root / "images"
    _run(done, "data check", root, "--report", out / "check.html")
    _run(done, "data split", root, "--seed", 1, "--out", out / "split.json")
    with patch.context() as stopped:
        stopped.setattr(Checkpoints, "save", _stopping(Checkpoints.save))
        _run(done, "train", root, *TRAIN, "--steps", 2, "--out", out / "stopped", expected=130)
    assert list((out / "stopped" / "steps").iterdir())
    _run(done, "train", _many_validate(out / "split.json"), *TRAIN, "--steps", 4, "--out", out / "run")
    for format in ("auto", "rtstruct", "nifti", "mha", "nrrd"):
        options = ["--format", format, "--overlay"] + ["--probabilities"] * (format != "rtstruct")
        _run(done, "predict", out / "run", images, "--out", out / f"as-{format}", *options)
    _run(done, "predict", out / "run", root, "--split", "all", "--out", out / "split", "--format", "nifti", "--overlay")
    _numbered_references(root, out)
    for scores in ("scores", "again"):
        _run(done, "evaluate", out / "split", out / "references", "--out", out / scores)
    _run(done, "evaluate", out / "split", root, "--split", "all", "--out", out / "of-set", expected=None)
    _run(done, "compare", out / "scores", out / "again", "--out", out / "compared")
    _run(done, "calibrate", out / "run")
    for name, pool in {"next": root, "scans": images}.items():
        _run(done, "study suggest", out / "run", pool, "--count", 1, "--out", out / f"{name}.csv", expected=None)
    few = ["--method", "alpnet", "--preset", "tiny", "--size", 32, "--steps", 2, "--set", "method.width=null"]
    _run(done, "fewshot train", root, *few, "--out", out / "few")
    _run(
        done,
        "fewshot predict",
        out / "few",
        "--support",
        root,
        "--query",
        images,
        "--out",
        out / "few-masks",
        "--overlay",
    )
    _run(done, "fewshot episodes", root, "--protocol", "chunk3", "--split", "train", "--out", out / "epi.json")
    _run(done, "fewshot evaluate", out / "few", root, "--episodes", out / "epi.json", "--out", out / "few-scores")
    bench = [
        "--methods",
        "unet",
        "--preset",
        "tiny",
        "--folds",
        2,
        "--set",
        "engine.steps=2",
        "--set",
        "engine.device=cpu",
    ]
    _run(done, "benchmark", root, *bench, *SMALL, "--out", out / "bench")
    for layout in ("nnunet", "folders"):
        _run(done, "data convert", root, "--to", layout, "--out", out / layout)


def _faulty(done: Ran, root: Path) -> None:
    out, images = done.folder, root / "images"
    (root / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    slices = sorted((images / "Quatermain_2").iterdir())
    for name, spoil in (
        ("cut", lambda: slices[2].write_bytes(slices[2].read_bytes()[:-100])),
        ("gap", slices[2].unlink),
    ):
        spoil()
        _run(done, "data check", root, "--report", out / f"{name}.html", expected=2, called=name)
        _run(done, "predict", out / "run", images, "--format", "nifti", "--out", out / name, expected=1, called=name)
        _run(done, "train", root, *TRAIN, "--steps", 1, "--out", out / f"run-{name}", expected=None, called=name)


def _run(done: Ran, verb: str, *given: object, expected: int | None = 0, called: str = "") -> None:
    """As in a shell; `expected`: exit code, None: any but that of a defect."""
    result = CliRunner().invoke(app, [*verb.split(), *map(str, given)])
    code, said = result.exit_code, result.output
    if isinstance(result.exception, DelineateError):
        code, said = result.exception.exit_code, f"{said}\n{result.exception}"
    elif result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    name = f"{verb} {called or len(done.said)}"
    assert code == expected or (expected is None and code in (0, 2)), f"{name}: {said}"
    done.said[name] = said


def _stopping(save):
    def stop(self, state) -> None:
        save(self, state)
        raise KeyboardInterrupt

    return stop


def _many_validate(path: Path) -> Path:
    """`calibrate` wants five validation cases."""
    manifest = Manifest.load(path)
    cases = [case.model_copy(update={"split": "train" if at < 2 else "val"}) for at, case in enumerate(manifest.cases)]
    manifest.model_copy(update={"cases": tuple(cases)}).save(path)
    return path


def _numbered_references(root: Path, out: Path) -> None:
    (out / "references").mkdir()
    for case in Manifest.load(out / "split.json").cases:
        shutil.copy(root / case.masks[0], out / "references" / f"{case.id}.nii.gz")


def test_nothing_of_a_header_is_written_or_said(ran: Ran) -> None:
    found = {name: words for name, words in found_in(ran.folder, HEADER_WORDS).items() if not name.endswith(".dcm")}
    assert not found
    said = {name: words_in(text.encode(), HEADER_WORDS) for name, text in ran.said.items()}
    assert not {name: words for name, words in said.items() if words}
    assert len(list(ran.folder.rglob("*.*"))) > 150


def test_names_of_folders_and_files_are_only_in_lists(ran: Ran) -> None:
    for words, lists in ((NAME_WORDS, LISTS), ((ROOT_WORD,), FOLDERS)):
        found = found_in(ran.folder, words)
        allowed = (*lists, "folds/fold0.json", "folds/fold1.json")
        assert not {name: words for name, words in found.items() if not name.endswith(allowed)}
        assert any(name.endswith("run/manifest.json") for name in found)


def test_messages_name_the_file_at_fault(ran: Ran) -> None:
    """Who reads the terminal has the files; pages and tables show a number for the name."""
    assert "I00002.Umslopogaas.dcm is truncated" in ran.said["predict cut"]
    assert "#series-" in ran.said["predict gap"]
    table = (ran.folder / "cut" / "summary.csv").read_text()
    assert "name-1.dcm is truncated: its pixels end too early" in table
    assert "slices are 2.5 mm apart, but 5 mm after" in (ran.folder / "gap.html").read_text()


def test_results_have_what_the_standard_wants(ran: Ran) -> None:
    for path in (ran.folder / "as-auto" / "case_0001.seg.dcm", ran.folder / "as-rtstruct" / "case_0001.rtstruct.dcm"):
        made = dcmread(path)
        for keyword in ("PatientName", "PatientBirthDate", "AccessionNumber", "ReferringPhysicianName", "StudyID"):
            assert str(made.get(keyword)) == HEADER[keyword]
        assert made.PatientID.startswith(HEADER["PatientID"])
        content = path.read_bytes()
        kept = words_in(content, HEADER_WORDS) - {"Andrew", "Ffoulkes", "Armandstjust", "Blackfriarslane"}
        assert not kept & {ELEMENT, "Daydream", "Fisherinn", "Jellybandscanner", "Dewhurst", "Suzanneseries"}
        assert not words_in(content, (*NAME_WORDS, ROOT_WORD))


def test_a_set_labeled_by_segmentations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cases of DICOM masks are numbered, too, and a card that notes an evaluation has no path."""
    out, root = tmp_path / "out", write_planted(tmp_path / "in")
    label_by_segmentations(root)
    out.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(out / "cache"))
    done = Ran(out, {})
    _run(done, "data check", root, "--report", out / "check.html")
    _run(done, "train", root, *TRAIN, "--steps", 2, "--out", out / "run")
    _run(done, "predict", out / "run", root / "images", "--out", out / "masks")
    for references in (root, root / "labels"):
        _run(done, "evaluate", out / "masks", references, "--out", out / f"scores-{references.name}")
    files = [
        out / "run" / "card.md",
        *out.glob("scores-*/*.csv"),
        *out.glob("scores-*/report.html"),
        out / "check.html",
    ]
    assert len(files) >= 6
    assert "; evaluations.jsonl says where they lie" in files[0].read_text()
    for file in files:
        assert not words_in(file.read_bytes(), (*HEADER_WORDS, *NAME_WORDS, ROOT_WORD)), file
    found = found_in(out, HEADER_WORDS)
    assert not {name: words for name, words in found.items() if not name.endswith(".dcm")}
    allowed = (*LISTS, "evaluations.jsonl")
    found = found_in(out, NAME_WORDS)
    assert not {name: words for name, words in found.items() if not name.endswith(allowed)}


def test_the_search_finds_packed_words(tmp_path: Path) -> None:
    """In gzip, zip, base64, UTF-16, in any case."""
    import base64
    import gzip
    import zipfile

    word = ("Quatermain",)
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"xx quaterMAIN"))
    with zipfile.ZipFile(tmp_path / "b.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("q", "QUATERMAIN" * 9)
    (tmp_path / "c.html").write_bytes(b"base64," + base64.b64encode(b"a picture of Quatermain, packed"))
    (tmp_path / "d").write_bytes("Quatermain".encode("utf-16"))
    (tmp_path / "e").write_bytes(b"Quater")
    assert sorted(found_in(tmp_path, word)) == ["a.gz", "b.npz", "c.html", "d"]
    assert list(contents(b"plain")) == [b"plain"]
