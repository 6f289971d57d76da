"""What continuous integration runs exists: commands of the Makefile and of `tools/`, for every Python that is declared."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CALLED = re.compile(r"\bmake ([\w-]+)")


def workflow() -> dict[str, Any]:
    return yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))


def steps(job: dict[str, Any], key: str) -> list[str]:
    return [step[key] for step in job["steps"] if key in step]


def targets() -> set[str]:
    return set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def declared() -> set[str]:
    """Versions of Python that the package says it works with."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {found[1] for line in project["classifiers"] if (found := re.fullmatch(r".*:: Python :: (3\.\d+)", line))}


@pytest.fixture(scope="module")
def check_ground() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_ground", ROOT / "tools" / "check_ground.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def commands() -> Iterator[str]:
    yield (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for job in workflow()["jobs"].values():
        yield from steps(job, "run")


def test_every_target_that_is_called_exists():
    called = {target for command in commands() for target in CALLED.findall(command)}
    assert {"test", "test-more", "docs"} <= called
    assert called <= targets()


def test_the_contributing_page_names_no_other():
    called = set(CALLED.findall((ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")))
    assert {"test", "test-more", "docs", "demo"} <= called <= targets()


def test_every_declared_python_is_tested(check_ground):
    jobs = workflow()["jobs"]
    tested = set(jobs["test"]["strategy"]["matrix"]["python"])
    assert tested == declared() == set(check_ground.PYTHONS)
    assert set(jobs["ground"]["strategy"]["matrix"]["where"]) == {"build", *check_ground.PYTHONS, check_ground.OLDEST}
    assert any("tools/check_ground.py" in command for command in steps(jobs["ground"], "run"))


def test_the_workflow_may_only_read_and_takes_stated_versions():
    assert workflow()["permissions"] == {"contents": "read"}
    text = "".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    assert "secrets." not in text
    used = [action for job in workflow()["jobs"].values() for action in steps(job, "uses")]
    assert used
    assert [action for action in used if not re.fullmatch(r"actions/[\w-]+@v\d+\.\d+\.\d+", action)] == []


def test_the_script_is_shell():
    subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=True)
