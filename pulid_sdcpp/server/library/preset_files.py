"""The presets as a client sees them, and their files: licenses, checking, removing.

All of it reads the disk: call it in a thread. Names of folders are in no answer.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ...pocket.pack import check_pack
from ...store.model_store import ModelStore
from ...store.presets import PresetInfo, presets
from ...store.removal import plan_removal, remove
from ...store.verification import check_file
from ...terminal_text import meant, shown
from ..errors import ApiError

__all__ = [
    "check_licenses",
    "known_preset",
    "preset_views",
    "removed_files",
    "verified_files",
]

ModelsDirs = Sequence[str | os.PathLike[str]]

_PROBLEMS = {"wrong": "it is damaged, or another file", "missing": "it is not here"}


def preset_views(
    models_dirs: ModelsDirs, *, default: str = "", loaded: Collection[str] = ()
) -> list[dict[str, Any]]:
    """All presets, as `GET /pulid/v1/presets` shows them.

    Args:
        models_dirs: Folders of model files.
        default: The preset of requests that name none.
        loaded: Those that are in memory.

    Raises:
        ModelFileError: The user's config file is wrong.
    """
    for_pictures = {one.name: one for one in presets(models_dirs=models_dirs, extraction=False)}
    return [
        _view(info, for_pictures[info.name], default=default, loaded=loaded)
        for info in presets(models_dirs=models_dirs)
    ]


def known_preset(name: str, models_dirs: ModelsDirs, *, photos: bool = True) -> PresetInfo:
    """A preset, and what of it is here.

    Args:
        name: Its name.
        models_dirs: Folders of model files.
        photos: Whether the files that only photos need count, too.

    Raises:
        ApiError: "model_not_found": there is none of this name.
    """
    found = {one.name: one for one in presets(models_dirs=models_dirs, extraction=photos)}
    if name not in found:
        raise ApiError("model_not_found", f"there is no preset {shown(name)}; {meant(name, found)}")
    return found[name]


def check_licenses(info: PresetInfo, accepted: Collection[str]) -> None:
    """Refuse to fetch what has terms that nobody has accepted.

    Args:
        info: The preset.
        accepted: Keys of licenses that are accepted now.

    Raises:
        ApiError: "forbidden": names them; "invalid_value": a key that the preset does not have.
    """
    known = [one.key for one in info.licenses]
    for key in accepted:
        if key not in known:
            raise ApiError(
                "invalid_value",
                f"accept_licenses: {info.name} has no license {shown(key)}; {meant(key, known)}",
                "accept_licenses",
            )
    if info.complete:
        return
    refused = [
        one for one in info.licenses if not (one.commercial or one.accepted or one.key in accepted)
    ]
    if refused:
        named = "; ".join(f"{one.key} ({one.name} {one.url})" for one in refused)
        raise ApiError(
            "forbidden",
            f"these terms forbid commercial use, and have to be accepted: {named}; read them, and "
            "name their keys in accept_licenses",
            "accept_licenses",
        )


def verified_files(name: str, models_dirs: ModelsDirs) -> list[dict[str, Any]]:
    """Compare every file of a preset with its published size and hash; reads all of them.

    Returns:
        For each file `file`, `state` (ok, size, unknown, wrong, missing) and `problem`.

    Raises:
        ModelFileError: A file cannot be read.
        ValueError: There is no such preset.
    """
    store = ModelStore(models_dirs)
    preset = store.registry.preset_or_part(name)
    checked = [check_file(found) for found in store.find_all(preset).values()]
    rows = [
        {
            "file": one.found.file.file_name,
            "state": one.state,
            "problem": _PROBLEMS.get(one.state, ""),
        }
        for one in checked
    ]
    if preset.packaged:
        rows += [{"file": file, "state": "ok", "problem": ""} for file in check_pack()]
    return rows


def removed_files(name: str, models_dirs: ModelsDirs) -> dict[str, Any]:
    """Remove what was downloaded for a preset and nothing else needs.

    Returns:
        `removed` (names of files), `kept` (with the reason) and `freed_bytes`.

    Raises:
        ModelFileError: A file cannot be removed.
        ValueError: There is no such preset.
    """
    removal = plan_removal(name, ModelStore(models_dirs))
    return {
        "removed": [found.file.file_name for found in removal.doomed],
        "kept": [
            {"file": found.file.file_name, "reason": reason} for found, reason in removal.kept
        ],
        "freed_bytes": remove(removal),
    }


def _view(
    info: PresetInfo, for_pictures: PresetInfo, *, default: str, loaded: Collection[str]
) -> dict[str, Any]:
    return {
        "name": info.name,
        "what": info.what,
        "for_whom": info.for_whom,
        "complete": for_pictures.complete,
        "loaded": info.name in loaded,
        "default": info.name == default,
        "settings": dict(info.settings),
        "size_bytes": info.size_bytes,
        "missing": _missing(info.missing, for_pictures.missing),
        "download_bytes": info.download_bytes,
        "licenses": [asdict(one) for one in info.licenses],
    }


def _missing(
    all_of_them: Mapping[str, int], of_pictures: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Files that are not here; some are needed for photos only, not for kept people."""
    return [
        {"file": file, "bytes": size, "photos_only": file not in of_pictures}
        for file, size in all_of_them.items()
    ]
