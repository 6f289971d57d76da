"""A folder is one process's at a time; who holds it is told, and a killed holder holds it no more."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from delineate.common import folder_lock as module
from delineate.common.errors import DelineateError
from delineate.common.folder_lock import folder_contents, folder_holder, hold_folder

HOLD = """
import sys, time
from pathlib import Path
from delineate.common.folder_lock import hold_folder
with hold_folder(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def holding(folder: Path) -> subprocess.Popen[str]:
    """A process that holds the folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_refused_with_the_name_of_the_first(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = holding(folder)
    try:
        who = f"process {process.pid} on {socket.gethostname()}"
        assert (folder_holder(folder) or "").startswith(who)
        with pytest.raises(DelineateError, match=f"run is in use by {who} since .*another --out"), hold_folder(folder):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert folder_holder(folder) is None
        with hold_folder(folder):
            assert folder_holder(folder) is not None
        assert not folder.exists() or not list(folder.iterdir())
    finally:
        process.kill()
        process.wait()


def test_the_same_process_is_refused_too(tmp_path: Path) -> None:
    with (
        hold_folder(tmp_path),
        pytest.raises(DelineateError, match=f"in use by process {os.getpid()}"),
        hold_folder(tmp_path),
    ):
        pass
    assert folder_holder(tmp_path) is None


def test_a_folder_that_was_made_in_vain_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with pytest.raises(ValueError, match="no"), hold_folder(folder):
        raise ValueError("no")
    assert not (tmp_path / "a").exists()
    with hold_folder(folder):
        assert folder_contents(folder) == []
        (folder / "file").touch()
    assert [path.name for path in folder.iterdir()] == ["file"]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object, **__: object) -> bool:
        raise OSError(number, "no locks")

    monkeypatch.setattr(module, "try_lock", refuse)
    said: list[str] = []
    with hold_folder(tmp_path, said.append):
        assert "without locks" in said[0]
    assert folder_holder(tmp_path) is None
