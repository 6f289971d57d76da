"""Writes the parts of `docs/` that the code itself knows: the command line, recipe keys, options, metrics, formats.

python docs/generate.py            rewrite them
python docs/generate.py --check    exit 1 if they are out of date (a test runs this)
"""

from __future__ import annotations

import sys
from pathlib import Path

from generator.blocks import filled


def main() -> int:
    stale = 0
    for page in sorted(Path(__file__).parent.rglob("*.md")):
        old = page.read_text(encoding="utf-8")
        new = filled(old)
        if new == old:
            continue
        stale += 1
        if "--check" in sys.argv:
            print(f"out of date: {page.name}", file=sys.stderr)
        else:
            page.write_text(new, encoding="utf-8")
    return int("--check" in sys.argv and stale > 0)


if __name__ == "__main__":
    sys.exit(main())
