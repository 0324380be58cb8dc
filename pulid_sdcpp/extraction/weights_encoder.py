"""Which encoder PuLID weights have, before the PyTorch half and the weights are loaded."""

from __future__ import annotations

import os

from ..errors import ModelFileError
from ..identity.encoder import Encoder
from ..identity.encoder_tensors import encoder_of_tensors
from ..tensors.file_bytes import FileBytes
from ..tensors.file_header import read_header
from ..tensors.torch_checkpoint import TorchCheckpoint

__all__ = ["encoder_of_weights"]


def encoder_of_weights(path: str | os.PathLike[str]) -> Encoder | None:
    """The encoder in a weights file: safetensors, or the pickled file of v1.

    Only the list of its tensors is read.

    Returns:
        None: It cannot be told; whoever loads the file says what is wrong with it.
    """
    try:
        with FileBytes(path) as content:
            if content[:2] != b"PK":
                return encoder_of_tensors(read_header(content, os.fspath(path)).tensors)
        with TorchCheckpoint(path) as checkpoint:
            return encoder_of_tensors(checkpoint.tensors)
    except ModelFileError:
        return None
