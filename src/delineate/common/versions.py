"""What this installation is. The package on the index that is named `delineate` alone is another project's."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as _version_of

__all__ = ["DISTRIBUTION", "version", "version_of"]

DISTRIBUTION = "delineate-seg" if __name__.startswith("delineate.") else "delineate-seg-runtime"
"""What this code was installed as: the runtime's distribution holds some of it under another name."""


def version() -> str:
    """The version, or words that say that the package was never installed (only put on the path)."""
    return version_of(DISTRIBUTION)


def version_of(distribution: str) -> str:
    """The same of any distribution."""
    try:
        return _version_of(distribution)
    except PackageNotFoundError:
        return "not installed as a package"
