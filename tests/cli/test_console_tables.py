"""No number of a table is cut, however narrow the console."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from delineate.cli.tables import print_table

NUMBERS = st.lists(
    st.sampled_from(["–", "0.8124", "0.7903 … 0.8321", "12345.6", "< 0.001", "0.912 [0.903, 0.921]"]), min_size=1
)


def printed(width: int, *args, **options) -> str:
    stream = io.StringIO()
    print_table(Console(file=stream, width=width, markup=False), *args, **options)
    return stream.getvalue()


@pytest.mark.parametrize("width", [60, 80, 200])
@settings(max_examples=40, deadline=None)
@given(numbers=NUMBERS, name=st.text("abcdefgh/-_. ", min_size=1, max_size=90), words=st.integers(1, 2))
def test_every_number_is_there_and_no_line_is_too_long(width: int, numbers: list[str], name: str, words: int):
    head = ["model"] * words + [f"HD95 (pooled) column {at}" for at in range(len(numbers))]
    text = printed(width, head, [[name] * words + numbers], words=words, title="of all")
    assert max(map(len, text.splitlines())) <= width
    found = re.findall(r"[│┃] +([^│┃]*?) +(?=[│┃])", text)
    for number in set(numbers):
        assert found.count(number) >= numbers.count(number)
    assert "…" not in text.replace("0.7903 … 0.8321", ""), "nothing is shortened"


def test_what_does_not_fit_comes_below_with_its_names():
    text = printed(60, ["model", *"abcdefgh"], [["unet", *["0.1234 … 0.5678"] * 8]], title="Scores")
    assert text.count("unet") == 4
    assert text.count("0.1234 … 0.5678") == 8
    assert text.count("Scores") == 1
    wide = printed(200, ["model", *"abcdefgh"], [["unet", *["0.1234 … 0.5678"] * 8]])
    assert wide.count("unet") == 1
