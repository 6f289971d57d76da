from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from delineate.nn.linear_cross_attention import LinearCrossAttention


def test_equals_the_formula_head_by_head() -> None:
    torch.manual_seed(0)
    attention = LinearCrossAttention(6, heads=2).double()
    torch.nn.init.uniform_(attention.temperature, 0.5, 2)
    x, context = torch.randn(2, 6, 4, 5).double(), torch.randn(2, 6, 3, 7).double()
    query = attention.query(x).flatten(2).transpose(1, 2)
    key, value = (part.flatten(2).transpose(1, 2) for part in attention.key_value(context).chunk(2, 1))
    found = attention(x, context)
    for sample in range(2):
        for head in range(2):
            own = slice(3 * head, 3 * head + 3)
            k, v = (F.normalize(part[sample, :, own], dim=0) for part in (key, value))
            among = (k.T @ v * attention.temperature[head]).softmax(0)
            wanted = (query[sample, :, own] @ among).T.reshape(3, 4, 5)
            torch.testing.assert_close(found[sample, own], wanted, atol=1e-6, rtol=1e-6)


def test_an_enlarged_context_says_the_same() -> None:
    attention = LinearCrossAttention(8, heads=4)
    x, context = torch.randn(1, 8, 5, 5), torch.randn(1, 8, 6, 6)
    twice = F.interpolate(context, scale_factor=2.0, mode="nearest")
    torch.testing.assert_close(attention(x, twice), attention(x, context), atol=1e-5, rtol=1e-5)


def test_refuses_heads_that_do_not_divide() -> None:
    with pytest.raises(ValueError, match="10 channels cannot be divided among 4 heads"):
        LinearCrossAttention(10, heads=4)
