"""Hashes of the files that a picture is made with, as web UIs write them into its text.

    Model hash: 7e7f41a5c1, Lora hashes: "style: 0a1b2c3d4e5f"

A file is read once, about a second per gigabyte, and its hash remembered in the user's cache folder
(system/file_hash.py). The first time that is done on a thread of its own, beside the picture.

Source: AUTOMATIC1111 stable-diffusion-webui: modules/sd_models.py (the first 10 digits of a file's
SHA-256), extensions-builtin/Lora/network.py (the first 12 of that of a LoRA's data, "AutoV3").
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..model_files.lora_tags import LoraFiles, prompt_loras
from ..options.context import ContextOptions
from ..options.facts import of
from ..system.file_hash import (
    file_sha256,
    file_stamp,
    known_sha256,
    records_folder,
    remembered_files,
    remembered_sha256,
)
from ..system.regular_file import open_regular

__all__ = [
    "FileHashes",
    "ModelHashes",
    "file_digits",
    "files_known",
    "hashes_from",
    "hashes_now",
    "lora_digits",
    "loras_known",
    "write_hashes",
]

_FILES = {
    fact.text: name
    for name, fact in of(ContextOptions).items()
    if fact.kind == "file" and fact.text
}
"""Key of the text, as for the file's name, and field of `ContextOptions`."""
_FILES["Hires upscaler"] = "hires_upscaler"  # of `GenerationOptions`
_LORAS = "Lora hashes"
_DIGITS, _LORA_DIGITS = 10, 12
_IS_HASH = re.compile(rf"[0-9a-f]{{{_DIGITS},64}}")
_MAX_HEADER_BYTES = 100_000_000  # what the safetensors format allows
_SILENT_S = 2.0
_POLL_S = 0.1

Check = Callable[[], object]


@dataclass(frozen=True)
class FileHashes:
    """The first digits of the hashes.

    Attributes:
        files: By field of `ContextOptions`; the model's under "diffusion_model_path", and an
            upscaling model of a second pass under "hires_upscaler".
        loras: By name, as in the prompt's tags.
    """

    files: Mapping[str, str]
    loras: Mapping[str, str]


def _nothing() -> None:
    """What is called when nobody wants to know."""


@dataclass(frozen=True)
class _FileToHash:
    """A file to hash: whose it is, and what of it."""

    field: str  # "" for a LoRA
    name: str
    path: Path
    kind: str


def write_hashes(hashes: FileHashes) -> dict[str, str]:
    """Keys and values of a picture's text."""
    values = {
        f"{key} hash": hashes.files[field] for key, field in _FILES.items() if field in hashes.files
    }
    if hashes.loras:
        values[_LORAS] = ", ".join(f"{name}: {digits}" for name, digits in hashes.loras.items())
    return values


def hashes_from(values: Mapping[str, str]) -> FileHashes:
    """What a picture's text says; a picture from before has none. `values`: of `PictureText`."""
    files = {
        field: values[f"{key} hash"] for key, field in _FILES.items() if f"{key} hash" in values
    }
    pairs = (part.strip().rpartition(": ") for part in values.get(_LORAS, "").split(","))
    return FileHashes(files, {name: digits for name, _, digits in pairs if name and digits})


def hashes_now(
    context: ContextOptions,
    prompt: str = "",
    lora_files: LoraFiles = (),
    *,
    hires_upscaler: Path | None = None,
    on_read: Check | None = None,
) -> FileHashes:
    """The hashes of the files as they are; files that cannot be read are left out.

    Args:
        context: Names the files.
        prompt: Its tags name the LoRAs.
        lora_files: As those of `GenerationOptions`.
        hires_upscaler: The upscaling model of a second pass.
        on_read: Called before files are hashed, if any must be.
    """
    folder = records_folder()
    wanted = _wanted(context, prompt, lora_files, hires_upscaler, with_people=True)
    digests = {one: known_sha256(one.path, folder, kind=one.kind) for one in wanted}
    if on_read is not None and None in digests.values():
        on_read()
    for one, known in digests.items():
        if known is None:
            digests[one] = _digest(one, folder, None)
    return _shortened({one: digest for one, digest in digests.items() if digest is not None})


def file_digits(path: str | os.PathLike[str]) -> str:
    """The hash of a model file in a picture's text; "" if it cannot be read."""
    return _digits_now(_FileToHash("any", "", Path(path), "file"))[:_DIGITS]


def lora_digits(path: str | os.PathLike[str]) -> str:
    """Likewise that of a LoRA."""
    return _digits_now(_FileToHash("", "any", Path(path), "data"))[:_LORA_DIGITS]


def _digits_now(one: _FileToHash) -> str:
    return _digest(one, records_folder(), None) or ""


def files_known(hashes: FileHashes) -> dict[str, Path]:
    """Model files with these hashes, by field: where one was hashed, or renamed there."""
    found = {field: _known(digits, "file") for field, digits in hashes.files.items()}
    return {field: path for field, path in found.items() if path is not None}


def loras_known(hashes: FileHashes) -> dict[str, Path]:
    """LoRAs with these hashes, likewise, by name; if there are several, one of that name."""
    found = {name: _known(digits, "data", name) for name, digits in hashes.loras.items()}
    return {name: path for name, path in found.items() if path is not None}


def _known(digits: str, kind: str, name: str = "") -> Path | None:
    """A file with a hash: where it was, or under another name in the same folder."""
    folder = records_folder()
    if not _IS_HASH.fullmatch(digits):  # fewer digits could be anything's
        return None
    before = remembered_files(digits, folder, kind=kind)
    found = [
        path
        for path, _ in before
        if (known_sha256(path, folder, kind=kind) or "").startswith(digits)
    ]
    if not found:  # renamed: a file of that size is read
        for path, size in before:
            for one in _of_size(path.parent, path.suffix, size):
                digest = _digest(_FileToHash("", "", one, kind), folder, None) or ""
                found += [one] if digest.startswith(digits) else []
    return min(found, key=lambda path: path.stem != name, default=None)


def _of_size(folder: Path, suffix: str, size: int) -> list[Path]:
    try:
        return [one for one in sorted(folder.glob(f"*{suffix}")) if one.stat().st_size == size]
    except OSError:
        return []


class ModelHashes:
    """The hashes for the pictures of one pipeline; the files are read on a thread of its own.

    Used by one thread at a time; only `close` may come from others.
    """

    def __init__(self) -> None:
        self._engine: object = None
        self._known: dict[_FileToHash, tuple[tuple[int, ...], str]] = {}
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._wanted: list[_FileToHash] = []

    def begin(
        self,
        context: ContextOptions,
        prompt: str,
        lora_files: LoraFiles = (),
        *,
        hires_upscaler: Path | None = None,
        with_people: bool,
        engine: object,
    ) -> None:
        """Begin to read what is not known yet.

        Args:
            context, prompt, lora_files, hires_upscaler: As for `hashes_now`.
            with_people: Whether the PuLID weights count.
            engine: That has loaded the model: its files stay what they were then.
        """
        if engine is not self._engine:
            self._engine = engine
            self._known = {}
        self._wanted = _wanted(context, prompt, lora_files, hires_upscaler, with_people=with_people)
        missing = [one for one in self._wanted if not self._is_known(one)]
        if not missing or self._stopped.is_set():
            return
        before = self._thread  # of a picture that failed, perhaps still at work
        self._thread = threading.Thread(
            target=self._read, args=(missing, before), name="pulid-sdcpp-hashes", daemon=True
        )
        self._thread.start()

    def wait(self, on_wait: Check = _nothing, check: Check = _nothing) -> FileHashes:
        """The hashes of what `begin` was told.

        Args:
            on_wait: Called once if they are not there after a moment.
            check: Called now and then while they are not; what it raises is raised here.
        """
        if self._thread is not None:
            self._thread.join(_SILENT_S)
            if self._thread.is_alive():
                on_wait()
            while self._thread.is_alive():
                self._thread.join(_POLL_S)
                check()
        return _shortened({one: self._known[one][1] for one in self._wanted if one in self._known})

    def close(self) -> None:
        """Stop reading."""
        self._stopped.set()
        self._engine = None

    def _is_known(self, one: _FileToHash) -> bool:
        if one not in self._known:
            return False
        # What the engine reads again for each picture may be another file now.
        is_read_again = one.field in ("", "pulid_weights", "hires_upscaler")
        return not is_read_again or self._known[one][0] == file_stamp(one.path)

    def _read(self, wanted: list[_FileToHash], before: threading.Thread | None) -> None:
        if before is not None:
            before.join()
        folder = records_folder()
        for one in wanted:
            if self._is_known(one):
                continue
            stamp = file_stamp(one.path)
            try:
                digest = _digest(one, folder, self._check)
            except _StoppedError:
                return
            if digest is None or stamp != file_stamp(one.path):
                self._known.pop(one, None)
            else:
                self._known[one] = (stamp, digest)

    def _check(self) -> None:
        if self._stopped.is_set():
            raise _StoppedError


class _StoppedError(Exception):
    """`close` was called."""


def _wanted(
    context: ContextOptions,
    prompt: str,
    lora_files: LoraFiles,
    hires_upscaler: Path | None,
    *,
    with_people: bool,
) -> list[_FileToHash]:
    wanted = []
    for field in _FILES.values():
        path = hires_upscaler if field == "hires_upscaler" else getattr(context, field)
        if field == "diffusion_model_path":
            path = path or context.model_path
        is_unused = (field == "pulid_weights" and not with_people) or (
            field == "taesd_path" and not context.decodes_tiny
        )
        if path is None or is_unused:
            continue
        if Path(path).is_file():  # a model can be a folder
            wanted.append(_FileToHash(field, "", Path(path), "file"))
    for lora in prompt_loras(prompt, context.lora_model_dir, lora_files, skip_missing=True):
        # Web UIs leave these out, too: they part names from hashes.
        name = lora.name.replace(":", "").replace(",", "")
        wanted.append(_FileToHash("", name, lora.path, "data"))
    return list(dict.fromkeys(wanted))


def _digest(one: _FileToHash, folder: Path, check: Check | None) -> str | None:
    def compute() -> str:
        start = 0 if one.kind == "file" else _header_bytes(one.path)
        return file_sha256(one.path, start=start, check=check)

    try:
        return remembered_sha256(one.path, folder, compute, kind=one.kind)
    except OSError:
        return None


def _header_bytes(path: Path) -> int:
    """How much of a safetensors file is header; 0 for another.

    Web UIs know LoRAs by a hash of the rest, so that notes in the header do not count.
    """
    with open_regular(path) as file:
        head = file.read(9)
    length = int.from_bytes(head[:8], "little")
    is_safetensors = head[8:] == b"{" and length <= _MAX_HEADER_BYTES
    return 8 + length if is_safetensors else 0


def _shortened(digests: Mapping[_FileToHash, str]) -> FileHashes:
    files = {one.field: digest[:_DIGITS] for one, digest in digests.items() if one.field}
    loras = {one.name: digest[:_LORA_DIGITS] for one, digest in digests.items() if not one.field}
    return FileHashes(files, loras)
