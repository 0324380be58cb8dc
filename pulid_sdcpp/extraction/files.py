"""The extractor's files of a preset, without those that generation needs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import ModelFileError
from ..pocket.pack import pocket_files
from ..store.model_store import ModelStore
from ..store.registry import EXTRACTION_ROLES, Preset

__all__ = ["extraction_files", "file_in_folder"]


def extraction_files(
    preset: str,
    models_dirs: Sequence[str | os.PathLike[str]] = (),
    roles: Sequence[str] = EXTRACTION_ROLES,
) -> dict[str, Path]:
    """Find a preset's files for making identities.

    Args:
        preset: Its name, or that of a part that has these roles, such as "extraction-sdxl"; "":
            the smallest part that has them, with PuLID's weights for Flux.
        models_dirs: Folders to look in, beside the config file's and the hub's cache.
        roles: Which files are needed.

    Returns:
        By role.

    Raises:
        ModelFileError: Files are missing or damaged; names each, and how to get it.
        ValueError: There is no such preset, or the part lacks a role.
    """
    store = ModelStore(models_dirs)
    parts = [part for part in store.registry.parts.values() if set(part.files) >= set(roles)]
    if not preset:
        described = min(parts, key=_count)
    elif preset in (part.name for part in parts):
        described = store.registry.preset_or_part(preset)
    else:
        described = store.registry.preset(preset)
    if described.packaged:
        from pulid_extractor.models_folder import find_model_files

        packaged = find_model_files(pocket_files().models_dir)
        paths: dict[str, Path] = {role: getattr(packaged, role) for role in roles}
        if described.family == "sdxl" and "pulid" in paths:
            from ..pocket.sdxl_pack import pocket_sdxl_files

            paths["pulid"] = pocket_sdxl_files().pulid_weights
        return paths
    found = store.find_all(described, roles)
    missing = "; ".join(file.describe_missing() for file in found.values() if file.path is None)
    if missing:
        whose = f"preset {preset}: " if preset else ""
        same = [
            part for part in parts if all(part.files[r] == described.files.get(r) for r in roles)
        ]
        smallest = min(same, key=_count, default=described)
        alone = f"all of the preset with 'models pull {described.name}', "
        raise ModelFileError(
            f"{whose}missing model files: {missing}; get them with 'pulid-sdcpp models pull "
            f"{smallest.name}', {'' if smallest.name == described.name else alone}or name a "
            "folder that has them"
        )
    return {role: file.path for role, file in found.items() if file.path is not None}


def _count(part: Preset) -> int:
    return len(part.files)


def file_in_folder(models_dir: str | os.PathLike[str], role: str) -> Path:
    """One of the extractor's files in a folder, under its published name.

    Raises:
        ModelFileError: It is not there; says where it is published.
    """
    from pulid_extractor.models_folder import needed_model_file

    return needed_model_file(models_dir, role)
