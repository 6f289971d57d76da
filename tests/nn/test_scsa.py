"""SCSA's attentions against the released modules (golden/make_scsa.py says how the arrays were made)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from delineate.nn.scsa import ChannelSelfAttention, SharedSpatialAttention

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "scsa.npz")
CASES = {"single": (1, 7), "heads": (4, 7), "small": (2, 3)}
CONVS = ("local_dwc", "global_dwc_s", "global_dwc_m", "global_dwc_l")


def array(case: str, name: str) -> Tensor:
    return torch.from_numpy(GOLDEN[f"{case}/{name}"])


def modules(case: str) -> tuple[SharedSpatialAttention, ChannelSelfAttention]:
    """This project's modules with the released ones' weights."""
    heads, window = CASES[case]
    channels = array(case, "input").shape[1]
    spatial = SharedSpatialAttention(channels)
    state = {"norm_height": "norm_h", "norm_width": "norm_w"} | {f"convs.{i}": name for i, name in enumerate(CONVS)}
    spatial.load_state_dict(
        {f"{ours}.{kind}": array(case, f"{name}.{kind}") for ours, name in state.items() for kind in ("weight", "bias")}
    )
    channel = ChannelSelfAttention(channels, heads=heads, window=window)
    factors = {ours: array(case, f"{ours[0]}.weight").flatten() for ours in ("query", "key", "value")}
    channel.load_state_dict({f"norm.{kind}": array(case, f"norm.{kind}") for kind in ("weight", "bias")} | factors)
    return spatial, channel


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("case", CASES)
def test_equal_to_the_released_modules(case: str, memory: torch.memory_format) -> None:
    spatial, channel = modules(case)
    x = array(case, "input").contiguous(memory_format=memory)
    with torch.no_grad():
        between = spatial(x)
        torch.testing.assert_close(between, array(case, "spatial"), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(channel(between), array(case, "output"), atol=1e-5, rtol=1e-5)


def test_height_and_width_share_their_kernels_but_not_their_norms() -> None:
    spatial, _ = modules("single")
    x = array("single", "input")
    with torch.no_grad():
        height, width = spatial.gates(x)
        spatial.norm_height, spatial.norm_width = spatial.norm_width, spatial.norm_height
        other_width, other_height = spatial.gates(x.transpose(2, 3))
    torch.testing.assert_close(height, other_height.transpose(2, 3))
    torch.testing.assert_close(width, other_width.transpose(2, 3))


def test_the_window_never_exceeds_the_map() -> None:
    module = ChannelSelfAttention(8)
    x = torch.rand(2, 8, 2, 3)
    narrow = ChannelSelfAttention(8, window=2)
    narrow.load_state_dict(module.state_dict())
    assert torch.equal(module(x), narrow(x))


def test_channels_that_cannot_be_divided_are_refused() -> None:
    with pytest.raises(ValueError, match="10 channels cannot be divided among 4 kernels"):
        SharedSpatialAttention(10)
    with pytest.raises(ValueError, match="8 channels cannot be divided among 3 heads"):
        ChannelSelfAttention(8, heads=3)
