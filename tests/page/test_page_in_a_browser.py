"""The page in a real browser, from a file, without a network: masks and downloads as `predict` makes them; keys; a bad file."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import delineate
from delineate.artefact.format import Artefact, save
from delineate.artefact.postprocessing import Postprocessing, StructureRule
from delineate.data.cases.phantom import write_phantoms
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.data.formats.registry import read_mask
from delineate.inference.export.parity import mean_dice
from delineate.inference.predictor import Predictor
from delineate.methods import registry
from delineate.methods.testing.examples import randomize_norms, tiny
from devtools import Tab, tab
from micro_method import brightness

pytestmark = pytest.mark.more
FINISHED = (
    "document.querySelectorAll('#list .done, #list .failed').length == document.querySelectorAll('#list button').length"
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Phantoms as PNG, and one of another size with noise, so that there are many components and holes."""
    folder = tmp_path_factory.mktemp("pictures")
    found = sorted((write_phantoms(folder / "set", count=12, size=64, seed=3) / "images").glob("*.png"))[:3]
    noise = np.random.default_rng(4).random((97, 131, 3))
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    smooth = 255 * (smooth - smooth.min()) / (smooth.max() - smooth.min())
    cv2.imwrite(str(folder / "noise.png"), smooth.astype(np.uint8))
    return [*found, folder / "noise.png"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """A model of one class with post-processing, and one of three classes; both know nothing but brightness."""
    folder = tmp_path_factory.mktemp("exported")
    rules = (StructureRule(name="foreground", min_size=30, fill_holes=True),)
    chosen = Postprocessing(dimensions=2, threshold=0.4, rules=rules)
    spec, names = InputSpec(size=(64, 64)), ("background", "dim, gray", "bright")
    models = {
        "one": Artefact(brightness(1), spec, ClassTable(), postprocessing=chosen),
        "three": Artefact(brightness(3), spec, ClassTable(names=names)),
    }
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry.BUILT_IN, "micro", "micro_method:Micro")
        for name, artefact in models.items():
            save(folder / name / "model.safetensors", artefact)
            delineate.export(folder / name, format="html", out=folder / f"{name}.html", cases=1)
            found[name] = folder / name / "model.safetensors"
        yield found


def page_of(model: Path) -> Path:
    return model.parent.with_suffix(".html")


def opened(page: Tab, model: Path) -> None:
    page.open(page_of(model))
    page.wait("document.body.matches('.ready, .broken')")
    assert page.run("document.getElementById('status').textContent") == "Ready."


def check_quiet(page: Tab, model: Path) -> None:
    assert page.complaints == [], page.complaints
    assert [url for url in page.asked if not url.startswith("blob:null/")] == [page_of(model).resolve().as_uri()]


def predicted(model: Path, images: list[Path], out: Path) -> list[Path]:
    delineate.predict(model, images, out=out)
    return [out / f"{image.stem}.png" for image in images]


@pytest.mark.parametrize("name", ["one", "three"])
def test_masks_and_downloads_are_those_of_predict(
    name: str, exported: dict[str, Path], pictures: list[Path], tmp_path: Path
) -> None:
    model = exported[name]
    classes = delineate.load(model).classes.names
    expected = [read_mask(path) for path in predicted(model, pictures, tmp_path / "masks")]
    bad = tmp_path / "bad.png"
    bad.write_bytes(pictures[0].read_bytes()[:-40])
    with tab(tmp_path) as page:
        opened(page, model)
        page.drop(pictures[0], bad)
        page.choose("#files", *pictures[1:])
        page.wait(FINISHED)
        assert page.run("document.getElementById('status').textContent") == (
            "4 of 5 images segmented, 1 could not be segmented."
        )
        assert page.run("document.querySelector('.failed small').textContent") == "is damaged or ends too early"
        one = page.saved(
            lambda: page.run("document.getElementById('save').click()"), tmp_path / "one", expected_name(pictures[0])
        )
        assert (read_mask(one) == expected[0]).all()
        archive = page.saved(
            lambda: page.run("document.getElementById('save-all').click()"), tmp_path / "all", "masks.zip"
        )
        check_quiet(page, model)
    with zipfile.ZipFile(archive) as files:
        assert files.testzip() is None
        assert files.namelist() == [*(expected_name(path) for path in pictures), "areas.csv", "card.html"]
        files.extractall(tmp_path / "unpacked")
        rows = list(csv.DictReader(io.StringIO(files.read("areas.csv").decode())))
    values = [0, 255] if len(classes) == 2 else [0, 1, 2]
    for path, mask in zip(pictures, expected, strict=True):
        found = read_mask(tmp_path / "unpacked" / expected_name(path))
        assert mean_dice(np.searchsorted(values, found), np.searchsorted(values, mask), len(classes)) >= 0.9999
        for index, each in enumerate(classes[1:], 1):
            (row,) = [one for one in rows if one["file"] == path.name and one["class"] == each]
            assert int(row["pixels"]) == (found == values[index]).sum()


def expected_name(image: Path) -> str:
    return f"{image.stem}.png"


def test_threshold_classes_and_keys(exported: dict[str, Path], pictures: list[Path], tmp_path: Path) -> None:
    model = exported["one"]
    predictor = delineate.load(model)
    area = "Number(document.getElementById('pixels-1').textContent.replaceAll(',', ''))"
    with tab(tmp_path) as page:
        opened(page, model)
        page.choose("#files", *pictures)
        page.wait(FINISHED)
        page.run("document.querySelector('#list button').focus()")
        for _ in pictures[1:]:
            page.press("ArrowDown", code=40)
        page.wait(
            "document.getElementById('name').textContent == 'noise.png' && !document.getElementById('view').hidden"
        )
        own = int((predictor.predict(pictures[-1]) == 1).sum())
        page.wait(f"{area} == {own}")
        drawing = ("move", "brush", "largest", "out", "fit", "in", "view")
        for name in (
            "clear",
            *drawing,
            "class-1",
            "opacity",
            "outline",
            "doubt",
            "threshold",
        ):  # in the order of the tab key
            page.press("Tab", code=9)
            assert page.run("document.activeElement.id || document.activeElement.dataset.tool") == name
        page.press("ArrowRight", code=39)
        level = page.run("document.getElementById('threshold').valueAsNumber")
        assert level > 0.4
        bare = predictor.probabilities(pictures[-1])[..., 0] >= np.float32(level)
        wanted = int((predictor.postprocess(bare.astype(np.uint8)) == 1).sum())
        page.wait(f"{area} == {wanted}")
        assert page.run("document.getElementById('value').textContent") == f"{level:.3f}"
        page.press("Tab", code=9)
        page.press("Enter", code=13, text="\r")
        page.wait(f"{area} == {own}")
        copy = "new OffscreenCanvas(131, 97).getContext('2d')"  # browsers complain of canvases that are read often
        drawn = (
            f"(pen => {{ pen.drawImage(document.getElementById('overlay'), 0, 0); return [...pen.getImageData(0, 0, 131, 97)"
            f".data].filter((value, at) => at % 4 == 3 && value).length }})({copy})"
        )
        assert page.run(drawn) == own
        page.run("document.getElementById('class-1').click()")
        assert page.run(drawn) == 0
        page.run("document.getElementById('clear').click()")
        assert page.run("document.getElementById('work').hidden") is True
        check_quiet(page, model)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["unet", "mslkseg", "condseg"])
def test_networks_give_the_masks_of_predict(method: str, pictures: list[Path], tmp_path: Path) -> None:
    network = randomize_norms(tiny(method)).eval()
    model = tmp_path / method / "model.safetensors"
    drawn = Artefact(network, InputSpec(size=(64, 64), fit="letterbox", intensity="zscore"), ClassTable())
    probabilities = [Predictor(drawn, "cpu").probabilities(path).ravel() for path in pictures]
    # Random networks mark all or nothing; by the middle of their probabilities they mark half.
    save(model, replace(drawn, threshold=float(np.median(np.concatenate(probabilities)))))
    delineate.export(model, format="html", out=tmp_path / f"{method}.html", cases=2)
    expected = [read_mask(path) for path in predicted(model, pictures, tmp_path / "masks")]
    with tab(tmp_path) as page:
        opened(page, model)
        page.choose("#files", *pictures)
        page.wait(FINISHED)
        archive = page.saved(
            lambda: page.run("document.getElementById('save-all').click()"), tmp_path / "all", "masks.zip"
        )
        check_quiet(page, model)
    assert 0.3 < np.concatenate([mask.ravel() > 0 for mask in expected]).mean() < 0.7
    with zipfile.ZipFile(archive) as files:
        files.extractall(tmp_path / "unpacked")
    for path, mask in zip(pictures, expected, strict=True):
        found = read_mask(tmp_path / "unpacked" / expected_name(path))
        # Many of their pixels lie near the threshold, where rounding decides; those of trained networks do not.
        assert mean_dice((found > 0).astype(np.uint8), (mask > 0).astype(np.uint8), 2) >= 0.999
