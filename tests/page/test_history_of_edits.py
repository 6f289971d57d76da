"""Undo and redo of the pages, in Node: any order of changes comes back as it was, and what is kept has a bound."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "delineate" / "page" / "source" / "edit.js"
NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")


def ran(script: str) -> Any:
    """What a script prints, which uses `edit.js`."""
    assert NODE is not None
    whole = f"import {{ History, forget }} from {json.dumps(SOURCE.as_uri())};\n{script}"
    done = subprocess.run([NODE, "--input-type=module"], input=whole, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


FUZZ = """
let seed = SEED;
const random = (n) => (seed = (seed * 48271) % 2147483647) % n;
const planes = [0, 1].map(() => ({ data: new Uint8Array(300 * 200), width: 300, height: 200 }));
const all = () => planes.map(({ data }) => Buffer.from(data).toString("base64")).join();
const history = new History();
const states = [all()];
let at = 0, wrong = 0, made = 0;
for (let round = 0; round < 300; round++) {
  const what = random(5);
  if (what < 2) {
    const slice = random(2), plane = planes[slice];
    const left = random(290), top = random(190), right = left + 1 + random(300 - left), bottom = top + 1 + random(200 - top);
    history.begin(slice, plane);
    history.keep([left, top, right, bottom]);
    const value = random(3);
    for (let y = top; y < bottom; y++) for (let x = left; x < right; x++) plane.data[y * 300 + x] = value;
    if (history.end()) { states.length = at + 1; states.push(all()); at += 1; made += 1; }
  } else {
    const back = what < 4;
    const moved = history.step(back, (slice) => planes[slice]);
    const can = back ? at > 0 : at < states.length - 1;
    if (!!moved !== can) wrong += 1;
    if (moved) at += back ? -1 : 1;
  }
  if (all() !== states[at]) wrong += 1;
}
console.log(JSON.stringify({ wrong, made }));
"""


@pytest.mark.parametrize("seed", [1, 77, 4242])
def test_changes_come_back_as_they_were(seed: int) -> None:
    found = ran(FUZZ.replace("SEED", str(seed)))
    assert found["wrong"] == 0
    assert found["made"] > 60


BOUND = """
const [one, other] = [new History(), new History()];
const planes = [one, other].map(() => ({ data: new Uint8Array(4000 * 3000), width: 4000, height: 3000 }));
const change = (history, plane, value) => {
  history.begin(0, plane);
  history.keep([0, 0, 4000, 3000]);
  plane.data.fill(value);
  history.end();
  forget([one, other]);
};
for (let value = 1; value <= 6; value++) { change(one, planes[0], value); change(other, planes[1], value); }
const bytes = [one, other].flatMap(({ done, undone }) => [...done, ...undone]).flatMap(({ parts }) => parts)
  .reduce((sum, { rows }) => sum + rows.length, 0);
const kept = [one.done.length, other.done.length];
while (one.step(true, () => planes[0])) {}
const oldest = planes[0].data[0];
one.step(false, () => planes[0]);
const huge = { data: new Uint8Array(1.2e8), width: 12000, height: 10000 };
one.begin(0, huge);
one.keep([0, 0, 12000, 10000]);
huge.data.fill(1);
one.end();
forget([one, other]);
console.log(JSON.stringify({ bytes, kept, oldest, again: planes[0].data[0], last: one.done.length, rest: other.done.length }));
"""


def test_the_oldest_changes_of_all_images_go_first() -> None:
    found = ran(BOUND)
    assert (
        found["bytes"] == 96_000_000
    )  # eight whole pictures of 12 million pixels: a ninth would pass 100 million bytes
    assert found["kept"] == [4, 4]
    assert (found["oldest"], found["again"]) == (2, 3)
    assert (found["last"], found["rest"]) == (1, 0), "the last change can be taken back, however large it is"
