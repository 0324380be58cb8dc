"""Folded identities kept on the disk, so that a person is folded once and not at every start.

One file per identity, weights and type, named by a hash of their contents; so none is ever out of
date. Any number of processes may use the same folder: a file appears whole or not at all, and of
two that write the same the last one's stays. The least recently used are removed when all
together would take more than PULID_SDCPP_FOLD_CACHE_MB. Whatever is wrong with the folder or a
file in it, the identity is folded as if there were no cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Literal, overload

import numpy as np
from numpy.typing import NDArray

from ..errors import OutputFileError
from ..families.flux.folding import PackedLayer, fold
from ..families.flux.pulid_weights import PulidWeights
from ..families.sdxl.folding import UnetLayerKV, fold_for_unet, slot_rows
from ..families.sdxl.pulid_weights import SdxlPulidWeights
from ..system.atomic_file import atomic_file, private_folder
from ..system.file_hash import remembered_hashes, remembered_sha256
from ..system.user_folders import cache_folder
from ..terminal_text import reason_of, shown
from .folded_file import (
    DamagedFileError,
    FoldedFileWriter,
    folded_file_bytes,
    read_folded_file,
    read_layout,
)
from .folded_layout import FileLayout, FoldedLayout, Layer, UnetFoldedLayout

__all__ = [
    "DEFAULT_LIMIT_MB",
    "FOLDING_VERSION",
    "FoldingCache",
    "find_folded",
    "limit_from_environment",
]

LOGGER = logging.getLogger("pulid_sdcpp.folding_cache")

FOLDING_VERSION = 1
"""Another one when the same identity and weights fold to other numbers: no old file fits then."""
DEFAULT_LIMIT_MB = 2048
"""Sixteen people of the published model in F16."""

_VARIABLE = "PULID_SDCPP_FOLD_CACHE_MB"
_SUFFIX = ".folded"
_WEIGHTS = "weights"  # the kind of hash that is remembered of a weights file
_ABANDONED_S = 3600.0
"""No identity takes an hour to write: a temporary file that old was left by a killed process."""


def limit_from_environment() -> int:
    """How much the cache may take, in bytes, by PULID_SDCPP_FOLD_CACHE_MB; 0: there is no cache.

    Raises:
        ValueError: The variable is not a whole number.
    """
    text = os.environ.get(_VARIABLE) or str(DEFAULT_LIMIT_MB)
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(
            f"{_VARIABLE} is {shown(text)}, but must be a whole number of MiB; 0 switches the "
            "cache off"
        )
    return int(text) << 20


class FoldingCache(Generic[Layer]):
    """Folds identities, or finds them folded.

    Args:
        weights: Open PuLID weights.
        limit_bytes: What all files in the folder may take together; 0: no cache.
        folder: Where they are; None: `folded` in the user's cache folder.
    """

    @overload
    def __init__(
        self: FoldingCache[PackedLayer],
        weights: PulidWeights,
        limit_bytes: int,
        folder: Path | None = None,
    ) -> None: ...

    @overload
    def __init__(
        self: FoldingCache[UnetLayerKV],
        weights: SdxlPulidWeights,
        limit_bytes: int,
        folder: Path | None = None,
    ) -> None: ...

    def __init__(
        self,
        weights: PulidWeights | SdxlPulidWeights,
        limit_bytes: int,
        folder: Path | None = None,
    ) -> None:
        self._weights = weights
        try:
            self._folder = folder or cache_folder() / "folded"
        except RuntimeError:  # a user without a home, as in some containers
            self._folder, limit_bytes = Path(), 0
        self._limit_bytes = limit_bytes
        self._has_warned = False

    def fold(
        self, tokens: NDArray[np.float32], dtype: Literal["f16", "f32", "q8_0"] = "f16"
    ) -> Iterator[Layer]:
        """As the family's `fold`, with the layers from the disk when they are there.

        When they are not, they are written while they are folded; when the iteration ends early,
        nothing is left.

        Raises:
            ValueError, ModelMismatchError, ModelFileError: As that `fold`.
        """
        tokens = np.ascontiguousarray(tokens, "<f4")
        folded, layout = _fold(self._weights, tokens, dtype)  # does nothing yet but check
        if folded_file_bytes(layout) > self._limit_bytes or not self._has_folder():
            return folded
        return self._found_or_folded(folded, layout, tokens)

    def _found_or_folded(
        self, folded: Iterator[Layer], layout: FileLayout[Layer], tokens: NDArray[np.float32]
    ) -> Iterator[Layer]:
        key = _key(self._weights_sha256, layout, tokens)
        path = self._folder / f"{key.hex()}{_SUFFIX}"
        n_found = 0
        try:
            for layer in read_folded_file(path, layout, key):
                n_found += 1
                yield layer
            LOGGER.debug("folded identity read from %s", path)
            with contextlib.suppress(OSError):
                os.utime(path)  # the time of last use, for _make_room
            return
        except FileNotFoundError:
            pass
        except (DamagedFileError, OSError) as error:
            LOGGER.warning("%s is made again: %s", path, error)
            with contextlib.suppress(OSError):
                path.unlink()
        for index, layer in enumerate(self._folded_and_kept(folded, layout, key, path)):
            if index >= n_found:  # what was good is given out already
                yield layer

    def _folded_and_kept(
        self, folded: Iterator[Layer], layout: FileLayout[Layer], key: bytes, path: Path
    ) -> Iterator[Layer]:
        _make_room(self._folder, self._limit_bytes - folded_file_bytes(layout))
        try:
            with atomic_file(path, private=True) as file:
                writer = FoldedFileWriter(file, layout, key)
                for layer in folded:
                    yield layer
                    writer.add(layer)
                writer.finish()
        except OutputFileError as error:
            self._warn(str(error))
        yield from folded  # the rest, when writing failed

    @cached_property
    def _weights_sha256(self) -> str:
        """Of what folding reads of the weights file."""
        weights = self._weights
        return remembered_sha256(
            weights.path,
            self._folder,
            lambda: weights.file.content_sha256(weights.layer_tensors()),
            kind=_WEIGHTS,
            stamp=weights.file.stamp,
        )

    def _has_folder(self) -> bool:
        try:
            # Not for others to read: it is as private as the photos behind it.
            private_folder(self._folder, f"*{_SUFFIX}")
        except OSError as error:
            self._warn(f"cannot create {self._folder}: {reason_of(error)}")
            return False
        return True

    def _warn(self, reason: str) -> None:
        """Once; a server would say it for every person."""
        level = logging.DEBUG if self._has_warned else logging.WARNING
        self._has_warned = True
        LOGGER.log(level, "folded identities are not kept: %s", reason)


def find_folded(tokens: NDArray[np.float32], folder: Path | None = None) -> list[Path]:
    """The files in which an identity is folded, for whatever weights and type.

    Args:
        tokens: The identity's.
        folder: Where to look; None: `folded` in the user's cache folder.
    """
    folder = folder or cache_folder() / "folded"
    tokens = np.ascontiguousarray(tokens, "<f4")
    weights = remembered_hashes(folder, kind=_WEIGHTS)
    found = []
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        with contextlib.suppress(DamagedFileError, OSError):
            layout = read_layout(path)
            if any(path.stem == _key(sha256, layout, tokens).hex() for sha256 in weights):
                found.append(path)
    return found


def _fold(
    weights: PulidWeights | SdxlPulidWeights, tokens: NDArray[np.float32], dtype: Any
) -> tuple[Iterator[Any], FileLayout[Any]]:
    """An identity's layers, and what they consist of, by the family of the weights."""
    if isinstance(weights, PulidWeights):
        folded = fold(weights, tokens, dtype)
        rows = weights.heads * len(tokens)
        return folded, FoldedLayout(weights.n_layers, rows, weights.hidden_size, dtype)
    keys_values = fold_for_unet(weights, tokens, dtype)
    widths = tuple(weights.widths.values())
    return keys_values, UnetFoldedLayout(widths, slot_rows(len(tokens)), dtype)


def _key(weights_sha256: str, layout: FileLayout[Any], tokens: NDArray[np.float32]) -> bytes:
    """Of an identity's folded file, which is named by it."""
    parts = (FOLDING_VERSION, weights_sha256, layout, tokens.shape)
    return hashlib.sha256(repr(parts).encode() + tokens.tobytes()).digest()


def _make_room(folder: Path, room_bytes: int) -> None:
    """Remove what was not used for longest, until the rest takes `room_bytes`."""
    used = []
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            with contextlib.suppress(OSError):  # another process was faster
                found = entry.stat()
                if entry.name.endswith(_SUFFIX):
                    used.append((found.st_mtime_ns, found.st_size, entry.path))
                elif entry.name.endswith(".part") and time.time() - found.st_mtime > _ABANDONED_S:
                    os.unlink(entry.path)
    total = sum(size for _, size, _ in used)
    for _, size, path in sorted(used):
        if total <= room_bytes:
            break
        with contextlib.suppress(OSError):  # Windows does not let go of a file that is read
            os.unlink(path)
            total -= size
