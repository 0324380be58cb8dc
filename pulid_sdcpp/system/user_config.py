"""The user's own config file: folders of models, files and presets, settings of the server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ModelFileError
from ..terminal_text import reason_of
from .regular_file import read_regular
from .text_encoding import decoded
from .toml_text import parse_toml
from .user_folders import config_folder, with_home

__all__ = ["CONFIG_NAME", "UserConfig", "load_user_config"]

CONFIG_NAME = "config.toml"
_MAX_BYTES = 256 << 10
_FOLDERS = ("models_dirs", "wildcards_dirs")
_TABLES = ("files", "presets", "licenses")
_SERVER = "server"


@dataclass(frozen=True)
class UserConfig:
    """What the config file says; empty when there is none.

    Attributes:
        path: The file, whether it exists or not.
        models_dirs: Folders where models are looked for.
        wildcards_dirs: Folders where wildcards of prompts are looked for.
        files, presets, licenses: Tables as in the package's models.toml, not checked yet.
        server: Settings of `serve`, not checked yet.
    """

    path: Path
    models_dirs: tuple[Path, ...] = ()
    wildcards_dirs: tuple[Path, ...] = ()
    files: Mapping[str, Any] = field(default_factory=dict)
    presets: Mapping[str, Any] = field(default_factory=dict)
    licenses: Mapping[str, Any] = field(default_factory=dict)
    server: Mapping[str, Any] = field(default_factory=dict)


def load_user_config(path: str | os.PathLike[str] | None = None) -> UserConfig:
    """Read the config file.

    Args:
        path: None: config.toml in the user's config folder.

    Raises:
        ModelFileError: It cannot be read, is not TOML, or has something unknown in it.
    """
    file = config_folder() / CONFIG_NAME if path is None else Path(path)
    try:
        tables = parse_toml(decoded(read_regular(file, _MAX_BYTES)))
    except FileNotFoundError:
        return UserConfig(file)
    except OSError as error:
        raise ModelFileError(f"{file}: cannot read the config file: {reason_of(error)}") from error
    except ValueError as error:
        raise ModelFileError(f"{file}: expected a config file in TOML: {error}") from None
    known_names = (*_FOLDERS, *_TABLES, _SERVER)
    for name in tables:
        if name not in known_names:
            known = ", ".join(known_names)
            raise ModelFileError(f"{file}: {name} is unknown; there are {known}")
    for name in _TABLES:
        if not isinstance(tables.get(name, {}), Mapping):
            raise ModelFileError(f"{file}: {name} must be tables, as in [{name}.NAME]")
    if not isinstance(tables.get(_SERVER, {}), Mapping):
        raise ModelFileError(f"{file}: {_SERVER} must be a table, [{_SERVER}]")
    found = {name: _folders(file, name, tables.pop(name, [])) for name in _FOLDERS}
    return UserConfig(file, **found, **tables)  # type: ignore[arg-type]


def _folders(file: Path, name: str, given: Any) -> tuple[Path, ...]:
    if not isinstance(given, list) or not all(isinstance(f, str) and f for f in given):
        raise ModelFileError(f"{file}: {name} must be a list of folders")
    # A relative folder is one beside the config file: the working folder changes.
    try:
        return tuple(file.parent / with_home(folder) for folder in given)
    except ValueError as error:
        raise ModelFileError(f"{file}: {name}: {error}") from None
