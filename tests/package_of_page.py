"""A how-to page's files, installed as pip would: on the import path, with their entry points registered."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOW_TO = Path(__file__).parents[1] / "docs" / "how-to"


@contextmanager
def installed(page: str, root: Path) -> Iterator[Path]:
    """Write the files of `page` into `root` and put it on the path; whoever has looked for entry points must look anew."""
    text = (HOW_TO / page).read_text("utf-8")
    blocks = r"^(Added to )?`([\w./]+)`:\n\n```\w+\n(.*?)^```$"
    for added, name, content in re.findall(blocks, text, re.DOTALL | re.MULTILINE):
        (root / name).parent.mkdir(exist_ok=True)
        before = (root / name).read_text("utf-8") if added else ""
        (root / name).write_text(before + content, "utf-8")
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    package = project["name"].replace("-", "_")
    if (root / package).is_dir():
        (root / package / "__init__.py").touch()
    info = root / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = (
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in points.items())
        for group, points in project["entry-points"].items()
    )
    (info / "entry_points.txt").write_text("".join(groups))
    sys.path.insert(0, str(root))
    try:
        yield root
    finally:
        sys.path.remove(str(root))
        for module in [name for name in sys.modules if name.split(".")[0] == package]:
            del sys.modules[module]
