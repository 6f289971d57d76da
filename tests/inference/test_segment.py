"""The worker: images in, class maps out, with no file in between; each image fails alone."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from delineate.artefact.format import Artefact, save
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.data.formats.images import write_image
from delineate.inference.executors import Serial
from delineate.inference.files import predict_files
from delineate.inference.inputs import find_inputs
from delineate.inference.overlay_references import References
from delineate.inference.parts import PredictionContext
from delineate.inference.plan import make_plan
from delineate.inference.predictor import Predictor, load
from delineate.inference.segment import Failure, Output, Worker
from delineate.inference.segmenter import Prepared
from delineate.inference.steps import FileSteps
from micro_method import brightness

THREE = ClassTable(names=("background", "a", "b"))


def make(classes: int = 1, **spec: object) -> Predictor:
    table = ClassTable() if classes == 1 else THREE
    return Predictor(Artefact(brightness(classes), InputSpec(size=(16, 16), **spec), table), "cpu")


def pictures(count: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (20 + at, 31 - at, 3)).astype(np.uint8) for at in range(count)]


@pytest.mark.parametrize("fit", ["stretch", "letterbox", "patch"])
@pytest.mark.parametrize("classes", [1, 3])
def test_the_three_steps_are_what_the_predictor_does(fit: str, classes: int):
    """Also through pickle between the steps, as other processes get them."""
    predictor = make(classes, fit=fit)
    worker = Worker(predictor, batch_size=3, maps=True)
    images = pictures(worker.images)
    prepared = [worker.prepare(image) for image in images]
    outputs = worker.forward(pickle.loads(pickle.dumps(prepared)))
    for image, output in zip(images, pickle.loads(pickle.dumps(outputs)), strict=True):
        assert isinstance(output, Output)
        assert (output.facts.height, output.facts.width) == image.shape[:2]
        assert np.array_equal(worker.classes(output), predictor.predict(image))
        assert np.array_equal(np.stack(list(worker.planes(output)), -1), predictor.probabilities(image))


def test_the_worker_itself_can_be_sent(micro: str, tmp_path: Path):
    save(tmp_path / "model.safetensors", make().artefact)
    worker = Worker(load(tmp_path / "model.safetensors", "cpu"))
    twin = pickle.loads(pickle.dumps(worker))
    image = pictures(1)[0]
    assert np.array_equal(twin.predictor.predict(image), worker.predictor.predict(image))


def test_shares_of_a_plan_can_be_done_elsewhere(tmp_path: Path, micro: str):
    """What a pool of processes or a cluster does: steps and a share of the items are sent, and done there by `Serial`."""
    save(tmp_path / "model.safetensors", make().artefact)
    for number, image in enumerate(pictures(5)):
        write_image(tmp_path / "in" / f"{number}.png", image)
    predict_files(load(tmp_path / "model.safetensors", "cpu"), [tmp_path / "in"], tmp_path / "here", overlay=True)
    plan = make_plan(find_inputs([tmp_path / "in"]), tmp_path / "there", ClassTable(), overlay=True)
    steps = FileSteps(
        PredictionContext(Worker(load(tmp_path / "model.safetensors", "cpu"), 1), plan.folder, References(), 10**6)
    )
    done = []
    for share in (plan.items[:2], plan.items[2:]):
        items, sent = pickle.loads(pickle.dumps((share, steps)))
        done += Serial().run(items, sent)
    assert [result.name for result in pickle.loads(pickle.dumps(done))] == list("01234")
    for item in plan.items:
        for path in item.files:
            assert path.read_bytes() == (tmp_path / "here" / path.relative_to(plan.folder)).read_bytes()


def test_tiles_are_settled_at_once_unless_maps_are_asked_for():
    image = pictures(1)[0]
    for maps, axes in ((False, 2), (True, 3)):
        worker = Worker(make(3, fit="patch"), maps=maps)
        (output,) = worker.forward([worker.prepare(image)])  # type: ignore[list-item]
        assert isinstance(output, Output)
        assert output.values.ndim == axes


@pytest.mark.parametrize("fit", ["stretch", "patch"])
def test_what_is_not_finite_fails_alone(fit: str):
    class Picky(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            result = image.mean(1, keepdim=True)
            result[(image > 0.99).flatten(1).any(1)] = torch.nan
            return result

    predictor = make(fit=fit)
    predictor.__dict__["network"] = Picky()
    worker = Worker(predictor, batch_size=3)
    images = [np.full((8, 8), value, np.uint8) for value in (10, 255, 30)]
    prepared = [worker.prepare(image) for image in images]
    batches = [prepared] if fit == "stretch" else [[one] for one in prepared]
    outputs = [one for batch in batches for one in worker.forward(batch)]  # type: ignore[arg-type]
    assert [isinstance(one, Output) for one in outputs] == [True, False, True]
    assert isinstance(outputs[1], Failure)
    assert outputs[1].kind == "not finite"
    assert outputs[1].line("x.png").startswith("x.png: the network's output is not finite")


def test_failures_are_items_like_others(monkeypatch: pytest.MonkeyPatch):
    worker = Worker(make())
    two = worker.prepare(np.zeros((8, 8, 2), np.uint8))
    assert isinstance(two, Failure)
    assert two.line("x") == "x: images with 2 channels are neither gray, RGB nor RGBA, and this model takes rgb images"

    def full(*_: object) -> None:
        raise MemoryError("Unable to allocate 9 GiB\nmore")

    monkeypatch.setattr(Predictor, "prepare", full)
    large = worker.prepare(np.zeros((8, 8), np.uint8))
    assert isinstance(large, Failure)
    assert large.line("x.png") == "x.png does not fit into memory (Unable to allocate 9 GiB)"
    assert worker.forward([]) == []


def test_several_threads_share_one_predictor():
    """Once the network is made, a predictor is only read: a server's threads may share it."""
    predictor = make(3)
    _ = predictor.network
    images = pictures(8) * 4
    alone = [predictor.predict(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        shared = list(pool.map(predictor.predict, images))
    assert all(np.array_equal(one, other) for one, other in zip(alone, shared, strict=True))


def test_prepared_images_hold_nothing_of_the_native_one():
    worker = Worker(make())
    ready = worker.prepare(np.zeros((500, 500, 3), np.uint8))
    assert isinstance(ready, Prepared)
    assert ready.input.base is None
    assert ready.input.nbytes == 16 * 16 * 3 * 4
