"""Every dense method exports: whole, and its network alone at the sizes that it declares. Minutes: `make test-more` runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

import delineate
from delineate.artefact.format import Artefact, save
from delineate.common.errors import DelineateError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.methods import registry
from delineate.methods.testing.examples import randomize_norms, tiny

pytestmark = pytest.mark.more
DENSE = [name for name in registry.names() if registry.method_class(name).kind == "dense"]
MOST_NODES = {"mfel": 5000}
USUAL_NODES = 3000


@pytest.mark.parametrize("graph", ["whole", "network"])
@pytest.mark.parametrize("name", DENSE)
def test_a_method_exports_as_it_declares(name: str, graph: str, tmp_path: Path) -> None:
    info, model = registry.method_class(name).info, tmp_path / "model.safetensors"
    size = max(64, info.min_size, info.export_least)
    save(model, Artefact(randomize_norms(tiny(name)).eval(), InputSpec(size=(size, size)), ClassTable()))
    if not info.exportable:
        with pytest.raises(DelineateError, match=f"'{name}' cannot be exported"):
            delineate.export(model, out=tmp_path / "made.onnx", graph=graph)
        return
    made = delineate.export(model, out=tmp_path / "made.onnx", graph=graph, cases=2)
    assert made.parity.network_difference <= 1e-4
    assert made.parity.dice >= 0.999
    assert made.facts.nodes <= MOST_NODES.get(name, USUAL_NODES)
    if graph == "whole":
        assert len(made.parity.sizes) == 8
        return
    assert (made.facts.height[0] < made.facts.height[1]) == (info.export_form != "fixed")
    assert made.facts.multiple == (info.export_multiple if info.export_form == "multiple" else info.divisor)
