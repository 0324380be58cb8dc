"""Where this program keeps files of its own on each system."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["cache_folder"]

_NAME = "pulid-sdcpp"


def cache_folder(
    platform: str = sys.platform, environment: Mapping[str, str] | None = None
) -> Path:
    """The folder for what can be made or fetched again; it may not exist yet.

    PULID_SDCPP_CACHE names another. Else: ~/.cache/pulid-sdcpp (or under XDG_CACHE_HOME),
    ~/Library/Caches/pulid-sdcpp, %LOCALAPPDATA%\\pulid-sdcpp\\Cache.
    """
    variables = os.environ if environment is None else environment
    if own := variables.get("PULID_SDCPP_CACHE"):
        return Path(own)
    if platform == "win32":
        local = variables.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / _NAME / "Cache"
    if platform == "darwin":
        return Path.home() / "Library" / "Caches" / _NAME
    xdg = variables.get("XDG_CACHE_HOME", "")
    # XDG base directory specification: a relative path is to be ignored.
    return (Path(xdg) if os.path.isabs(xdg) else Path.home() / ".cache") / _NAME
