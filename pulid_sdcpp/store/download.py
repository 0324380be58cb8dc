"""Fetching the files of presets: what is missing, whether it fits the disk, and the fetching.

Files of the hub go into huggingface_hub's cache, others into a folder of our own cache.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import DownloadError, OutputFileError
from ..system.atomic_file import atomic_file
from ..system.json_record import read_json
from ..system.size_text import described_size
from ..terminal_text import reason_of
from .model_store import FileFound, ModelStore, downloads_folder
from .registry import GENERATION_ROLES, ROLES, License
from .resumable_download import PART_SUFFIX, download_file
from .source import ModelSource, Unreachable, find_source

__all__ = [
    "Pull",
    "check_disk",
    "download",
    "download_disks",
    "downloaded_paths",
    "forget_downloads",
    "plan_pull",
]

LEDGER_NAME = "downloaded.json"
_MAX_LEDGER_BYTES = 1 << 20


@dataclass(frozen=True)
class Pull:
    """What fetching some presets takes.

    Attributes:
        there: Files that are there already.
        missing: Files to fetch.
        licenses: Of all these files, by key, each once.
    """

    there: tuple[FileFound, ...]
    missing: tuple[ModelSource, ...]
    licenses: dict[str, License]


def plan_pull(names: Sequence[str], store: ModelStore, *, extraction: bool = True) -> Pull:
    """Find out what is missing of presets, and ask its homes for it.

    Args:
        extraction: Whether the extractor's files belong to it.

    Raises:
        DownloadError: Something is not to be had; if that is for want of a network, it says how
            much is missing.
        ValueError: There is no such preset.
    """
    roles = ROLES if extraction else GENERATION_ROLES
    files = {}
    for name in names:
        preset = store.registry.preset_or_part(name)
        files.update({file.key: file for file in store.registry.files_of(preset, roles).values()})
    found = [store.find(file) for file in files.values()]
    absent = [item for item in found if item.path is None]
    try:
        missing = tuple(find_source(item.file, store.registry) for item in absent)
    except Unreachable as error:
        names = ", ".join(item.describe_missing() for item in absent)
        total = described_size(sum(item.file.shown_bytes for item in absent))
        raise Unreachable(f"{error}; missing are {names}: {total} together") from None
    return Pull(
        there=tuple(item for item in found if item.path is not None),
        missing=missing,
        licenses={
            file.license: store.registry.license_of(file)
            for file in (*files.values(), *(source.file for source in missing))
        },
    )


def download_disks(pull: Pull) -> dict[Path, int]:
    """Bytes to come by folder, one folder for each disk."""
    needed: dict[int, tuple[Path, int]] = {}
    for source in pull.missing:
        folder = _existing(_target(source).parent)
        disk = folder.stat().st_dev
        first, size = needed.get(disk, (folder, 0))
        needed[disk] = first, size + max(source.size_bytes - _part_bytes(source), 0)
    return dict(needed.values())


def check_disk(pull: Pull) -> None:
    """Refuse what does not fit.

    Raises:
        DownloadError: Names the folder, what is free and what is needed.
    """
    for folder, needed in download_disks(pull).items():
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise DownloadError(
                f"the disk of {folder} has {described_size(free)} free, but "
                f"{described_size(needed)} are needed; make room, or name a folder on another disk "
                "in HF_HOME and PULID_SDCPP_CACHE"
            )


def download(source: ModelSource, on_progress: Callable[[int, int], None] | None = None) -> Path:
    """Fetch one file; it is there whole and with the right hash, or not at all.

    Args:
        on_progress: Called with the bytes that are there and all bytes (0: unknown).

    Returns:
        Where it is.

    Raises:
        DownloadError: It cannot be fetched or written, or is not what it should be.
    """
    if source.hub_folder is None:
        path = _target(source)
        _fetch(source, path, on_progress)
    else:
        path = _download_to_hub_cache(source, on_progress)
    _remember([*downloaded_paths(), path])
    return path


def downloaded_paths() -> list[Path]:
    """Files that this program has fetched, as far as it remembers."""
    try:
        found = read_json(downloads_folder() / LEDGER_NAME, _MAX_LEDGER_BYTES)
        return [Path(path) for path in found["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def forget_downloads(paths: Iterable[Path]) -> None:
    """Take files that were removed off the list."""
    gone = set(paths)
    _remember([path for path in downloaded_paths() if path not in gone])


def _download_to_hub_cache(
    source: ModelSource, on_progress: Callable[[int, int], None] | None
) -> Path:
    """Put the content where huggingface_hub keeps it, then let it do the rest.

    It finds the content there, and makes the links and notes that belong to its cache.
    """
    from huggingface_hub import hf_hub_download

    file = source.file
    content = _target(source)
    if not content.is_file():
        _fetch(source, content, on_progress)
    try:
        return Path(hf_hub_download(file.repository, file.path, revision=file.revision))
    except (OSError, ValueError) as error:  # its own errors are both
        reason = " ".join(str(error).split())
        raise DownloadError(f"{content}: cannot be put into the hub's cache: {reason}") from error


def _fetch(
    source: ModelSource, target: Path, on_progress: Callable[[int, int], None] | None
) -> None:
    download_file(
        source.url,
        target,
        size_bytes=source.size_bytes,
        sha256=source.sha256,
        name=source.file.file_name,
        headers=source.headers,
        on_progress=on_progress,
    )


def _target(source: ModelSource) -> Path:
    """Where the bytes go."""
    if source.hub_folder is None:
        return downloads_folder() / source.file.file_name
    from huggingface_hub import constants
    from huggingface_hub.file_download import are_symlinks_supported

    try:
        os.makedirs(constants.HF_HUB_CACHE, exist_ok=True)
        links = are_symlinks_supported(constants.HF_HUB_CACHE)
    except OSError as error:
        raise DownloadError(
            f"cannot write {constants.HF_HUB_CACHE}: {reason_of(error)}; HF_HOME names another "
            "folder"
        ) from error
    if links:
        return source.hub_folder / "blobs" / source.etag
    # Without links, its cache has the file itself in the place of the link.
    return source.hub_folder.joinpath("snapshots", source.commit, *source.file.path.split("/"))


def _part_bytes(source: ModelSource) -> int:
    """How much an earlier pull has left of it."""
    target = _target(source)
    with contextlib.suppress(OSError):
        return target.with_name(target.name + PART_SUFFIX).stat().st_size
    return 0


def _existing(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _remember(paths: Iterable[Path]) -> None:
    """Write the list of what was fetched; without it, `rm` only removes less."""
    text = json.dumps({"files": sorted({str(path) for path in paths})}, indent=1)
    with contextlib.suppress(OSError, OutputFileError):
        downloads_folder().mkdir(parents=True, exist_ok=True)
        with atomic_file(downloads_folder() / LEDGER_NAME) as file:
            file.write(text.encode())
