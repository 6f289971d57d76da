"""The script of docs/how-to/dicom-results.md that cron runs: every study once, failures wait, what is not sent is sent later."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "dicom-results.md"
pytestmark = pytest.mark.skipif(
    not (shutil.which("bash") and shutil.which("flock")), reason="bash and flock are needed"
)
PREDICT = """#!/bin/bash
echo "$3" >> "$CALLS"
out=$5
echo said
[ "$(basename "$3")" != bad ] || exit 1
touch "$out/case_0001.seg.dcm"
"""
SEND = """#!/bin/bash
[ -e "$ARCHIVE_IS_UP" ] && echo "${@: -1}" >> "$SENT"
"""


class Watched:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("incoming", "results", "bin"):
            (folder / name).mkdir()
        page = PAGE.read_text()
        start = page.index("#!/bin/bash")
        self.script = folder / "watch.sh"
        self.script.write_text(page[start : page.index("```", start)])
        for name, text in (("delineate", PREDICT), ("dcmsend", SEND)):
            (folder / "bin" / name).write_text(text)
            (folder / "bin" / name).chmod(0o755)
        (folder / "up").touch()

    def study(self, name: str, minutes: int = 10) -> None:
        file = self.folder / "incoming" / name / "I1"
        file.parent.mkdir()
        file.touch()
        then = file.stat().st_mtime - 60 * minutes
        os.utime(file, (then, then))

    def run(self) -> None:
        names = {"CALLS": "calls", "SENT": "sent", "ARCHIVE_IS_UP": "up"}
        places = {key: str(self.folder / name) for key, name in names.items()}
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        given = [str(self.folder / "incoming"), str(self.folder / "results"), "model.safetensors"]
        subprocess.run(["bash", self.script, *given], env=os.environ | places | {"PATH": path}, check=False, timeout=60)

    def lines(self, name: str) -> list[str]:
        path = self.folder / name
        return [Path(line.rstrip("/")).name for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_each_study_is_predicted_and_sent_once(watched: Watched) -> None:
    watched.study("a")
    watched.study("b c")
    for _ in range(3):
        watched.run()
    assert watched.lines("calls") == ["a", "b c"]
    assert watched.lines("sent") == ["case_0001.seg.dcm"] * 2


def test_a_study_that_is_still_being_sent_is_left_for_later(watched: Watched) -> None:
    watched.study("young", minutes=1)
    watched.run()
    assert watched.lines("calls") == []


def test_what_failed_waits_for_a_person(watched: Watched) -> None:
    watched.study("bad")
    watched.run()
    watched.run()
    assert watched.lines("calls") == ["bad"]
    assert watched.lines("sent") == []
    assert (watched.folder / "results" / "bad" / "failed").read_text() == "said\n"
    (watched.folder / "results" / "bad" / "failed").unlink()
    watched.run()
    assert watched.lines("calls") == ["bad", "bad"]


def test_masks_are_sent_later_where_the_archive_is_down(watched: Watched) -> None:
    watched.study("a")
    (watched.folder / "up").unlink()
    watched.run()
    assert watched.lines("sent") == []
    (watched.folder / "up").touch()
    watched.run()
    assert watched.lines("calls") == ["a"]
    assert watched.lines("sent") == ["case_0001.seg.dcm"]


def test_two_runs_at_a_time_are_one(watched: Watched) -> None:
    watched.study("a")
    with (watched.folder / "results" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        watched.run()
        assert watched.lines("calls") == []
    watched.run()
    assert watched.lines("calls") == ["a"]
