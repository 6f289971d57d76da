"""Makes the package `delineate_runtime` of `src/delineate`: the files that `delineate.runtime` needs, under the new name.

`delineate.runtime` itself becomes the package, and `delineate.X` becomes `delineate_runtime.X`. The files are found by their
imports; names of modules in texts count too, since tables of formats name them so. Imports for types alone do not count.
"""

from __future__ import annotations

import ast
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OLD, NEW = "delineate", "delineate_runtime"
FACE = f"{OLD}.runtime"
"""What becomes the package itself; all of it is taken."""
_DOTTED = re.compile(rf"\b{OLD}(?:\.\w+)+")


class CustomBuildHook(BuildHookInterface):
    """Puts the made package into wheel and source archive."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        ready = Path(self.root, NEW)  # in an unpacked source archive
        if not ready.is_dir():
            self._made = tempfile.TemporaryDirectory()
            ready = Path(self._made.name, NEW)
            write_package(Path(self.root).parent, ready)
        build_data["force_include"][str(ready)] = NEW
        if self.target_name == "sdist":
            for name in ("README.md", "hatch_build.py", "pyproject.toml"):
                build_data["force_include"][str(Path(self.root, name))] = name


def write_package(clone: Path, target: Path) -> None:
    """Write the package into the folder `target`. `clone`: the folder with `src` and `LICENSE`."""
    source = clone / "src"
    for module in closure(source):
        path = file_of(module, source)
        assert path is not None, "a closure is of files"
        made = target.parent / renamed(".".join(path.relative_to(source).with_suffix("").parts), source).replace(
            ".", "/"
        )
        made = made.with_suffix(".py")
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text(renamed(path.read_text(encoding="utf-8"), source), encoding="utf-8")
    (target / "LICENSE").write_text((clone / "LICENSE").read_text(encoding="utf-8"), encoding="utf-8")


def closure(source: Path) -> list[str]:
    """Names of all modules that the runtime needs; of a package itself, `__init__` is left out."""
    face = source / FACE.replace(".", "/")
    waiting = [FACE, *(f"{FACE}.{path.stem}" for path in face.glob("*.py") if path.stem != "__init__")]
    found: set[str] = set()
    while waiting:
        module = waiting.pop()
        path = file_of(module, source)
        if path is None or module in found:
            continue
        found.add(module)
        waiting += named_modules(path, source)
        parent = module.rpartition(".")[0]
        if parent != OLD:
            waiting.append(parent)
    return sorted(found)


def named_modules(path: Path, source: Path) -> set[str]:
    """Modules of ours that a file imports, wherever in it, or names in a text."""
    found: set[str] = set()
    for node in _but_types(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _DOTTED.match(node.value):
            found.add(node.value.partition(":")[0])
    return {name for name in found if name.startswith(f"{OLD}.") and file_of(name, source)}


def other_packages(path: Path) -> set[str]:
    """What a file imports at its top that is no module of ours: names of packages."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found - {OLD}


def renamed(text: str, source: Path) -> str:
    """A text in which modules of ours have their new names; `delineate.export`, which is a key in files, is no module and stays."""

    def new(found: re.Match[str]) -> str:
        name = found[0]
        if name == FACE or name.startswith(f"{FACE}."):
            return NEW + name.removeprefix(FACE)
        first = ".".join(name.split(".")[:2])
        return NEW + name.removeprefix(OLD) if file_of(first, source) else name

    return _DOTTED.sub(new, text)


def file_of(module: str, source: Path) -> Path | None:
    """The file of a module or package; None where there is none."""
    path = source / module.replace(".", "/")
    return next((one for one in (path / "__init__.py", path.with_suffix(".py")) if one.is_file()), None)


def _but_types(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes, but for blocks of `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield child
            yield from _but_types(child)
