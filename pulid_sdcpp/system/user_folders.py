"""Where this program keeps files of its own on each system."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..terminal_text import shown

__all__ = ["cache_folder", "config_folder", "data_folder", "with_home"]

_NAME = "pulid-sdcpp"


@dataclass(frozen=True)
class _Place:
    """Where a kind of files is: the variable that names another folder, then each system's own."""

    variable: str
    windows: tuple[str, str, tuple[str, ...]]  # variable, its usual folder in AppData, behind it
    macos: tuple[str, ...]
    xdg: tuple[str, tuple[str, ...]]  # variable, its usual folder


_CACHE = _Place(
    "PULID_SDCPP_CACHE",
    ("LOCALAPPDATA", "Local", ("Cache",)),
    ("Library", "Caches"),
    ("XDG_CACHE_HOME", (".cache",)),
)
_CONFIG = _Place(
    "PULID_SDCPP_CONFIG",
    ("APPDATA", "Roaming", ()),
    ("Library", "Application Support"),
    ("XDG_CONFIG_HOME", (".config",)),
)
_DATA = _Place(
    "PULID_SDCPP_DATA",
    ("LOCALAPPDATA", "Local", ("Data",)),
    ("Library", "Application Support"),
    ("XDG_DATA_HOME", (".local", "share")),
)


def cache_folder(
    platform: str = sys.platform, environment: Mapping[str, str] | None = None
) -> Path:
    """The folder for what can be made or fetched again; it may not exist yet.

    PULID_SDCPP_CACHE names another. Else: ~/.cache/pulid-sdcpp (or under XDG_CACHE_HOME),
    ~/Library/Caches/pulid-sdcpp, %LOCALAPPDATA%\\pulid-sdcpp\\Cache.
    """
    return _folder(_CACHE, platform, environment)


def config_folder(
    platform: str = sys.platform, environment: Mapping[str, str] | None = None
) -> Path:
    """The folder for what the user has set; it may not exist yet.

    PULID_SDCPP_CONFIG names another. Else: ~/.config/pulid-sdcpp (or under XDG_CONFIG_HOME),
    ~/Library/Application Support/pulid-sdcpp, %APPDATA%\\pulid-sdcpp.
    """
    return _folder(_CONFIG, platform, environment)


def data_folder(platform: str = sys.platform, environment: Mapping[str, str] | None = None) -> Path:
    """The folder for what the user keeps, which cannot be made again; it may not exist yet.

    PULID_SDCPP_DATA names another. Else: ~/.local/share/pulid-sdcpp (or under XDG_DATA_HOME),
    ~/Library/Application Support/pulid-sdcpp, %LOCALAPPDATA%\\pulid-sdcpp\\Data.
    """
    return _folder(_DATA, platform, environment)


def _folder(place: _Place, platform: str, environment: Mapping[str, str] | None) -> Path:
    variables = os.environ if environment is None else environment
    if own := variables.get(place.variable):
        return Path(own)
    if platform == "win32":
        variable, usual, behind = place.windows
        local = variables.get(variable)
        home = Path(local) if local else Path.home() / "AppData" / usual
        return home.joinpath(_NAME, *behind)
    if platform == "darwin":
        return Path.home().joinpath(*place.macos, _NAME)
    variable, inside = place.xdg
    xdg = variables.get(variable, "")
    # XDG base directory specification: a relative path is to be ignored.
    return (Path(xdg) if os.path.isabs(xdg) else Path.home().joinpath(*inside)) / _NAME


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
