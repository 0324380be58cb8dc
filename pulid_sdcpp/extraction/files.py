"""The extractor's files of a preset, without those that generation needs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import ModelFileError
from ..pocket.pack import pocket_files
from ..store.model_store import ModelStore
from ..store.registry import EXTRACTION_ROLES, Preset, Registry

__all__ = ["extraction_files", "file_in_folder"]


def extraction_files(
    preset: str,
    models_dirs: Sequence[str | os.PathLike[str]] = (),
    roles: Sequence[str] = EXTRACTION_ROLES,
) -> dict[str, Path]:
    """Find a preset's files for making identities.

    Args:
        preset: Its name; "": the part of the published presets that has these roles, as they
            all have the same files for photos.
        models_dirs: Folders to look in, beside the config file's and the hub's cache.
        roles: Which files are needed.

    Returns:
        By role.

    Raises:
        ModelFileError: Files are missing or damaged; names each, and how to get it.
        ValueError: There is no such preset.
    """
    store = ModelStore(models_dirs)
    described = store.registry.preset(preset) if preset else _smallest_part(store.registry, roles)
    if described.packaged:
        from pulid_extractor.models_folder import find_model_files

        packaged = find_model_files(pocket_files().models_dir)
        return {role: getattr(packaged, role) for role in roles}
    found = store.find_all(described, roles)
    missing = "; ".join(file.describe_missing() for file in found.values() if file.path is None)
    if missing:
        whose = f"preset {preset}: " if preset else ""
        raise ModelFileError(
            f"{whose}missing model files: {missing}; get them with 'pulid-sdcpp models "
            f"pull {described.name}', or name a folder that has them"
        )
    return {role: file.path for role, file in found.items() if file.path is not None}


def _smallest_part(registry: Registry, roles: Sequence[str]) -> Preset:
    parts = [part for part in registry.parts.values() if set(part.files) >= set(roles)]
    return min(parts, key=lambda part: len(part.files))


def file_in_folder(models_dir: str | os.PathLike[str], role: str) -> Path:
    """One of the extractor's files in a folder, under its published name.

    Raises:
        ModelFileError: It is not there; says where it is published.
    """
    from pulid_extractor.models_folder import needed_model_file

    return needed_model_file(models_dir, role)
