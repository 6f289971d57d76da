"""The server's page in a real browser that reaches this machine alone: masks and downloads as `predict` makes
them, drawing, keys."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from delineate.data.core.geometry import Geometry
from delineate.data.formats.nifti import write_volume_image
from delineate.data.formats.registry import read_mask
from delineate.serve.auth import add_key
from delineate.serve.models import ServedModel
from delineate.serve.server import Settings
from devtools import Tab, tab
from http_client import Client, decoded, picture, start
from scanner import write_series

pytestmark = pytest.mark.more
FINISHED = (
    "document.querySelector('#list button') && document.querySelectorAll('#list .done, #list .failed').length == "
)
FINISHED += "document.querySelectorAll('#list button').length"
PIXELS = "Number(document.getElementById('pixels-1').textContent.replaceAll(',', ''))"
MARKED = (  # from a copy: what is read often is moved out of the graphics memory, and browsers complain of it
    "(() => { const { width, height } = document.getElementById('overlay'); const pen = new OffscreenCanvas(width, height)"
    ".getContext('2d'); pen.drawImage(document.getElementById('overlay'), 0, 0); return [...pen.getImageData(0, 0, width, height)"
    ".data].filter((value, at) => at % 4 == 3).map(value => value > 0 ? 1 : 0) })()"
)


@contextmanager
def opened(client: Client, folder: Path) -> Iterator[Tab]:
    """The page; nothing was complained of at its end, and nobody else was asked."""
    address = f"http://127.0.0.1:{client.serving.port}/"
    with tab(folder, local=True) as page:
        page.open(address)
        page.wait("document.body.matches('.ready, .broken') && document.body.dataset.model")
        yield page
        assert page.complaints == []
        assert [url for url in page.asked if not url.startswith((address, "data:", f"blob:{address}"))] == []


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"Jane Doe {number}.png" for number in range(3)]
    for number, path in enumerate(paths):
        path.write_bytes(picture(33, 47, seed=number))
    return paths


def click(page: Tab, id: str) -> None:
    page.run(f"document.getElementById('{id}').click()")


def test_masks_are_those_of_predict(
    client: Client, pictures: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    bad = tmp_path / "bad.png"
    bad.write_bytes(pictures[0].read_bytes()[:300])
    with opened(client, tmp_path) as page, caplog.at_level("INFO"):
        page.choose("#files", *pictures, bad)
        page.wait(FINISHED)
        assert "3 of 4 images segmented, 1 could not" in page.run("document.getElementById('status').textContent")
        own = decoded(client.post("/v1/models/one:segment", pictures[0].read_bytes()).content) > 0
        assert np.array_equal(np.reshape(page.run(MARKED), own.shape), own)
        archive = page.saved(lambda: click(page, "save-all"), tmp_path / "all", "masks.zip")
        page.complaints = [one for one in page.complaints if "422" not in one]  # a browser tells of every such answer
    with zipfile.ZipFile(archive) as files:
        assert files.namelist() == [*(path.name for path in pictures), "areas.csv", "card.html"]
        rows = list(csv.DictReader(io.StringIO(files.read("areas.csv").decode())))
        files.extractall(tmp_path / "unpacked")
    for path, row in zip(pictures, rows, strict=False):
        expected = decoded(client.post("/v1/models/one:segment", path.read_bytes()).content)
        assert np.array_equal(read_mask(tmp_path / "unpacked" / path.name), expected)
        assert (row["file"], int(row["pixels"])) == (path.name, (expected > 0).sum())
    assert "Jane" not in caplog.text


def test_threshold_and_models(client: Client, pictures: list[Path], tmp_path: Path):
    content = pictures[0].read_bytes()
    with opened(client, tmp_path) as page:
        page.choose("#files", pictures[0])
        page.wait(FINISHED)
        asked = len(page.asked)
        page.run(
            "(() => { const t = document.getElementById('threshold'); t.value = 0.25; t.dispatchEvent(new Event('input')) })()"
        )
        expected = decoded(client.post("/v1/models/one:segment?threshold=0.25", content).content) > 0
        page.wait(f"{PIXELS} == {expected.sum()}")
        assert len(page.asked) == asked, "a threshold needs no request"
        page.run(
            "(() => { const m = document.getElementById('model'); m.value = 'four'; m.dispatchEvent(new Event('change')) })()"
        )
        four = decoded(client.post("/v1/models/four:segment", content).content)
        page.wait(f"document.getElementById('pixels-3') && {PIXELS} == {(four == 1).sum()}")
        assert page.run("document.getElementById('thresholds').hidden")


def test_drawing_by_pointer_and_by_keys(client: Client, pictures: list[Path], tmp_path: Path):
    with opened(client, tmp_path) as page:
        page.choose("#files", pictures[0])
        page.wait(FINISHED)
        own = np.array(page.run(MARKED))
        page.run("document.querySelector('[data-tool=brush]').click()")
        x, y, w, h = page.run(
            "(({x, y, width, height}) => [x, y, width, height])(document.getElementById('view').getBoundingClientRect())"
        )
        for kind, share in (("mousePressed", 0.2), ("mouseMoved", 0.8), ("mouseReleased", 0.8)):
            where = {"x": x + share * w, "y": y + 0.5 * h, "button": "left", "buttons": 1, "clickCount": 1}
            page.call("Input.dispatchMouseEvent", type=kind, **where)
        drawn = np.array(page.run(MARKED)).reshape(33, 47)
        assert drawn[16, 10:37].all()
        assert not np.array_equal(drawn.ravel(), own)
        both = 2 * (drawn.ravel() & own).sum() / (drawn.sum() + own.sum())
        assert f"{both:.3f}" in page.run("document.getElementById('facts-of').textContent")
        page.run("document.getElementById('view').focus()")
        page.call(
            "Input.dispatchKeyEvent", type="rawKeyDown", key="z", code="KeyZ", windowsVirtualKeyCode=90, modifiers=2
        )
        assert np.array_equal(page.run(MARKED), own)
        click(page, "redo")
        assert np.array_equal(page.run(MARKED), drawn.ravel())
        click(page, "revert")
        assert np.array_equal(page.run(MARKED), own)
        page.press("e", code=69, text="e")  # the eraser, moved by keys
        page.run("document.getElementById('brush').value = 60")
        page.press("ArrowRight", code=39)
        page.press(" ", code=32, text=" ")
        assert np.array(page.run(MARKED)).sum() < own.sum()
        saved = page.saved(lambda: click(page, "save"), tmp_path / "one", pictures[0].name)
        assert np.array_equal(read_mask(saved).ravel() > 0, np.array(page.run(MARKED)) > 0)


def choose_model(page: Tab, name: str) -> None:
    page.run(
        f"(() => {{ const m = document.getElementById('model'); m.value = '{name}'; m.dispatchEvent(new Event('change')) }})()"
    )
    page.wait(f"document.body.dataset.model == '{name}'")


def dab(page: Tab, share: float = 0.5, size: int = 9) -> None:
    """One touch of the brush."""
    page.run("document.querySelector('[data-tool=brush]').click()")
    page.run(f"document.getElementById('brush').value = {size}")
    box = "(({x, y, width, height}) => [x, y, width, height])(document.getElementById('view').getBoundingClientRect())"
    x, y, w, h = page.run(box)
    for kind in ("mousePressed", "mouseReleased"):
        where = {"x": x + share * w, "y": y + share * h, "button": "left", "buttons": 1, "clickCount": 1}
        page.call("Input.dispatchMouseEvent", type=kind, **where)


def test_few_shot_by_drawing(client: Client, pictures: list[Path], tmp_path: Path):
    """Draw on one image, segment the rest; mend one, make it an example, segment again; a mask from a file."""
    with opened(client, tmp_path) as page:
        choose_model(page, "few")
        page.wait("!document.getElementById('fewshot').hidden")
        assert "not known" in page.run("document.getElementById('trust').textContent")
        page.choose("#files", *pictures)
        page.wait(FINISHED)
        assert page.run("document.getElementById('segment').disabled")
        dab(page, size=20)
        mask = np.array(page.run(MARKED)).reshape(33, 47)
        click(page, "example")
        click(page, "segment")
        page.wait("document.getElementById('examples').textContent.startsWith('Ordered')")
        sent = client.form(
            "/v1/fewshot/supports?model=few",
            [
                ("image", pictures[0].read_bytes()),
                ("mask", cv2.imencode(".png", mask.astype(np.uint8) * 255)[1].tobytes()),
            ],
        ).json()
        names = page.run("[...document.querySelectorAll('#list b')].map(one => one.textContent)")
        assert names[-1] == pictures[0].name, "examples are last"
        for name in names[:-1]:
            page.run(f"[...document.querySelectorAll('#list button')].find(one => one.title == '{name}').click()")
            page.wait(f"document.getElementById('name').textContent == '{name}'")
            content = next(path for path in pictures if path.name == name).read_bytes()
            expected = decoded(client.post(f"/v1/fewshot/supports/{sent['id']}:segment", content).content) > 0
            page.wait(f"{PIXELS} == {expected.sum()}")
            assert np.array_equal(np.array(page.run(MARKED)) > 0, expected.ravel())
        dab(page, 0.2)
        click(page, "example")
        assert "2 examples" in page.run("document.getElementById('examples').textContent")
        third = tmp_path / f"{Path(names[0]).stem}_mask.png"
        cv2.imwrite(str(third), mask.astype(np.uint8) * 255)
        page.choose("#masks", third)
        page.wait("document.getElementById('examples').textContent == '3 examples.'")
        assert page.run("document.getElementById('segment').disabled"), "nothing is left"


def test_masks_are_dropped_beside_their_images(client: Client, pictures: list[Path], tmp_path: Path):
    """Two masks by their names, one by its folder; no Dice is told where nothing was predicted."""
    masks = tmp_path / "masks"
    masks.mkdir()
    marked = np.zeros((33, 47), np.uint8)
    marked[5:20, 7:30] = 255
    named = tmp_path / f"{pictures[0].stem}_mask.png"
    for path in (named, masks / pictures[1].name):
        cv2.imwrite(str(path), marked)
    with opened(client, tmp_path) as page:
        choose_model(page, "few")
        page.drop(*pictures, named)
        page.drop(masks)
        page.wait("document.getElementById('examples').textContent == '2 examples.'")
        assert page.run("document.querySelectorAll('#list button').length") == 3
        page.wait(f"{PIXELS} == {(marked > 0).sum()}")
        assert page.run("document.getElementById('facts-of').textContent") == ""
        click(page, "segment")
        page.wait("document.getElementById('examples').textContent.startsWith('Ordered')")
        dab(page, 0.2)
        assert "Dice" in page.run("document.getElementById('facts-of').textContent")


def test_series_in_a_folder_and_as_files(client: Client, tmp_path: Path):
    """The slices of a series are one volume, of two series in a folder two; what is no image does not keep them out of the zip."""
    voxels = np.random.default_rng(0).integers(0, 900, (30, 20, 5)).astype(np.int16)
    folder = tmp_path / "study"
    folder.mkdir()
    for name in ("a", "b"):
        for path in write_series(tmp_path / name, voxels, series=name).iterdir():
            path.rename(folder / f"{name}{path.name}")
    (folder / "notes").write_text("hello")
    with opened(client, tmp_path) as page:
        choose_model(page, "volumes")
        page.choose("#files", *folder.glob("a*"))
        page.wait(FINISHED)
        page.drop(folder)
        page.wait("document.querySelectorAll('#list button').length >= 4")
        page.wait(FINISHED)
        states = page.run("[...document.querySelectorAll('#list button')].map(one => one.className)")
        assert states == ["done", "done", "done", "failed"]
        page.run("document.getElementById('format').value = 'nifti'")
        archive = page.saved(lambda: click(page, "save-all"), tmp_path / "all", "masks.zip")
        page.complaints = [one for one in page.complaints if "415" not in one and "422" not in one]
    with zipfile.ZipFile(archive) as files:
        assert [name for name in files.namelist() if name.endswith(".nii.gz")] == [
            f"{stem}.nii.gz" for stem in (min(path.stem for path in folder.glob("a*")), "study", "study_2")
        ]


def test_slices_of_a_volume_and_their_mask(client: Client, tmp_path: Path):
    voxels = np.random.default_rng(0).integers(0, 900, (30, 20, 5)).astype(np.int16)
    path = tmp_path / "volume.nii.gz"
    write_volume_image(path, voxels, Geometry.of_ras(np.diag([1.0, 2.0, 4.0, 1.0]), voxels.shape))
    (tmp_path / "own.nii.gz").write_bytes(client.post("/v1/models/volumes:segment", path.read_bytes()).content)
    own = read_mask(tmp_path / "own.nii.gz")
    with opened(client, tmp_path) as page:
        choose_model(page, "volumes")
        page.choose("#files", path)
        page.wait(FINISHED)
        assert page.run("document.getElementById('slice-of').textContent") == "3 of 5"
        assert page.run("document.getElementById('amount').textContent") == "mL"
        assert float(page.run("document.getElementById('pixels-1').textContent")) == float(
            f"{own.sum() * 8 / 1000:.4g}"
        )
        shown = own[::-1, ::-1, 2].T.ravel() > 0
        assert np.array_equal(np.array(page.run(MARKED)) > 0, shown)
        page.run("document.getElementById('view').focus()")
        page.press("PageDown", code=34)
        assert np.array_equal(np.array(page.run(MARKED)) > 0, own[::-1, ::-1, 3].T.ravel() > 0)
        saved = page.saved(lambda: click(page, "save"), tmp_path / "out", "volume.nii.gz")
        assert np.array_equal(read_mask(saved), own)
        page.press("e", code=69, text="e")
        page.run("document.getElementById('brush').value = 60")
        page.press(" ", code=32, text=" ")
        click(page, "correct")
        page.wait("document.getElementById('told').textContent.startsWith('Kept')")
    kept = max((client.serving.service.collection / "volumes" / "masks").iterdir())
    mended = read_mask(kept)
    assert np.array_equal(np.delete(mended, 3, 2), np.delete(own, 3, 2))
    assert mended[..., 3].sum() < own[..., 3].sum()


def test_a_key_is_asked_for_and_kept_in_memory(micro_models: list[ServedModel], pictures: list[Path], tmp_path: Path):
    key = add_key(tmp_path / "keys.txt", "ward3")
    serving, thread = start(micro_models[:1], Settings(port=0, batch=1, keys=tmp_path / "keys.txt", scratch=tmp_path))
    try:
        with tab(tmp_path, local=True) as page:
            page.open(f"http://127.0.0.1:{serving.port}/")
            for given in ("wrong", key):
                page.wait("document.getElementById('key-dialog').open")
                page.run(f"document.getElementById('key').value = '{given}'")
                page.run("document.querySelector('#key-dialog .button').click()")
                page.wait(
                    "!document.getElementById('key-dialog').open || document.getElementById('key-fault').textContent"
                )
            page.wait("document.body.matches('.ready')")
            page.choose("#files", pictures[0])
            page.wait(FINISHED)
            assert page.run("localStorage.length + sessionStorage.length + document.cookie.length") == 0
            assert all("401" in one for one in page.complaints), page.complaints
            assert not any(key in url for url in page.asked)
    finally:
        serving.stop()
        thread.join(timeout=20)
