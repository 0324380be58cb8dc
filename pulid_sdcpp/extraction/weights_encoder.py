"""Which encoder PuLID weights have, before the PyTorch half and the weights are loaded."""

from __future__ import annotations

import os
import pickletools
import zipfile
from collections.abc import Iterable
from pathlib import Path

from ..errors import ModelFileError
from ..identity.encoder import Encoder
from ..identity.encoder_tensors import encoder_of_tensors
from ..tensors.file_bytes import FileBytes
from ..tensors.file_header import read_header

__all__ = ["encoder_of_weights"]

_MAX_PICKLE_BYTES = 16 << 20
"""The list of tensors in a torch checkpoint; PuLID's has 250."""


def encoder_of_weights(path: str | os.PathLike[str]) -> Encoder | None:
    """The encoder in a weights file: safetensors, or the pickled file of v1.

    Only the names of its tensors are read, and nothing is unpickled.

    Returns:
        None: It cannot be told; whoever loads the file says what is wrong with it.
    """
    try:
        with FileBytes(path) as content:
            if content[:2] != b"PK":
                return encoder_of_tensors(read_header(content, os.fspath(path)).tensors)
        return encoder_of_tensors(_names_in_checkpoint(Path(path)))
    except (ModelFileError, OSError, ValueError, zipfile.BadZipFile):
        return None


def _names_in_checkpoint(path: Path) -> Iterable[str]:
    """All texts in the list of a torch checkpoint, the names of its tensors among them."""
    with zipfile.ZipFile(path) as archive:
        lists = [info for info in archive.infolist() if info.filename.endswith("data.pkl")]
        for info in lists[:1]:
            if info.file_size > _MAX_PICKLE_BYTES:
                return []
            content = archive.read(info)
            return [text for _, text, _ in pickletools.genops(content) if isinstance(text, str)]
    return []
