"""Which files extract and faces look at photos with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["chosen_preset", "detector_file", "enroller_files", "preset_files"]


def chosen_preset(given: Mapping[str, Any], models_dir: Path) -> str | None:
    """The preset that is named; "", for what they all share, where no folder is to be looked in."""
    if given.get("preset") is None and "models_dir" not in given and not models_dir.is_dir():
        return ""
    return given.get("preset")


def preset_files(preset: str, given: Mapping[str, Any], *roles: str) -> dict[str, Path]:
    """The preset's files for extraction by role; of all roles when none is named.

    Raises:
        ModelFileError, ValueError: As `extraction.files`.
    """
    from ...extraction.files import extraction_files
    from ...store.registry import EXTRACTION_ROLES

    folders = [given["models_dir"]] if "models_dir" in given else []
    return extraction_files(preset, folders, roles or EXTRACTION_ROLES)


def enroller_files(
    given: Mapping[str, Any], models_dir: Path, pulid_weights: Path | None = None
) -> dict[str, Path]:
    """The extractor's files, as `Enroller` and `IdentityExtractor` take them.

    Args:
        given: What the user gave.
        models_dir: The folder that is looked in, if it is not a preset.
        pulid_weights: PuLID weights in place of those found.

    Raises:
        ModelFileError, ValueError: As `extraction.files`.
    """
    if (name := chosen_preset(given, models_dir)) is None:
        own = {} if pulid_weights is None else {"pulid_weights": pulid_weights}
        return {"models_dir": models_dir, **own}
    from ...store.registry import EXTRACTION_ROLES

    roles = [role for role in EXTRACTION_ROLES if role != "pulid" or pulid_weights is None]
    files = preset_files(name, given, *roles)
    pulid = files.pop("pulid", pulid_weights)
    return files if pulid is None else {**files, "pulid_weights": pulid}


def detector_file(given: Mapping[str, Any], models_dir: Path) -> Path:
    """The face detector's.

    Raises:
        ModelFileError: It is not there.
        ValueError: There is no such preset.
    """
    if (name := chosen_preset(given, models_dir)) is not None:
        return preset_files(name, given, "detector")["detector"]
    from ...extraction.files import file_in_folder

    return file_in_folder(models_dir, "detector")
