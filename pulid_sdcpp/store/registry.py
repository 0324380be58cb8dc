"""Which model files there are, where they are published, and the presets made of them.

The package's own list is `models.toml`; the user's config file adds to it, in the same form.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from ..errors import ModelFileError
from ..options.facts import Kind, of
from ..options.generation import GenerationOptions
from ..system.file_hash import is_sha256
from ..system.user_config import UserConfig, load_user_config
from ..system.user_folders import with_home
from ..terminal_text import meant, shown

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "EXTRACTION_ROLES",
    "FAMILIES",
    "GENERATION_ROLES",
    "MODEL_ROLES",
    "NEWEST",
    "OFFERED_FAMILIES",
    "ROLES",
    "License",
    "Preset",
    "Registry",
    "RegistryFile",
    "load_registry",
    "pocket_settings",
    "preset_names",
]

FAMILIES = ("flux", "sdxl")
"""Kinds of model that a preset can be of; PuLID's weights are for one of them."""
OFFERED_FAMILIES = FAMILIES
"""Those of which pictures can be made; presets of others are in no list."""
MODEL_ROLES = ("diffusion_model", "checkpoint")
"""What makes the picture: alone, or with text encoders and autoencoder in one file."""
GENERATION_ROLES = (
    *("diffusion_model", "checkpoint", "lora", "vae", "taesd"),
    *("clip_l", "clip_g", "t5xxl", "pulid"),
)
EXTRACTION_ROLES = ("pulid", "eva", "detector", "recogniser", "parsing")
ROLES = tuple(dict.fromkeys((*GENERATION_ROLES, *EXTRACTION_ROLES)))
"""What a file can be for; PuLID's weights serve both halves. A LoRA is applied with weight 1."""

BUILT_IN = Path(__file__).with_name("models.toml")
# Settings that a preset may give.
_SETTINGS = {name: fact for name, fact in of(GenerationOptions).items() if fact.preset}
_TYPES: Mapping[Kind, tuple[type, ...]] = {
    "whole": (int,),
    "number": (float, int),
    "text": (str,),
    "choice": (str,),
    "switch": (bool,),
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
NEWEST = "main"
"""A revision: whatever is there now."""
_MAX_FILE_BYTES = 1 << 50  # a thousand times the largest model
_T = TypeVar("_T")


@dataclass(frozen=True)
class License:
    """Under which terms files may be used."""

    name: str
    url: str = ""
    commercial: bool = False


@dataclass(frozen=True)
class RegistryFile:
    """One file: what it is for, where it is published, and how to know it.

    Attributes:
        key: Its name in presets.
        role: One of ROLES.
        what: For people, in a few words.
        path: Its path in the repository; for a file of the user's own, where it lies.
        repository: "owner/name" on the hub; "" for a plain URL or a file of the user's own.
        revision: Branch, tag or commit of the repository.
        url: Where it is, if not on the hub.
        size_bytes: Exactly; 0: unknown.
        about_bytes: Roughly, to show where the exact size is unknown.
        sha256: In hexadecimal; "": the hub's own is taken.
        license: Key of a License; "": unknown.
        gated: Whether the repository's terms have to be accepted first.
        alternative: Key of the same file elsewhere, without such terms; "": there is none.
        names: Other names under which people keep it.
    """

    key: str
    role: str
    what: str = ""
    path: str = ""
    repository: str = ""
    revision: str = NEWEST
    url: str = ""
    size_bytes: int = 0
    about_bytes: int = 0
    sha256: str = ""
    license: str = ""
    gated: bool = False
    alternative: str = ""
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(f"role is {shown(self.role)}, but must be one of {', '.join(ROLES)}")
        if self.repository and not _REPOSITORY.fullmatch(self.repository):
            raise ValueError(f"repository is {shown(self.repository)}, but must be 'owner/name'")
        if self.repository and self.url:
            raise ValueError("repository and url are both given; name one of them")
        if self.repository and (not self.path or ".." in PurePosixPath(self.path).parts):
            raise ValueError(f"path is {shown(self.path)}, but must be a file of the repository")
        if self.url and not self.url.startswith(("https://", "http://")):
            raise ValueError(f"url is {shown(self.url)}, but must begin with https://")
        if not (self.repository or self.url or self.path):
            raise ValueError("neither repository nor url nor path is given")
        for name, size in (("size_bytes", self.size_bytes), ("about_bytes", self.about_bytes)):
            if not 0 <= size <= _MAX_FILE_BYTES:
                raise ValueError(f"{name} must be from 0 to {_MAX_FILE_BYTES}")
        if self.sha256 and not is_sha256(self.sha256):
            raise ValueError("sha256 must have 64 hexadecimal digits, in lower case")

    @property
    def file_name(self) -> str:
        """The name under which it is published."""
        return PurePosixPath(self.url or self.path.replace("\\", "/")).name

    @property
    def tag_name(self) -> str:
        """As a LoRA, its name in prompts and in the text of pictures."""
        return self.key if self.published else PurePosixPath(self.file_name).stem

    @property
    def shown_bytes(self) -> int:
        """Its size, if only roughly; 0: unknown."""
        return self.size_bytes or self.about_bytes

    @property
    def published(self) -> bool:
        """Whether it can be fetched; else it is a file of the user's own."""
        return bool(self.repository or self.url)

    @property
    def home(self) -> str:
        """Where it is published, as an address for people."""
        return self.url or (f"https://huggingface.co/{self.repository}" if self.repository else "")


@dataclass(frozen=True)
class Preset:
    """One file per role, and the settings that suit them.

    Attributes:
        what: What it is, in a few words.
        for_whom: Which use and which computer it is for, in one line.
        family: One of FAMILIES; "" while it is read: that of its base, else Flux.
        files: Keys of files by role.
        settings: Fields of GenerationOptions.
        packaged: Whether it stands on the pocket model's files, which are in the package.
    """

    name: str
    what: str = ""
    for_whom: str = ""
    family: str = ""
    base: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    packaged: bool = False

    def __post_init__(self) -> None:
        if self.family not in ("", *FAMILIES):
            known = ", ".join(FAMILIES)
            raise ValueError(f"family is {shown(self.family)}, but must be one of {known}")
        for role, key in self.files.items():
            if role not in ROLES:
                raise ValueError(f"files.{role}: there is no such role; {', '.join(ROLES)}")
            if not isinstance(key, str) or not key:
                raise ValueError(f"files.{role} is {shown(key)}, but must name a file")
        for name, value in self.settings.items():
            if name not in _SETTINGS:
                raise ValueError(f"settings.{name}: must be one of {', '.join(_SETTINGS)}")
            types = _TYPES[_SETTINGS[name].kind]
            if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
                kind = types[0].__name__
                raise ValueError(f"settings.{name} is {shown(value)}, but must be of type {kind}")


@dataclass(frozen=True)
class Registry:
    """All files, presets, parts and licenses, by key.

    Attributes:
        parts: Files that can be fetched without a whole preset; no picture is made of them alone.
    """

    files: Mapping[str, RegistryFile]
    presets: Mapping[str, Preset]
    licenses: Mapping[str, License]
    parts: Mapping[str, Preset] = field(default_factory=dict)

    def preset(self, name: str) -> Preset:
        """A preset by name.

        Raises:
            ValueError: There is none of that name; says which is meant, or which there are.
        """
        if name in self.parts:
            names = ", ".join(self.presets)
            raise ValueError(f"{name} is only a part of presets; there are {names}")
        if name not in self.presets:
            raise ValueError(f"there is no preset {shown(name)}; {meant(name, self.presets)}")
        return self.presets[name]

    def preset_or_part(self, name: str) -> Preset:
        """What `models pull` takes: a preset or a part, by name.

        Raises:
            ValueError: There is none of that name; says which is meant, or which there are.
        """
        both = {**self.parts, **self.presets}  # a preset of the user's may have a part's name
        if name not in both:
            names = (*self.presets, *self.parts)
            raise ValueError(f"there is no preset {shown(name)}; {meant(name, names)}")
        return both[name]

    def files_of(self, preset: Preset, roles: Sequence[str] = ROLES) -> dict[str, RegistryFile]:
        """The preset's files of these roles, by role."""
        return {role: self.files[key] for role, key in preset.files.items() if role in roles}

    def homes(self, file: RegistryFile) -> tuple[RegistryFile, ...]:
        """The file, and the same one elsewhere."""
        homes = [file]
        while (other := self.files.get(homes[-1].alternative)) and other not in homes:
            homes.append(other)
        return tuple(homes)

    def license_of(self, file: RegistryFile) -> License:
        """Unknown terms count as non-commercial."""
        return self.licenses.get(file.license, License(name=file.license or "unknown"))


def preset_names() -> list[str]:
    """Names of all presets, the user's own included.

    Raises:
        ModelFileError: The user's config file is not what it should be.
    """
    return list(load_registry().presets)


def load_registry(
    config: UserConfig | None = None, *, families: Sequence[str] | None = None
) -> Registry:
    """The package's list and, on top, the user's.

    Args:
        config: None: the user's config file is read.
        families: Of which presets and parts are in it; None: those that are offered. Files and
            licenses are all in it.

    Raises:
        ModelFileError: A list has something in it that is not as it should be; says what.
    """
    config = load_user_config() if config is None else config
    families = OFFERED_FAMILIES if families is None else families
    built_in = _built_in()
    where = str(config.path)
    licenses = {**built_in.licenses, **_entries(where, "licenses", License, config.licenses)}
    files = {**built_in.files, **_entries(where, "files", RegistryFile, config.files)}
    presets, parts = (
        {name: one for name, one in both.items() if one.family in families}
        for both in (built_in.presets, built_in.parts)
    )
    _add_presets(where, config.presets, presets, files)
    for preset in presets.values():
        if preset.family not in families:
            raise ModelFileError(
                f"{where}: [presets.{preset.name}]: family is {shown(preset.family)}, of which no "
                "pictures can be made yet"
            )
    return Registry(files, presets, licenses, parts)


def pocket_settings() -> dict[str, Any]:
    """What the pocket model was made for: fields of `GenerationOptions`."""
    return dict(_built_in().presets["pocket"].settings)


@lru_cache(maxsize=1)
def _built_in() -> Registry:
    tables = tomllib.loads(BUILT_IN.read_text(encoding="utf-8"))
    where = BUILT_IN.name
    files = _entries(where, "files", RegistryFile, tables["files"])
    presets: dict[str, Preset] = {}
    _add_presets(where, tables["presets"], presets, files)
    parts: dict[str, Preset] = {}
    _add_presets(where, tables["parts"], parts, files)
    licenses = _entries(where, "licenses", License, tables["licenses"])
    return Registry(files, presets, licenses, parts)


def _entries(where: str, table: str, kind: type[_T], tables: Mapping[str, Any]) -> dict[str, _T]:
    return {
        name: _entry(where, f"{table}.{name}", kind, name, values)
        for name, values in tables.items()
    }


def _entry(where: str, title: str, kind: type[_T], name: str, values: Any) -> _T:
    """One table of the list as a dataclass: names, types and values checked."""
    try:
        if not _NAME.fullmatch(name):
            raise ValueError("a name has letters, digits, '.', '_' and '-' only")
        if not isinstance(values, Mapping):
            raise ValueError(f"expected a table, found {shown(values)}")
        own = {"key": name} if kind is RegistryFile else {"name": name} if kind is Preset else {}
        known = {f.name: f for f in fields(kind) if f.name not in own}  # type: ignore[arg-type]
        for item, value in values.items():
            if item not in known:
                raise ValueError(f"{item} is unknown; there are {', '.join(known)}")
            _check_type(item, value, known[item].type)
        for item, described in known.items():
            needed = described.default is MISSING and described.default_factory is MISSING
            if needed and item not in values:
                raise ValueError(f"{item} is missing")
        given = {item: tuple(v) if isinstance(v, list) else v for item, v in values.items()}
        return kind(**own, **given)
    except ValueError as error:
        raise ModelFileError(f"{where}: [{title}]: {error}") from None


def _check_type(name: str, value: object, expected: Any) -> None:
    kinds = {"str": str, "int": int, "bool": bool, "tuple[str, ...]": list}
    kind = kinds.get(expected, Mapping)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{name} is {shown(value)}, but must be of type {kind.__name__.lower()}")
    if isinstance(value, list) and not all(isinstance(item, str) for item in value):
        raise ValueError(f"{name} is {shown(value)}, but must be a list of names")


def _add_presets(
    where: str,
    tables: Mapping[str, Any],
    presets: dict[str, Preset],
    files: dict[str, RegistryFile],
) -> None:
    """Add presets to `presets`, each on top of its base; files named by path, to `files`."""
    for name, values in tables.items():
        preset = _entry(where, f"presets.{name}", Preset, name, values)
        try:
            presets[name] = _on_its_base(preset, presets, files)
        except ValueError as error:
            raise ModelFileError(f"{where}: [presets.{name}]: {error}") from None


def _on_its_base(
    preset: Preset, presets: Mapping[str, Preset], files: dict[str, RegistryFile]
) -> Preset:
    for role, key in preset.files.items():
        if key not in files:
            if not with_home(key).is_absolute():
                raise ValueError(
                    f"files.{role} is {shown(key)}: neither a file of the list nor a whole path"
                )
            path = str(with_home(key))
            files[key] = RegistryFile(key, role, what="your own file", path=path)
        elif files[key].role != role:
            raise ValueError(f"files.{role} is {shown(key)}, whose role is {files[key].role}")
    if not preset.base:
        return replace(preset, family=preset.family or FAMILIES[0])
    if preset.base not in presets:
        raise ValueError(
            f"base is {shown(preset.base)}, but there is no preset of that name before it"
        )
    base = presets[preset.base]
    return replace(
        preset,
        family=preset.family or base.family,
        files={**base.files, **preset.files},
        settings={**base.settings, **preset.settings},
        packaged=preset.packaged or base.packaged,
    )
