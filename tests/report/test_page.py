"""Markup, charts and scores: the parts that pages are made of."""

from __future__ import annotations

import math
import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from markup import check_document, text_of

from delineate.evaluation.statistics.ranks import rank_models
from delineate.report.charts.axes import COLORS, ticks
from delineate.report.charts.forest import WIDTH, Estimate, forest
from delineate.report.charts.plots import Mark, Series, histogram, line_chart
from delineate.report.html.document import page
from delineate.report.html.elements import Html, element, table
from delineate.report.parts.rank_table import rank_table

HOSTILE = "<script>alert('x')</script> & \"quoted\""


def test_children_and_attributes_are_escaped():
    made = element("p", HOSTILE, element("b", "bold"), None, title=HOSTILE, hidden=True, class_=None)
    assert made.count("<") == 4
    assert "<b>bold</b>" in made
    assert ' title="&lt;script&gt;' in made
    assert " hidden>" in made
    assert "class" not in made


@given(st.text())
def test_any_text_survives_a_page(words):
    document = page("title", "kind", element("p", words, title=words))
    check_document(document)
    assert "".join(words.split()) in "".join(text_of(document).split())


def test_table_escapes_cells():
    assert "<script" not in table([HOSTILE], [[HOSTILE]], caption=HOSTILE)


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_few_and_inside(low, width):
    high = low + width
    if high - low < 1e-9 * max(1, abs(low)):  # no room between two numbers of this size
        return
    marks = ticks(low, high)
    assert 1 <= len(marks) <= 12
    slack = 1e-6 * max(abs(low), abs(high), 1)
    assert all(low - slack <= mark <= high + slack for mark in marks)


def test_chart_draws_finite_points_only():
    chart = line_chart(
        [Series(HOSTILE, [(0, 1.0), (1, math.nan), (2, math.inf), (3, 2.0)]), Series("b", [])],
        title=HOSTILE,
        x_label="step",
        marks=[Mark(3, 2.0, "best")],
    )
    check_document(chart, whole=False)
    assert chart.count("<circle") == 2 + 1
    assert not re.search(r"\b(nan|inf)\b", chart)


def test_chart_of_one_point_or_none():
    assert "<circle" in line_chart([Series("a", [(5, 0.0)])], title="t", x_label="x")
    assert "No finite values" in line_chart([Series("a", [(5, math.nan)])], title="t", x_label="x")


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_histogram_counts_every_value_once(values):
    chart = histogram(values, title="t", x_label="Dice")
    assert sum(int(count) for count in re.findall(r"<title>[^<]* to [^<]*: (\d+)</title>", chart)) == len(values)


def test_histogram_without_values_says_so():
    assert "No values" in histogram([], title="t", x_label="Dice")


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(0, 1e3)), max_size=5), st.booleans())
def test_forest_draws_inside_its_column(rows, ruled):
    estimates = [Estimate("a", mean, mean - reach, mean + reach) for mean, reach in rows]
    lonely = [Estimate(HOSTILE, 0.5), Estimate("none", None)]
    made = forest({"": estimates, HOSTILE: lonely}, title=HOSTILE, rule=(0.0, "zero") if ruled else None)
    check_document(made, whole=False)
    assert made.count("<circle") == len(rows) + 1
    assert made.count("no interval</small>") == 2
    drawn = [float(x) for x in re.findall(r' (?:x1|x2|cx)="([^"]*)"', made)]
    assert all(0 <= x <= WIDTH for x in drawn)


def test_forest_row_tells_its_numbers():
    made = forest({"": [Estimate("a", 0.81234, 0.7, 0.9, ("n 7",))]}, title="Dice", head=["n"])
    assert re.search(r"0\.812.*0\.700 to 0\.900.*n 7", made)


def test_ranks_tell_how_firm_they_are():
    random = np.random.default_rng(0)
    scores = {
        "good": random.normal(0.8, 0.1, 30),
        "poor": random.normal(0.3, 0.1, 30),
        HOSTILE: random.normal(0.3, 0.1, 30),
    }
    words = text_of(page("t", "k", rank_table(rank_models(scores), "Dice")))
    assert words.index("good") < words.index("poor")
    assert HOSTILE in words
    assert "100 %" in words
    few = {name: values[:5] for name, values in scores.items()}
    assert "place 1" not in rank_table(rank_models(few), "Dice")


def test_html_is_text():
    assert isinstance(element("p"), Html)
    assert element("br") == "<br>"


def test_every_series_has_a_color_of_its_own_in_both_themes():
    document = page("title", "kind")
    names = [f"s{at}" for at in range(COLORS)]
    for name in names:
        for rule in (f".line.{name} {{", f".bar.{name} {{", f".cloud.{name} {{"):
            assert rule in document, rule
    colors = re.findall(r"--(s\d+): (#\w+);", document)
    assert [name for name, _ in colors] == names * 2
    assert len({color for _, color in colors}) == 2 * COLORS
    dashes = re.findall(r"\.line\.s\d+ \{ [^}]*\}", document)
    assert len({rule.partition("dasharray")[2] for rule in dashes}) == COLORS
