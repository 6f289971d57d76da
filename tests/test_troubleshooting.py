"""The page of troubleshooting quotes messages that are there: each quoted piece stands in a text of the code."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "troubleshooting.md"
NOT_OURS = {"CUDA out of memory", "torch.cuda.is_available()", "False", "No space left on device"}
"""Messages of PyTorch and of the system."""
PLACEHOLDER = "\0"


def text_of(node: ast.AST) -> str | None:
    """A string literal; of an f-string with a placeholder for each value."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or PLACEHOLDER for part in node.values)
    return None


@cache
def texts_of_the_code() -> str:
    nodes = (node for path in (ROOT / "src").rglob("*.py") for node in ast.walk(ast.parse(path.read_text("utf-8"))))
    return "\n".join(text for node in nodes if (text := text_of(node)))


def quoted() -> list[str]:
    """Pieces between dots and words in capitals of what stands in code style in the bold lines."""
    bold = re.findall(r"^\*\*(.+?)\*\* — ", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    messages = [message for line in bold for message in re.findall(r"`([^`]+)`", line) if message not in NOT_OURS]
    pieces = [piece.strip() for message in messages for piece in re.split(r"…|\b[A-Z]+\b", message)]
    return sorted({piece for piece in pieces if len(piece) > 2})


def is_told(piece: str) -> bool:
    return piece in texts_of_the_code()


def test_the_page_quotes_messages():
    assert len(quoted()) > 20
    assert not is_told("a message that nobody gives")


@pytest.mark.parametrize("piece", quoted())
def test_each_message_is_given_somewhere(piece: str):
    assert is_told(piece), f"no text of the code holds '{piece}', which {PAGE.name} quotes"
