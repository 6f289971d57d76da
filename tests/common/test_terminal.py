"""Consoles of other encodings, and text files that do not depend on the system's."""

from __future__ import annotations

import ast
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from delineate.common.terminal import make_printable, one_line

SOURCE = Path(__file__).parents[2] / "src"


@pytest.mark.parametrize("coding", ["ascii", "cp1252", "latin-1", "utf-8"])
def test_nothing_that_is_printed_fails(coding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(content, coding, errors="strict"))
    make_printable()
    print("32×32 → Dice 0.5 ± 0.1 … ★ α \U0001f600 \udcff")
    sys.stdout.flush()
    written = content.getvalue().decode(coding)
    if coding == "ascii":
        assert written == "32x32 -> Dice 0.5 +- 0.1 ... * \\u03b1 \\U0001f600 \\udcff\n"
    assert written.endswith("\\udcff\n")


def test_messages_are_one_line_that_steers_no_terminal() -> None:
    assert one_line("a\n b\x1b[31mred\u202e") == "a b\\x1b[31mred\\u202e"


def _text_files(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            words = {keyword.arg for keyword in node.keywords}
            texts = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            reads = node.func.attr == "read_text" or (node.func.attr == "write_text" and len(node.args) == 1)
            # Of bytes ("b") or of an archive ("r:*") is no text.
            binary = any(":" in mode or "b" in mode or len(mode) > 3 for mode in texts)
            opens = node.func.attr == "open" and bool(texts) and not binary
            if (reads or opens) and "encoding" not in words:
                yield node


def test_every_text_file_names_its_encoding() -> None:
    faults = [
        f"{path.name}:{call.lineno}"
        for path in SOURCE.rglob("*.py")
        for call in _text_files(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert faults == []
