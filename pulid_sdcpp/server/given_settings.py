"""Settings from `[server]` of config.toml and from flags; flags win."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..options.context import ContextOptions
from ..options.facts import Fact, of
from ..system.user_config import UserConfig
from ..system.user_folders import with_home
from ..terminal_text import hint, shown
from .limits import Limits
from .settings import ServerSettings

__all__ = ["GivenSettings", "given_settings", "settings_in_config"]

_PRESET = "preset"
_SERVER: Mapping[str, Fact] = {**of(ServerSettings), **of(Limits)}
_LIMITS = {one.name for one in fields(Limits)}


@dataclass(frozen=True)
class GivenSettings:
    """What a server is started with.

    Attributes:
        settings: Of the server.
        preset: The name of the preset; "": none was given.
        context: The fields of `ContextOptions` that were given, and nothing of the others.
    """

    settings: ServerSettings
    preset: str = ""
    context: Mapping[str, Any] = field(default_factory=dict)


def given_settings(config: UserConfig, flags: Mapping[str, Any]) -> GivenSettings:
    """What the config file and the command line say.

    Args:
        config: The user's.
        flags: By field, only those that were typed; paths are as the system takes them.

    Raises:
        ValueError: A setting is unknown, or its value is none; says in which file.
    """
    given = {**settings_in_config(config), **flags}
    own = {name: value for name, value in given.items() if name in _SERVER}
    limits = Limits(**{name: own.pop(name) for name in _LIMITS & own.keys()})
    preset = given.get(_PRESET) or ""
    context = {name: given[name] for name in of(ContextOptions) if name in given}
    return GivenSettings(ServerSettings(**own, limits=limits), preset, MappingProxyType(context))


def settings_in_config(config: UserConfig) -> dict[str, Any]:
    """The settings in `[server]`, each checked by itself; paths are beside the config file.

    Raises:
        ValueError: As `given_settings`.
    """
    known: Mapping[str, Fact] = {**of(ContextOptions), **_SERVER}
    found: dict[str, Any] = {}
    for name, value in config.server.items():
        where = f"{config.path}: [server]"
        if name == _PRESET:
            if not isinstance(value, str) or not value:
                raise ValueError(f"{where}: preset is {shown(value)}, but must be a name")
            found[name] = value
            continue
        fact = known.get(name)
        if fact is None:
            unlike = hint(name, (_PRESET, *known))
            raise ValueError(f"{where}: {name} is unknown{unlike}; see pulid-sdcpp serve --help")
        try:
            found[name] = _value(fact, value, config.path.parent)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
    return found


def _value(fact: Fact, value: Any, folder: Path) -> Any:
    """A value of TOML as the option takes it.

    Raises:
        ValueError: It is none.
    """
    if fact.kind == "switch" and not isinstance(value, bool):
        raise ValueError(f"{fact.name} is {shown(value)}, but must be true or false")
    if fact.repeated or fact.kind == "texts":
        value = value if isinstance(value, list) else [value]  # port = 7860
    fact.check(value)
    if fact.kind == "file" and isinstance(value, str | os.PathLike):
        return folder / with_home(value)  # the working folder changes
    return tuple(value) if isinstance(value, list) else value
