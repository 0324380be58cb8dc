"""Presets for programs: what there is, what is missing, and getting it."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from ..errors import LicenseError
from ..families.pulid_encoders import encoders_of_weights
from ..terminal_text import shown
from .download import check_disk, download, plan_pull
from .license_acceptance import remember_accepted, unaccepted
from .model_store import ModelStore
from .registry import GENERATION_ROLES, ROLES, License, Preset

__all__ = ["PresetInfo", "PresetLicense", "PullProgress", "presets", "pull_preset"]

PullProgress = Callable[[str, int, int], None]
"""Called with a file's name, its bytes that are there, and all of them (0: not known)."""


@dataclass(frozen=True)
class PresetLicense:
    """Terms under which files of a preset may be used.

    Attributes:
        key: What `accept_licenses` names.
        name, url: Its name, and where its text is.
        commercial: Whether it allows commercial use; if not, it has to be accepted.
        accepted: Whether the user of this computer has accepted it.
    """

    key: str
    name: str
    url: str
    commercial: bool
    accepted: bool


@dataclass(frozen=True)
class PresetInfo:
    """A preset, and what of it is on this computer.

    Attributes:
        name: The name for `PulidPipeline.from_preset`.
        what, for_whom: What it is, and for whom, in a line each.
        family: "flux" or "sdxl": the kind of model, whose identities it takes.
        settings: Fields of `GenerationOptions`.
        size_bytes: Of all its files; of some only roughly.
        missing: Size in bytes of each file that is not there, by name.
        licenses: Of all its files, each once.
        encoders: Whose identities it takes: "flux", "sdxl-v1", "sdxl-v1.1"; more than one, as long
            as its PuLID weights are not there.
        packaged: Whether its files are in the package: a pocket model.
    """

    name: str
    what: str
    for_whom: str
    settings: Mapping[str, Any]
    size_bytes: int
    missing: Mapping[str, int]
    licenses: tuple[PresetLicense, ...]
    family: str = "flux"
    encoders: tuple[str, ...] = ("flux",)
    packaged: bool = False

    @property
    def complete(self) -> bool:
        """Whether all its files are there."""
        return not self.missing

    @property
    def download_bytes(self) -> int:
        """What is to be downloaded, if only roughly."""
        return sum(self.missing.values())


def presets(
    *, models_dirs: Sequence[str | os.PathLike[str]] = (), extraction: bool = True
) -> tuple[PresetInfo, ...]:
    """All presets, the user's own included; nothing is downloaded or asked for.

        for preset in presets():
            print(preset.name, preset.complete, preset.download_bytes)

    Args:
        models_dirs: Folders to search for files, before those of the user's config file and the
            hub's cache.
        extraction: Whether the files for photos count, too.

    Raises:
        ModelFileError: The user's config file is wrong.
    """
    store = ModelStore(models_dirs)
    roles = ROLES if extraction else GENERATION_ROLES
    return tuple(_described(store, preset, roles) for preset in store.registry.presets.values())


def pull_preset(
    preset: str,
    *,
    models_dirs: Sequence[str | os.PathLike[str]] = (),
    extraction: bool = True,
    accept_licenses: Collection[str] = (),
    on_progress: PullProgress | None = None,
) -> None:
    """Download the files of a preset that are missing, as `pulid-sdcpp models pull` does.

        pull_preset("flux-schnell-q4", accept_licenses=["insightface"])

    Without any missing nothing is asked of the network. An exception in `on_progress` stops it;
    what has arrived is kept for the next time.

    Args:
        preset, models_dirs, extraction: As for `presets`.
        accept_licenses: Keys of licenses that forbid commercial use, and that you accept:
            `PresetInfo.licenses` has them. What was accepted once is remembered.
        on_progress: Called with a file's name, its bytes that are there, and all of them.

    Raises:
        LicenseError: A license has to be accepted; names its key and where its text is.
        DownloadError: A file cannot be had, or the disk has no room.
        ValueError: There is no such preset, or no such license.
    """
    store = ModelStore(models_dirs)
    plan = plan_pull([preset], store, extraction=extraction)
    if isinstance(accept_licenses, str):
        raise ValueError(f"accept_licenses is {shown(accept_licenses)}, but must be a list")
    for key in accept_licenses:
        if key not in store.registry.licenses:
            known = ", ".join(plan.licenses)
            raise ValueError(f"there is no license {shown(key)}; preset {preset} has {known}")
    if not plan.missing:
        return
    check_disk(plan)
    terms = unaccepted(plan.licenses)
    if refused := {key: one for key, one in terms.items() if key not in accept_licenses}:
        named = "; ".join(f"{key} ({one.name} {one.url})" for key, one in refused.items())
        raise LicenseError(
            f"preset {preset}: these terms forbid commercial use, and have to be accepted: {named};"
            f" read them, and give accept_licenses={list(refused)}"
        )
    remember_accepted(terms.values())
    for source in plan.missing:
        told = None if on_progress is None else partial(on_progress, source.file.file_name)
        download(source, told)


def _described(store: ModelStore, preset: Preset, roles: Sequence[str]) -> PresetInfo:
    found = store.find_all(preset, roles).values()
    licenses = {
        one.file.license: store.registry.license_of(one.file) for one in found if one.file.published
    }
    return PresetInfo(
        name=preset.name,
        what=preset.what,
        for_whom=preset.for_whom,
        settings=MappingProxyType(dict(preset.settings)),
        size_bytes=sum(one.file.shown_bytes for one in found),
        missing=MappingProxyType(
            {one.file.file_name: one.file.shown_bytes for one in found if one.path is None}
        ),
        licenses=_licenses(licenses),
        family=preset.family,
        encoders=_encoders(store, preset),
        packaged=preset.packaged,
    )


def _encoders(store: ModelStore, preset: Preset) -> tuple[str, ...]:
    if preset.family != "sdxl":
        return ("flux",)
    weights = store.find_all(preset, ("pulid",)).get("pulid")
    if weights is None or weights.path is None:
        return ("sdxl-v1", "sdxl-v1.1")
    return encoders_of_weights(weights.path)


def _licenses(licenses: Mapping[str, License]) -> tuple[PresetLicense, ...]:
    open_ones = unaccepted(licenses)
    return tuple(
        PresetLicense(key, one.name, one.url, one.commercial, key not in open_ones)
        for key, one in licenses.items()
    )
