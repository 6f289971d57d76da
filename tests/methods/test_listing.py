"""The table of methods says what building them says."""

from __future__ import annotations

import pytest

from delineate.methods import registry
from delineate.methods.listing import list_methods


@pytest.fixture(scope="module")
def rows():
    return {row.name: row for row in list_methods()}


def test_every_method_is_listed(rows):
    assert list(rows) == registry.names()
    assert {"condseg", "unet"} <= set(rows)


def test_every_method_has_both_presets_and_a_paper(rows):
    for row in rows.values():
        assert {"paper", "tiny"} <= set(row.presets) == set(row.parameters)
        assert row.paper
        assert row.stages


def test_parameters_are_those_of_the_built_network(rows):
    for row in rows.values():
        built = registry.create(row.name, preset="tiny")
        assert row.parameters["tiny"] == sum(parameter.numel() for parameter in built.parameters())
        assert row.stages == tuple(stage.name for stage in built.stages())


def test_condseg_has_the_papers_size(rows):
    """45.55 million in the paper, which is stage II; the first stage's head comes on top."""
    assert rows["condseg"].parameters["paper"] == pytest.approx(45.55e6, rel=0.03)
