"""The pocket SDXL: where its files are, which are expanded once into the user's cache folder.

A folder of expanded files has a manifest like the pack's own, by which damage is noticed; its name
has the hash of what it is made of, so none is ever out of date.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..errors import ModelFileError, OutputFileError
from ..system.file_hash import file_stamp
from ..system.user_folders import cache_folder
from ..terminal_text import reason_of
from .pack import PACK_FOLDER, check_pack, pocket_files, write_manifest

__all__ = ["PocketSdxlFiles", "pocket_sdxl_files"]

_OWN = "sdxl.gguf"
_SOURCES = (_OWN, "pulid_flux_v0.9.1.safetensors", "taef1.safetensors")
"""What files are expanded of: also what the pocket SDXL shares with the pocket Flux."""
_EXPANSION = "1"
"""To be changed when the same sources are expanded otherwise."""
_known_whole: dict[Path, tuple[tuple[int, ...], ...]] = {}
"""Folders that were read once, and their files' stamps then: 78 MB need not be read again."""


@dataclass(frozen=True)
class PocketSdxlFiles:
    """Where the pocket SDXL's files are; all else is that of `PocketFiles`.

    Attributes:
        diffusion_model: The UNet, for 128 x 128 pixels.
        pulid_weights: PuLID v1.1's layers and IDFormer.
        taesd: The tiny autoencoder.
        clip_l: The text encoder, the pocket Flux's.
        clip_g: A second text encoder, which says nothing.
    """

    diffusion_model: Path
    pulid_weights: Path
    taesd: Path
    clip_l: Path
    clip_g: Path


def pocket_sdxl_files(folder: str | os.PathLike[str] | None = None) -> PocketSdxlFiles:
    """Find the pocket SDXL; at first use, expand its files.

    Args:
        folder: A folder laid out like the package's own; None: the package's own.

    Raises:
        ModelFileError: It is missing, incomplete or damaged; says what to do.
        OutputFileError: The user's cache folder cannot be written to.
    """
    root = PACK_FOLDER if folder is None else Path(folder)
    hashes = check_pack(root, _SOURCES)
    expanded = _expanded(root, [hashes[name] for name in _SOURCES])
    from .sdxl_expansion import NAMES

    files = {role: expanded / name for role, name in NAMES.items()}
    return PocketSdxlFiles(clip_l=pocket_files(folder).clip_l, **files)


def _expanded(root: Path, hashes: list[str]) -> Path:
    digest = hashlib.sha256("".join((_EXPANSION, *hashes)).encode()).hexdigest()
    try:
        folder = cache_folder() / "pocket" / f"sdxl-{digest[:16]}"
    except RuntimeError as error:  # a user without a home, as in some containers
        raise OutputFileError(
            f"cannot keep the pocket SDXL's files: {error}; name a folder in PULID_SDCPP_CACHE"
        ) from None
    if _is_whole(folder):
        return folder
    from .sdxl_expansion import expand_sdxl

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".expanding-", dir=folder.parent) as made:
            draft = Path(made, folder.name)
            draft.mkdir()
            compact, flux_pulid, taef1 = (root / name for name in _SOURCES)
            expand_sdxl(compact, flux_pulid, taef1, draft)
            write_manifest(draft)
            _replace(draft, folder)
    except (OSError, OutputFileError) as error:
        raise OutputFileError(
            f"cannot write {folder}: {reason_of(error)}; PULID_SDCPP_CACHE names another folder "
            "for it"
        ) from error
    return folder


def _is_whole(folder: Path) -> bool:
    """Whether all files are there as they were made: a power cut may leave zeros."""
    try:
        stamps = tuple(file_stamp(path) for path in sorted(folder.iterdir()))
        if _known_whole.get(folder) != stamps:
            check_pack(folder)
            _known_whole[folder] = stamps
    except (ModelFileError, OSError):
        return False
    return True


def _replace(draft: Path, folder: Path) -> None:
    try:
        os.replace(draft, folder)
    except OSError:
        # Another process was faster, or what is there is damaged.
        if _is_whole(folder):
            return
        shutil.rmtree(folder)
        os.replace(draft, folder)
