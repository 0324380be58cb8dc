"""Where this program keeps files of its own on each system."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from ..terminal_text import shown

__all__ = ["cache_folder", "config_folder", "data_folder", "with_home"]

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


def config_folder(
    platform: str = sys.platform, environment: Mapping[str, str] | None = None
) -> Path:
    """The folder for what the user has set; it may not exist yet.

    PULID_SDCPP_CONFIG names another. Else: ~/.config/pulid-sdcpp (or under XDG_CONFIG_HOME),
    ~/Library/Application Support/pulid-sdcpp, %APPDATA%\\pulid-sdcpp.
    """
    variables = os.environ if environment is None else environment
    if own := variables.get("PULID_SDCPP_CONFIG"):
        return Path(own)
    if platform == "win32":
        roaming = variables.get("APPDATA")
        return (Path(roaming) if roaming else Path.home() / "AppData" / "Roaming") / _NAME
    if platform == "darwin":
        return Path.home() / "Library" / "Application Support" / _NAME
    xdg = variables.get("XDG_CONFIG_HOME", "")
    return (Path(xdg) if os.path.isabs(xdg) else Path.home() / ".config") / _NAME


def data_folder(platform: str = sys.platform, environment: Mapping[str, str] | None = None) -> Path:
    """The folder for what the user keeps, which cannot be made again; it may not exist yet.

    PULID_SDCPP_DATA names another. Else: ~/.local/share/pulid-sdcpp (or under XDG_DATA_HOME),
    ~/Library/Application Support/pulid-sdcpp, %LOCALAPPDATA%\\pulid-sdcpp\\Data.
    """
    variables = os.environ if environment is None else environment
    if own := variables.get("PULID_SDCPP_DATA"):
        return Path(own)
    if platform == "win32":
        local = variables.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / _NAME / "Data"
    if platform == "darwin":
        return Path.home() / "Library" / "Application Support" / _NAME
    xdg = variables.get("XDG_DATA_HOME", "")
    return (Path(xdg) if os.path.isabs(xdg) else Path.home() / ".local" / "share") / _NAME


def with_home(path: str | os.PathLike[str]) -> Path:
    """The path with a `~` or `~user` at its beginning as the folder that it stands for.

    Raises:
        ValueError: There is no such folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        user = Path(path).parts[0]
        raise ValueError(
            f"{shown(os.fspath(path))}: there is no home folder for {user}; write ./{user} for a "
            "name"
        ) from None
