"""The header of a file of tensors, whichever of the two formats it has."""

from __future__ import annotations

from ..errors import ModelFileError
from ..system.file_signature import SIGNATURE_BYTES, signature
from .file_bytes import FileBytes
from .gguf_header import MAX_HEADER_BYTES, parse_gguf
from .safetensors_header import parse_safetensors
from .tensor_header import TensorHeader

__all__ = ["read_header"]


def read_header(
    content: bytes | FileBytes, source: str, max_header_bytes: int = MAX_HEADER_BYTES
) -> TensorHeader:
    """Read and check the header of a gguf or safetensors file.

    Raises:
        ModelFileError: Neither format, or damaged; the message says what it looks like instead.
    """
    found = signature(content[:SIGNATURE_BYTES])
    if found == "a gguf file":
        return parse_gguf(content, source, max_header_bytes)
    if found == "a safetensors file":
        return parse_safetensors(content, source, max_header_bytes)
    if source.endswith(".index.json"):
        found = "the list of a model's parts, and the engine reads only whole models"
    raise ModelFileError(f"{source}: expected a safetensors or gguf file, found {found}")
