"""The house rules that a machine can check: which way imports run, what stays light, how long a file may be.

Each check is a pure function from a source tree to a list of offenses, so that it can be shown to catch a planted one.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Container, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "delineate"
ROOMS = (
    *("common", "data", "nn", "methods", "strategies", "artefact", "evaluation", "inference", "engine", "fewshot"),
    *("report", "studies", "page", "serve", "requests", "runtime", "api", "cli"),
)
"""Lowest first."""
INNER_ROOMS = {
    "data": ("core", "formats", "cases", "layouts", "splits", "augment", "cache", "loading", "doctor", "convert"),
    "evaluation": ("metrics", "statistics", "inputs", "results", "comparison"),
    "report": ("html", "charts", "parts", "pages"),
}
"""Rooms inside of rooms, lowest first."""
TORCH = {"torch", "torchvision", "timm", "lightning"}
WITHOUT_TORCH = ("common", "data", "evaluation", "report")
HEAVY = TORCH | {"numpy", "scipy", "cv2", "PIL", "pydantic", "yaml", "safetensors"}
"""What no verb may import before it has parsed its arguments."""
LONGEST = 500
LISTED = (
    "__init__",
    "common",
    "data.core",
    "data.formats",
    "data.cases",
    "data.layouts",
    "data.doctor",
    "data.convert",
    "evaluation",
    "report",
    "studies",
    "page",
    "data.splits",
    "data.augment",
    "data.cache",
    "data.loading",
    "artefact",
    "inference",
    "engine",
    "fewshot",
    "requests",
    "runtime",
    "api",
    "cli",
)
"""Rooms, and rooms inside of them (`data.core`), whose modules all say in `__all__` what is public."""


def imports(tree: ast.AST, module: str) -> Iterator[str]:
    """Dotted names of all that a module imports, wherever in the file; relative imports are made absolute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(module.split(".")[: -node.level]) if node.level else ""
            source = ".".join(part for part in (base, node.module) if part)
            yield from (f"{source}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module":
            yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str))


@cache
def sources(package: Path) -> tuple[tuple[str, str, ast.Module], ...]:
    """(module name, room, syntax tree) of every file; the room of the package's own `__init__.py` is ""."""
    found = []
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        room = {"__init__": "", "__main__": "cli"}.get(parts[0], parts[0])
        found.append((".".join(("delineate", *parts)), room, ast.parse(path.read_text(encoding="utf-8"))))
    return tuple(found)


def room_of(name: str) -> str | None:
    """The room an imported name lies in; "" for the package's own face, None for other packages."""
    parts = name.split(".")
    if parts[0] != "delineate":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else ""


def upward_imports(package: Path) -> list[str]:
    """Imports of a room that is not named before the importing one. The package's face may import all below `cli`."""
    offenses = []
    for module, room, tree in sources(package):
        rank = ROOMS.index(room) if room else ROOMS.index("cli")
        for name in imports(tree, module):
            target = room_of(name)
            if target is None or name == "delineate.__version__":
                continue
            if target == "" or (ROOMS.index(target) >= rank and target != room):
                offenses.append(f"{module} imports {name}")
    return offenses


def upward_inside(package: Path) -> list[str]:
    """The same for the rooms inside of a room: each of its files lies in one of them."""
    offenses = []
    for module, room, tree in sources(package):
        if room not in INNER_ROOMS or module == f"delineate.{room}.__init__":
            continue
        rooms = INNER_ROOMS[room]
        inside = module.split(".")[2]
        if inside not in rooms:
            offenses.append(f"{module} lies in no room of {room}")
            continue
        allowed = rooms[: rooms.index(inside) + 1]
        for name in imports(tree, module):
            parts = name.split(".")
            if room_of(name) == room and len(parts) > 2 and parts[2] not in allowed:
                offenses.append(f"{module} imports {name}")
    return offenses


def circles(package: Path) -> list[str]:
    """Files that import each other, however long the way round, also where the import is inside a function or for types alone."""
    trees = {module.removesuffix(".__init__"): tree for module, _, tree in sources(package)}
    arrows = {
        module: {found for name in imports(tree, module) if (found := _file_of(name, trees))}
        for module, tree in trees.items()
    }
    sorter = TopologicalSorter({module: targets - {module} for module, targets in arrows.items()})
    try:
        sorter.prepare()
    except CycleError as error:
        return [" → ".join(reversed(error.args[1]))]
    return []


def _file_of(name: str, modules: Container[str]) -> str | None:
    """The module that an imported name lies in; None for another package's, and for the package's own face."""
    while name not in modules:
        name = name.rpartition(".")[0]
        if not name:
            return None
    return None if name == "delineate" else name


def unknown_rooms(package: Path) -> list[str]:
    """Files and folders that belong to no room."""
    return [module for module, room, _ in sources(package) if room and room not in ROOMS]


def known_papers(package: Path) -> list[str]:
    """Imports of the folder of one method or strategy from anywhere else: a paper lives in its own folder and nowhere else."""
    offenses = []
    for room in ("methods", "strategies"):
        folders = {path.parent.name for path in package.glob(f"{room}/*/__init__.py")} - {"testing"}
        for module, _, tree in sources(package):
            for name in imports(tree, module):
                parts = name.split(".")
                if parts[:2] != ["delineate", room] or len(parts) < 3 or parts[2] not in folders:
                    continue
                if module.split(".")[:3] != parts[:3]:
                    offenses.append(f"{module} imports {name}")
    return offenses


def torch_imports(package: Path) -> list[str]:
    """Imports of the network libraries from rooms that work on arrays and files."""
    return [
        f"{module} imports {name}"
        for module, room, tree in sources(package)
        if room in WITHOUT_TORCH
        for name in imports(tree, module)
        if name.split(".")[0] in TORCH
    ]


def heavy_verbs(package: Path) -> list[str]:
    """Module-level imports of heavy libraries or of other rooms in the files of the command line and of its requests."""
    offenses = []
    for module, room, tree in sources(package):
        if room in ("requests", "cli"):
            top = ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], [])
            heavy = [name for name in imports(top, module) if name.split(".")[0] in HEAVY]
            rooms = [
                name for name in imports(top, module) if room_of(name) not in (None, "", "common", "requests", "cli")
            ]
            offenses += [f"{module} imports {name}" for name in heavy + rooms]
    return offenses


def long_files(package: Path) -> list[str]:
    """Files of more than 500 lines: they hold two ideas."""
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in package.rglob("*.py")}
    return [f"{path}: {count} lines" for path, count in lengths.items() if count > LONGEST]


def unlisted_names(package: Path) -> list[str]:
    """Public names that a module defines and its `__all__` leaves out; names there that do not exist; an `__all__` that does not
    stand right after the imports."""
    offenses = []
    for module, _, tree in sources(package):
        if not any(f"{module}.".startswith(f"delineate.{place}.") for place in LISTED):
            continue
        listed, is_first = _public_list(tree)
        defined = set(_defined(tree.body))
        missing = {name for name in defined if not name.startswith("_")} - listed
        here = defined | {alias.asname or alias.name for node in _imports_at_top(tree) for alias in node.names}
        offenses += [f"{module} defines {name}, which is not in its __all__" for name in sorted(missing)]
        offenses += [f"{module} has {name} in its __all__ and does not define it" for name in sorted(listed - here)]
        if not is_first:
            offenses.append(f"{module} has its __all__ behind other statements than imports")
    return offenses


def _public_list(tree: ast.Module) -> tuple[set[str], bool]:
    """The names in `__all__`, and whether nothing but the docstring, imports and names like `__version__` stand before it."""
    only_imports = True
    for node in tree.body:
        names = list(_defined([node]))
        if "__all__" in names:
            return set(ast.literal_eval(node.value)), only_imports
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_import = isinstance(node, ast.Import | ast.ImportFrom | ast.If | ast.Try) and not names
        only_imports &= is_docstring or is_import or all(name.startswith("__") for name in names)
    return set(), True


def _defined(body: list[ast.stmt]) -> Iterator[str]:
    """Names that statements give to functions, classes and values, in branches too."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            parts = (part for target in targets for part in ast.walk(target) if isinstance(part, ast.Name))
            yield from (part.id for part in parts if isinstance(part.ctx, ast.Store))
        elif isinstance(node, ast.If | ast.Try):
            yield from _defined([*node.body, *node.orelse])


def _imports_at_top(tree: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    for node in tree.body:
        inside = node.body if isinstance(node, ast.If | ast.Try) else [node]
        yield from (one for one in inside if isinstance(one, ast.Import | ast.ImportFrom))


RULES = (
    *(upward_imports, upward_inside, circles, unknown_rooms, known_papers, torch_imports, heavy_verbs, long_files),
    unlisted_names,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_house_rule(rule):
    assert rule(PACKAGE) == []


PLANTED = [
    (upward_imports, "data/core/reader.py", "from delineate.engine import loop"),
    (upward_imports, "nn/block.py", "def late():\n    from delineate.methods.registry import build"),
    (upward_imports, "evaluation/results/summary.py", "from ...inference import predictor"),
    (
        upward_imports,
        "artefact/reader.py",
        "from importlib import import_module\nimport_module('delineate.engine.loop')",
    ),
    (upward_imports, "engine/loop.py", "import delineate"),
    (upward_inside, "data/core/case.py", "from delineate.data.formats.images import read_image"),
    (upward_inside, "data/reader.py", ""),
    (upward_inside, "evaluation/results/table.py", "from delineate.evaluation.comparison.models import Model"),
    (upward_inside, "evaluation/table.py", ""),
    (
        circles,
        "nn/ring.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from delineate.nn.block import Block",
    ),
    (unknown_rooms, "utils/misc.py", ""),
    (known_papers, "methods/second/network.py", "from delineate.methods.first.network import Block"),
    (known_papers, "engine/loop.py", "from delineate.methods import first"),
    (known_papers, "strategies/second/strategy.py", "from delineate.strategies.first.strategy import Teacher"),
    (torch_imports, "data/cache/cache.py", "import torch.utils.data"),
    (torch_imports, "evaluation/dice.py", "from torch import Tensor"),
    (heavy_verbs, "cli/predict.py", "import numpy as np"),
    (heavy_verbs, "cli/predict.py", "from delineate.inference.predictor import Predictor"),
    (long_files, "nn/everything.py", "x = 1\n" * 501),
    (unlisted_names, "requests/train.py", "LEAST = 1\n"),
    (unlisted_names, "requests/train.py", "__all__ = ['a']\n\ndef a(): ...\n\nif a():\n    b, _c = 1, 2\n"),
    (unlisted_names, "requests/train.py", "from os import path\n__all__ = ['gone', 'path']\n"),
    (unlisted_names, "requests/train.py", "_RANK = 1\n__all__ = ['a']\n\nclass a: ...\n"),
]


@pytest.mark.parametrize(("rule", "file", "source"), PLANTED)
def test_planted_offense_is_caught(rule, file, source, tmp_path):
    for name in (
        f"{room}/{folder}/__init__.py" for room in ("methods", "strategies") for folder in ("first", "second")
    ):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    (tmp_path / "nn").mkdir()
    (tmp_path / "nn" / "block.py").write_text("def late():\n    from delineate.nn import ring\n")
    target = tmp_path / file
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(source)
    assert len(rule(tmp_path)) == 1


def test_downward_imports_are_allowed(tmp_path):
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "loop.py").write_text(
        "from delineate import __version__\nfrom delineate.data.core.manifest import Case\n"
    )
    (tmp_path / "__init__.py").write_text("from delineate.api import load\n")
    assert [offense for rule in RULES for offense in rule(tmp_path)] == []


def modules_after(code: str) -> set[str]:
    """Top-level packages that a fresh interpreter has loaded after running `code`."""
    script = f"{code}\nimport sys\nprint('\\nLOADED', *sorted({{name.split('.')[0] for name in sys.modules}}))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(result.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize("code", ["import delineate", "import delineate.cli"])
def test_import_is_light(code):
    assert modules_after(code) & HEAVY == set()


@pytest.mark.parametrize("words", ["--help", "--version", "predict --help", "train --help", "data --help"])
def test_help_is_light(words):
    code = f"import sys\nsys.argv = ['delineate', *{words.split()}]\nfrom delineate.cli import main\n"
    code += "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code"
    by_typer = {"pydantic"}  # where it is installed, typer itself loads it to describe a verb's arguments
    allowed = by_typer if words not in ("--help", "--version") else set()
    assert modules_after(code) & HEAVY - allowed == set()


@pytest.mark.parametrize(("room", "unwanted"), [("evaluation", TORCH), ("report", TORCH), ("inference", {"lightning"})])
def test_room_loads_without(room, unwanted):
    """`evaluate` needs no network library at all, `predict` not the training stack, also not through what they import."""
    files = sorted((PACKAGE / room).rglob("*.py"))
    modules = (file.relative_to(PACKAGE.parent).with_suffix("").parts for file in files)
    names = [".".join(parts[:-1] if parts[-1] == "__init__" else parts) for parts in modules]
    assert modules_after("import " + ", ".join(names)) & unwanted == set()
