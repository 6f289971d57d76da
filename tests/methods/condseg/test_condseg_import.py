"""The authors' state dicts: recognized whole, and refused by name when something is wrong."""

from __future__ import annotations

import pytest
import torch

from delineate.artefact.foreign import import_checkpoint
from delineate.artefact.format import load
from delineate.common.errors import ArtefactError
from delineate.methods.condseg.authors_checkpoint import read
from oracles.condseg_literal import LiteralConDSeg, LiteralStageOne


@pytest.fixture(scope="module")
def second():
    torch.manual_seed(0)
    return LiteralConDSeg().eval()


@pytest.fixture(scope="module")
def first():
    torch.manual_seed(0)
    return LiteralStageOne().eval()


@torch.no_grad()
def test_stage_two(second):
    model = read(second.state_dict())
    assert (model.channels, model.size, model.complete) == ("bgr", (256, 256), True)
    assert model.method.options.normalize == "none"
    image = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(model.method.eval()(image), second(image)[0], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_file_becomes_an_artefact(second, tmp_path):
    torch.save(second.state_dict(), tmp_path / "condseg.pth")
    imported = import_checkpoint("condseg", tmp_path / "condseg.pth", tmp_path / "model")
    artefact = load(imported.path)
    assert artefact.spec.channels == "bgr"
    assert "stage II" in imported.description
    image = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(artefact.method.eval()(image), second(image)[0], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_stage_one_is_incomplete(first):
    model = read(first.state_dict())
    assert not model.complete
    image = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(model.method.eval().encoder_logits(image), first(image), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "name",
    [
        "layer1.1.0.downsample.0.weight",
        "dconv2.c3.0.conv.0.weight",
        "decouple_layer.cbr_uc.1.conv.1.running_mean",
        "preprocess_fg1.preprocess.conv_0.conv.0.weight",
        "aux_head.branch_bg.8.conv.0.weight",
        "cdfa1.attn_fg.bias",
        "decoder_large.sa.conv1.weight",
        "output_block.c3.bias",
    ],
)
def test_a_missing_parameter_is_named(second, name):
    state = dict(second.state_dict())
    del state[name]
    with pytest.raises(ArtefactError, match=f"'{name}' is missing"):
        read(state)


def test_a_parameter_left_over_is_named(second, first):
    with pytest.raises(ArtefactError, match=r"'layer4\.0\.conv1\.weight' is left over"):
        read({**second.state_dict(), "layer4.0.conv1.weight": torch.zeros(1)})
    with pytest.raises(ArtefactError, match=r"'head\.conv5\.bias' is left over"):
        read({**first.state_dict(), "head.conv5.bias": torch.zeros(1)})


def test_a_misshapen_parameter_is_named(second):
    state = {**second.state_dict(), "cdfa2.attn_bg.weight": torch.zeros(81, 128)}
    with pytest.raises(ArtefactError, match=r"'cdfa2\.attn_bg\.weight' has shape \(81, 128\), expected \(324, 128\)"):
        read(state)


def test_another_network_is_refused():
    with pytest.raises(ArtefactError, match="not a ConDSeg checkpoint"):
        read({"encoder.conv.weight": torch.zeros(1)})


def test_step_counters_may_be_absent(second):
    state = {name: value for name, value in second.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert read(state).complete
