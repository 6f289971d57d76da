from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delineate.common.errors import RecipeError
from delineate.data.doctor.fingerprint import Fingerprint
from delineate.methods.contract import Budget
from delineate.methods.resenc.planner import Planner, stages_of

SEEN = Fingerprint(
    cases=400,
    empty=0,
    median_size=(320, 384),
    smallest=(300, 380),
    largest=(330, 390),
    aspects=(1.18, 1.22),
    spacing=None,
    bits=8,
    channels="gray",
    intensity="range",
    mean=(0.3,),
    std=(0.2,),
    sampled=50,
    classes=("background", "foreground"),
    class_share=(0.9, 0.1),
    foreground=(0.01, 0.1, 0.2),
    thickness=0.1,
)
MIB = 2**20


def cost(options: Mapping[str, Any], size: tuple[int, int]) -> float:
    """Grows with pixels, widths and blocks, as the true ones do."""
    return size[0] * size[1] * options["widths"][0] * sum(options["blocks"])


def limits(memory: float = 8192, *, flops: float | None = None, longest: int = 512) -> Budget:
    """`memory` in MiB."""

    def bytes_of(options: Mapping[str, Any], batch: int, size: tuple[int, int]) -> int:
        return round(batch * cost(options, size)) + MIB

    return Budget(round(memory * MIB), flops, longest, bytes_of, cost)


def plan(seen: Fingerprint = SEEN, budget: Budget | None = None, **stated: Mapping[str, Any]) -> dict[str, Any]:
    return {each.key: each.value for each in Planner(seen, budget or limits(), stated).decide()}


def test_a_whole_plan() -> None:
    assert plan() == {
        "input.intensity": "range",
        "method.mean": [0.3],
        "method.std": [0.2],
        "input.fit": "stretch",
        "input.size": [320, 384],
        "method.widths": [32, 64, 128, 256, 512, 512, 512],
        "method.blocks": [1, 3, 4, 6, 6, 6, 6],
        "engine.batch_size": 20,  # 5 % of 400 images
    }


@pytest.mark.parametrize(("side", "stages"), [(8, 3), (31, 3), (32, 4), (128, 6), (320, 7), (512, 8), (4000, 8)])
def test_halved_while_four_pixels_are_left(side: int, stages: int) -> None:
    assert stages_of(side) == stages


@pytest.mark.parametrize(
    ("changes", "fit"),
    [
        ({"aspects": (0.9, 1.5)}, "letterbox"),
        ({"median_size": (960, 999), "thickness": 8 / 999}, "patch"),
        ({"median_size": (960, 999), "thickness": 12 / 999}, "stretch"),
        ({"median_size": (960, 999), "thickness": None}, "stretch"),
        ({"thickness": 2 / 384}, "stretch"),  # thin, but nothing is shrunk
    ],
)
def test_windows_only_where_shrinking_loses_the_thinnest_class(changes: dict[str, Any], fit: str) -> None:
    assert plan(replace(SEEN, **changes))["input.fit"] == fit


def test_the_batch_follows_memory_and_a_share_of_the_data() -> None:
    each = cost({"widths": [32], "blocks": [1, 3, 4, 6, 6, 6, 6]}, (320, 384)) / MIB
    assert plan(budget=limits((7 * each + 2) / 0.75))["engine.batch_size"] == 7
    assert plan(replace(SEEN, cases=60))["engine.batch_size"] == 3
    assert plan(replace(SEEN, cases=5))["engine.batch_size"] == 2


def test_windows_count_the_pixels_of_the_whole_images() -> None:
    large = replace(SEEN, cases=40, median_size=(1024, 1024), thickness=0.001)
    assert plan(large)["input.fit"] == "patch"
    assert plan(large)["engine.batch_size"] == 8  # 5 % of 40 images of 4 patches each


def test_little_memory_makes_images_smaller_and_little_arithmetic_networks_narrower() -> None:
    small = plan(budget=limits(100))
    assert small["input.size"][1] < 384
    assert small["method.widths"][0] == 32
    light = plan(budget=limits(flops=cost({"widths": [16], "blocks": [12]}, (320, 384))))
    assert light["input.size"] == [320, 384]
    assert light["method.widths"][:2] == [16, 32]
    assert light["method.blocks"] == [1, 1, 2, 2, 2, 2, 2]


def test_what_is_stated_is_not_decided_and_the_rest_agrees_with_it() -> None:
    found = plan(input={"size": 100, "fit": "letterbox"}, engine={"batch_size": 6}, method={"mean": [0], "std": [1]})
    assert found.keys() == {"input.intensity", "method.widths", "method.blocks"}
    assert len(found["method.widths"]) == stages_of(100)
    assert plan(method={"widths": [8, 16, 32]})["method.blocks"] == [1, 3, 4]
    assert plan(method={"blocks": [2, 2, 2, 2]})["method.widths"] == [32, 64, 128, 256]


def test_nothing_fits() -> None:
    with pytest.raises(RecipeError, match=r"no form of resenc fits [\d.e-]+ GiB; raise plan\.memory_gib"):
        plan(budget=limits(1))
    with pytest.raises(RecipeError, match="at the given size 512"):
        plan(budget=limits(200), input={"size": 512})


def test_every_decision_says_why() -> None:
    decisions = Planner(SEEN, limits(), {}).decide()
    assert all(len(each.why) > 20 for each in decisions)
    reasons = {each.key: each.why for each in decisions}
    assert "320×384" in reasons["input.size"]
    assert "5×6" in reasons["method.widths"]


@settings(max_examples=60)
@given(
    height=st.integers(32, 4000),
    width=st.integers(32, 4000),
    cases=st.integers(1, 3000),
    memory=st.integers(200, 100_000),
    longest=st.integers(64, 1024),
)
def test_a_plan_keeps_its_limits(height: int, width: int, cases: int, memory: int, longest: int) -> None:
    ratio = max(height, width) / min(height, width)
    seen = replace(SEEN, median_size=(height, width), cases=cases)
    budget = limits(memory, longest=longest)
    try:
        found = plan(seen, budget)
    except RecipeError:
        assert memory < 400 or ratio * 32 > longest  # little memory, or a frame narrower than the network takes
        return
    size, step = tuple(found["input.size"]), 2 ** (len(found["method.widths"]) - 1)
    assert size[0] % step == size[1] % step == 0
    assert max(size) <= max(longest, step)
    assert len(found["method.blocks"]) == len(found["method.widths"])
    batch = found["engine.batch_size"]
    assert batch >= 2
    options = {"widths": found["method.widths"], "blocks": found["method.blocks"]}
    assert budget.training_bytes(options, batch, size) <= 0.75 * budget.memory
    assert batch == 2 or batch <= 0.05 * cases * max(1, height * width / (size[0] * size[1]))
    assert plan(seen, budget) == found
