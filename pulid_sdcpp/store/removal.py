"""Removing what was fetched for a preset, and nothing else."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import ModelFileError
from ..terminal_text import reason_of
from .download import downloaded_paths, forget_downloads
from .model_store import FileFound, ModelStore

__all__ = ["Removal", "plan_removal", "remove"]


@dataclass(frozen=True)
class Removal:
    """What removing a preset means.

    Attributes:
        doomed: Files that only this preset uses.
        kept: Files that stay, with the reason.
    """

    doomed: tuple[FileFound, ...]
    kept: tuple[tuple[FileFound, str], ...]


def plan_removal(name: str, store: ModelStore) -> Removal:
    """Which of a preset's files may go.

    A file stays if it is the user's own, if another program fetched it, or if another preset
    that is all there uses it.

    Raises:
        ValueError: There is no such preset.
    """
    preset = store.registry.preset_or_part(name)
    ours = set(downloaded_paths())
    users: dict[str, list[str]] = {}
    for other in store.registry.presets.values():
        if other.name != name and all(f.path for f in store.find_all(other).values()):
            for key in other.files.values():
                users.setdefault(key, []).append(other.name)
    doomed, kept = [], []
    for found in store.find_all(preset).values():
        if found.path is None:
            continue
        if found.place == "folder":
            kept.append((found, "it is in a folder of yours"))
        elif found.path not in ours:
            kept.append((found, "pulid-sdcpp did not download it"))
        elif found.file.key in users:
            kept.append((found, f"{', '.join(users[found.file.key])} uses it"))
        else:
            doomed.append(found)
    return Removal(tuple(doomed), tuple(kept))


def remove(removal: Removal) -> int:
    """Remove the files.

    Returns:
        How many bytes that has freed.

    Raises:
        ModelFileError: A file cannot be removed.
    """
    paths = [found.path for found in removal.doomed if found.path is not None]
    try:
        freed = sum(_unlink(found) for found in removal.doomed if found.place == "downloads")
        freed += _remove_from_hub_cache(
            f.path for f in removal.doomed if f.path and f.place == "hub"
        )
    except OSError as error:
        raise ModelFileError(f"{error.filename}: cannot be removed: {reason_of(error)}") from error
    forget_downloads(paths)
    return freed


def _unlink(found: FileFound) -> int:
    assert found.path is not None
    size = found.path.stat().st_size
    found.path.unlink()
    return size


def _remove_from_hub_cache(paths: Iterable[Path]) -> int:
    """Remove files from huggingface_hub's cache; its own way where a whole revision goes."""
    doomed = set(paths)
    if not doomed:
        return 0
    from huggingface_hub import constants, scan_cache_dir

    freed = 0
    cache = scan_cache_dir(constants.HF_HUB_CACHE)
    whole: list[str] = []
    for repository in cache.repos:
        for revision in repository.revisions:
            files = {Path(file.file_path): Path(file.blob_path) for file in revision.files}
            if not doomed.intersection(files):
                continue
            if doomed.issuperset(files):
                whole.append(revision.commit_hash)
                continue
            for path in doomed.intersection(files):
                path.unlink()
                others = {
                    Path(file.blob_path)
                    for other in repository.revisions
                    for file in other.files
                    if Path(file.file_path) != path
                }
                content = files[path]
                if content not in others:
                    with contextlib.suppress(FileNotFoundError):
                        freed += os.path.getsize(content)
                        content.unlink()
    if whole:
        strategy = cache.delete_revisions(*whole)
        freed += strategy.expected_freed_size
        strategy.execute()
    return freed
