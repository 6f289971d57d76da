"""Files of labeling tools with anything in the place of anything: they are read or refused in one line, whatever is wrong."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from annotated_sets import HEIGHT, WIDTH, coco_object, labelme_shape, write_coco, write_images, write_labelme
from delineate.common.errors import DataError
from delineate.data.cases.census import inspect
from delineate.data.layouts.discover import discover

NAMES = [f"{letter}.png" for letter in "abcd"]
ODD = [
    None,
    0,
    -1,
    1e400,
    float("nan"),
    "",
    "x",
    [],
    {},
    [[]],
    [{}],
    True,
    2**70,
    "a/b",
    "..",
    1.5,
    {"size": [1], "counts": "~"},
]
RUNS = {"size": [HEIGHT, WIDTH], "counts": [100, 50, 618]}


def coco(path: Path) -> None:
    write_coco(path, NAMES, [coco_object(0), coco_object(1, 1, RUNS), coco_object(2)])


def labelme(path: Path) -> None:
    write_labelme(path, "a.png", [labelme_shape("p"), labelme_shape("q", [1, 1, 5, 5], "circle")])


def via(path: Path) -> None:
    where = {"name": "polygon", "all_points_x": [1, 9, 9], "all_points_y": [1, 1, 9]}
    region = {"shape_attributes": where, "region_attributes": {"class": "p"}}
    path.write_text(json.dumps({name: {"filename": name, "size": 1, "regions": [region]} for name in NAMES}))


def studio(path: Path) -> None:
    value = {"points": [[1, 1], [50, 1], [50, 50]], "polygonlabels": ["p"]}
    result = {"type": "polygonlabels", "value": value, "original_width": WIDTH, "original_height": HEIGHT}
    tasks = [
        {"id": at, "data": {"image": name}, "annotations": [{"result": [result]}]} for at, name in enumerate(NAMES)
    ]
    path.write_text(json.dumps(tasks))


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """All places in a JSON's content."""
    yield path
    inside = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in inside:
        yield from places(value, (*path, key))


def broken(content: Any, draw: random.Random) -> Any:
    """The content with something odd in one place, or without it."""
    *above, last = draw.choice([path for path in places(content) if path])
    holder = content
    for key in above:
        holder = holder[key]
    if isinstance(holder, dict) and draw.random() < 0.25:
        del holder[last]
    else:
        holder[last] = copy.deepcopy(draw.choice(ODD))
    return content


@pytest.mark.parametrize("write", [coco, labelme, via, studio], ids=lambda write: write.__name__)
def test_whatever_is_wrong_is_told_in_one_line(write: Callable[[Path], None], tmp_path: Path) -> None:
    write_images(tmp_path / "images", NAMES)
    path = tmp_path / "outlines.json"
    write(path)
    sound, told = path.read_text(), []
    inspect(discover(tmp_path))
    for seed in range(60):
        draw = random.Random(seed)
        content = broken(json.loads(sound), draw)
        path.write_text(json.dumps(broken(content, draw) if seed % 3 == 0 else content))
        try:
            inspect(discover(tmp_path))
        except DataError as error:
            told.append(str(error))
    assert len(told) > 20
    assert not any("\n" in line for line in told)
