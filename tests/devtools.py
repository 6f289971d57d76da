"""Chromium without a window, driven over a pipe: keys, dropped files, downloads, pictures of a page; and all that it asked for,
complained of or was forbidden. Nothing but Python is needed besides the browser."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from browser import NAMES, OPTIONS

_LOCAL = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
"""The later one of two such options holds."""


class Tab:
    """A page in a browser that has no network, or reaches this machine alone."""

    def __init__(self, process: subprocess.Popen[bytes], send: int, receive: int, local: bool = False) -> None:
        self._process, self._send, self._receive, self._local = process, send, receive, local
        self._buffer, self._last, self._session = b"", 0, ""
        self.asked: list[str] = []
        """Addresses that the page requested."""
        self.complaints: list[str] = []
        """Of the console, of scripts that failed, of the content security policy."""

    def attach(self) -> None:
        target = next(one for one in self.call("Target.getTargets")["targetInfos"] if one["type"] == "page")
        found = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = found["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.call(f"{domain}.enable")
        if not self._local:
            none = {"latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
            self.call("Network.emulateNetworkConditions", offline=True, **none)

    def call(self, method: str, /, **given: Any) -> dict[str, Any]:
        """One command of the DevTools protocol."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": given}
        if self._session and not method.startswith(("Target.", "Browser.")):
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next(60)
            if answer.get("id") == self._last:
                assert "error" not in answer, (method, answer["error"])
                return dict(answer["result"])

    def run(self, script: str) -> Any:
        """The value of an expression in the page; promises are awaited."""
        found = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def open(self, page: Path | str) -> None:
        """A file, or an address."""
        self.call("Page.navigate", url=page.resolve().as_uri() if isinstance(page, Path) else page)
        self.wait("document.readyState === 'complete'")

    def wait(self, condition: str, seconds: float = 60) -> None:
        """Until an expression is true."""
        end = time.monotonic() + seconds
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < end, f"{condition}; {self.complaints}"
            time.sleep(0.05)

    def choose(self, selector: str, *files: Path) -> None:
        """Give files to a file input, as its window would."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(path.resolve()) for path in files], nodeId=node)

    def drop(self, *files: Path) -> None:
        """Drop files on the middle of the page."""
        data = {"items": [], "files": [str(path.resolve()) for path in files], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=300, y=200, data=data)

    def press(self, key: str, *, code: int = 0, text: str = "") -> None:
        """A key, down and up."""
        about = {"key": key, "code": key, "windowsVirtualKeyCode": code, "text": text}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **about)
        self.call("Input.dispatchKeyEvent", type="keyUp", **{**about, "text": ""})

    def photograph(self, out: Path, *, width: int = 1280, height: int = 860, dark: bool = False) -> None:
        """What is on the screen, as PNG."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        out.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def saved(self, action: Callable[[], Any], folder: Path, name: str) -> Path:
        """The file that an action downloads."""
        folder.mkdir(exist_ok=True)
        self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
        action()
        end = time.monotonic() + 30
        while not (folder / name).is_file() or not (folder / name).stat().st_size:
            assert time.monotonic() < end, (name, [path.name for path in folder.iterdir()])
            self.run("0")
            time.sleep(0.05)
        return folder / name

    def _next(self, seconds: float) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._receive], [], [], max(0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            self._buffer += os.read(self._receive, 1 << 20)
        text, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, method: str, about: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.asked.append(about["request"]["url"])
        elif method == "Log.entryAdded":
            self.complaints.append(about["entry"]["text"])
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(str(about["args"]))
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(about["exceptionDetails"]))


@contextmanager
def tab(folder: Path, *, local: bool = False) -> Iterator[Tab]:
    """A browser with one page; `folder` takes its own files. The test is skipped where no browser is. `local`: whether servers of
    this machine are reached, at 127.0.0.1."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()

    def as_expected() -> None:  # commands come on 3, answers go to 4
        os.dup2(os.dup(theirs_in), 3)
        os.dup2(os.dup(theirs_out), 4)

    own = (f"--user-data-dir={folder / 'profile'}", "--remote-debugging-pipe", "--window-size=1280,860", "about:blank")
    rules = (_LOCAL,) if local else ()
    process = subprocess.Popen(
        [program, *OPTIONS, *rules, *own], stderr=subprocess.DEVNULL, pass_fds=(3, 4), preexec_fn=as_expected
    )
    try:
        opened = Tab(process, ours_out, ours_in, local)
        opened.attach()
        yield opened
    finally:
        process.terminate()
        process.wait(20)
        for end in (theirs_in, theirs_out, ours_in, ours_out):
            os.close(end)
