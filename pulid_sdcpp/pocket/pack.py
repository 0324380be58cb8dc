"""The pocket model: a complete small PuLID-Flux that lies in the package.

It was trained from scratch on drawn portraits (`pocket/` in the source folder) and is loaded by
the code that loads the published files. Only finding it is special, and one file is kept smaller
than the engine reads it: the text encoder, expanded once into the user's cache folder.
"""

from __future__ import annotations

import json
import os
import struct
import tempfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import ModelFileError, OutputFileError
from ..system.atomic_file import atomic_file
from ..system.file_hash import file_sha256
from ..system.json_record import read_json
from ..system.regular_file import open_regular
from ..system.user_folders import cache_folder
from ..terminal_text import reason_of

__all__ = [
    "MANIFEST_NAME",
    "PACK_FOLDER",
    "PocketFiles",
    "check_pack",
    "pocket_files",
    "write_manifest",
]

PACK_FOLDER = Path(__file__).with_name("model")
MANIFEST_NAME = "pack.json"
"""Name, size and SHA-256 of every other file of the pack."""

_VERSION = 1
_MAX_MANIFEST_BYTES = 1 << 20
_NAMES = {
    "diffusion_model": "flux1-schnell-pocket.gguf",
    "pulid_weights": "pulid_flux_v0.9.1.safetensors",
    "taesd": "taef1.safetensors",
    "judge": "judge.onnx",
    "attributes": "attributes.onnx",
    "detector": "antelopev2/scrfd_10g_bnkps.onnx",
    "recogniser": "antelopev2/glintr100.onnx",
}
_TEXT_ENCODER = "text_encoder.safetensors"
_PORTRAITS = "portraits"
_LORAS = "loras"
_SEAL_MAGIC = b"\0whole\0\0"
_SEAL = struct.Struct("<8sI")
"""Behind the expanded text encoder: the magic, and a checksum of what is before."""
_REMEDY = "reinstall pulid-sdcpp, or name the folder of a complete pack"


@dataclass(frozen=True)
class PocketFiles:
    """Where the pocket model's files are.

    Attributes:
        models_dir: The folder to give to the extractor.
        diffusion_model: Flux, for 128 x 128 pixels.
        pulid_weights: Cross-attention layers and IDFormer.
        taesd: The tiny autoencoder.
        clip_l: The text encoder, expanded; in the user's cache folder.
        detector, recogniser: The extractor's networks, for other uses.
        judge: A recogniser that extraction never uses, to score likeness with.
        attributes: Reads a drawn portrait's background, expression, style and shirt.
        portraits: Pictures of people that were not used in training, in order.
        loras: The folder for `lora_model_dir`: `<lora:two-people:1>` in a prompt makes pictures
            of two people, 256 x 128 pixels.
    """

    models_dir: Path
    diffusion_model: Path
    pulid_weights: Path
    taesd: Path
    clip_l: Path
    detector: Path
    recogniser: Path
    judge: Path
    attributes: Path
    portraits: tuple[Path, ...]
    loras: Path


def pocket_files(folder: str | os.PathLike[str] | None = None) -> PocketFiles:
    """Find the pocket model; at first use, expand its text encoder.

    Args:
        folder: A folder laid out like the package's own; None: the package's own.

    Raises:
        ModelFileError: It is missing, incomplete or damaged; says what to do.
        OutputFileError: The user's cache folder cannot be written to.
    """
    root = PACK_FOLDER if folder is None else Path(folder)
    hashes = check_pack(root, (*_NAMES.values(), _TEXT_ENCODER))
    portraits = sorted(name for name in hashes if name.startswith(f"{_PORTRAITS}/"))
    return PocketFiles(
        models_dir=root,
        clip_l=_expanded(root / _TEXT_ENCODER, hashes[_TEXT_ENCODER]),
        portraits=tuple(root / name for name in portraits),
        loras=root / _LORAS,
        **{role: root / name for role, name in _NAMES.items()},
    )


def check_pack(folder: Path = PACK_FOLDER, names: Iterable[str] = ()) -> dict[str, str]:
    """Compare every file of a pack with its manifest; 40 MB take a fraction of a second.

    Args:
        folder: Of the pack.
        names: Files that it must have.

    Returns:
        SHA-256 in hexadecimal by name, with / between folders.

    Raises:
        ModelFileError: The pack is absent, or a file is missing or not the one it should be.
    """
    hashes = {}
    for name, (size, digest) in _read_manifest(folder).items():
        path = folder / name
        if not path.is_file():
            raise ModelFileError(f"{path}: this file of the pocket model is missing; {_REMEDY}")
        # The size first: it is what is wrong with most damaged files, and says more.
        if (found := path.stat().st_size) != size:
            raise ModelFileError(
                f"{path}: expected {size} bytes of the pocket model, found {found}; {_REMEDY}"
            )
        if file_sha256(path) != digest:
            raise ModelFileError(
                f"{path}: expected a file of the pocket model with SHA-256 {digest[:10]}..., found "
                f"another content; {_REMEDY}"
            )
        hashes[name] = digest
    for name in names:
        if name not in hashes:
            raise ModelFileError(f"{folder}: the pocket model has no {name}; {_REMEDY}")
    return hashes


def write_manifest(folder: Path) -> Path:
    """Write the manifest of a pack that is complete.

    Raises:
        OutputFileError: It cannot be written.
    """
    path = folder / MANIFEST_NAME
    files = [
        {
            "name": file.relative_to(folder).as_posix(),
            "size": file.stat().st_size,
            "sha256": file_sha256(file),
        }
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file != path
    ]
    with atomic_file(path) as output:
        output.write(json.dumps({"version": _VERSION, "files": files}, indent=1).encode() + b"\n")
    return path


def _read_manifest(folder: Path) -> dict[str, tuple[int, str]]:
    path = folder / MANIFEST_NAME
    if not path.is_file():
        raise ModelFileError(f"{folder}: the pocket model is not there; {_REMEDY}")
    try:
        found = read_json(path, _MAX_MANIFEST_BYTES)
        return dict(map(_entry, _entries(found)))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFileError(
            f"{path}: expected the list of the pocket model's files, found something else "
            f"({type(error).__name__}); {_REMEDY}"
        ) from error


def _entries(manifest: Any) -> Any:
    if manifest["version"] != _VERSION:
        raise ValueError(f"version {manifest['version']}")
    return manifest["files"]


def _entry(entry: Mapping[str, Any]) -> tuple[str, tuple[int, str]]:
    return str(entry["name"]), (int(entry["size"]), str(entry["sha256"]))


def _expanded(compact: Path, digest: str) -> Path:
    """The text encoder as the engine reads it, made when it is not there or damaged.

    The name has the hash of what it is made of, so none is ever out of date.
    """
    try:
        path = cache_folder() / "pocket" / f"clip_l-{digest[:16]}.gguf"
    except RuntimeError as error:  # a user without a home, as in some containers
        raise OutputFileError(
            f"cannot keep the pocket model's text encoder: {error}; name a folder in "
            "PULID_SDCPP_CACHE"
        ) from None
    if _is_whole(path):
        return path
    from .text_encoder import expand_text_encoder

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # In a folder of its own: two processes may do this at once, and both succeed.
        with tempfile.TemporaryDirectory(prefix=".expanding-", dir=path.parent) as draft_folder:
            draft = Path(draft_folder, path.name)
            expand_text_encoder(compact, draft)
            _seal(draft)
            _replace(draft, path)
    except (OSError, OutputFileError) as error:
        reason = reason_of(error)
        raise OutputFileError(
            f"cannot write {path}: {reason}; PULID_SDCPP_CACHE names another folder for it"
        ) from error
    return path


def _seal(path: Path) -> None:
    """Write a checksum behind all that is in the file, where no reader of gguf looks."""
    with path.open("r+b") as file:
        checksum = _checksum(file, os.fstat(file.fileno()).st_size)
        file.seek(0, os.SEEK_END)
        file.write(_SEAL.pack(_SEAL_MAGIC, checksum))


def _is_whole(path: Path) -> bool:
    """Whether the file has all bytes that it was made with: a power cut may leave zeros."""
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size - _SEAL.size
            checksum = _checksum(file, size)
            return file.read() == _SEAL.pack(_SEAL_MAGIC, checksum)
    except OSError:
        return False


def _checksum(file: BinaryIO, size: int) -> int:
    """CRC-32 of the first `size` bytes: against damage; a forger could write anything else, too."""
    checksum = 0
    while size > 0 and (block := file.read(min(size, 1 << 20))):
        checksum = zlib.crc32(block, checksum)
        size -= len(block)
    return checksum


def _replace(draft: Path, path: Path) -> None:
    try:
        os.replace(draft, path)
    except PermissionError:
        # Windows does not replace a file that another process has just made and is reading.
        if not _is_whole(path):
            raise
