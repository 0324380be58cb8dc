"""The version of the installed package."""

from __future__ import annotations

import importlib.metadata

__all__ = ["package_version"]


def package_version() -> str:
    """As `pyproject.toml` says; "not installed" when run from a source tree."""
    try:
        return importlib.metadata.version("pulid-sdcpp")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
