"""What is known of a preset's files that are not here."""

from __future__ import annotations

from collections.abc import Mapping

from ..model_files.published_layout import published_layout
from ..tensors.tensor_header import TensorInfo
from .model_store import FileFound

__all__ = ["absent_layouts"]


def absent_layouts(absent: Mapping[str, FileFound]) -> dict[str, tuple[TensorInfo, ...]]:
    """The tensors of files that are not here, to plan their memory.

    Args:
        absent: `PresetFiles.absent`.

    Returns:
        By the same fields of `ContextOptions`; of a LoRA, as "lora_files".

    Raises:
        ModelFileError: What is in one of them is not known.
    """
    return {
        field: _lora(found)
        if found.file.role == "lora"
        else published_layout(found.file.role, found.file.file_name)
        for field, found in absent.items()
    }


def _lora(found: FileFound) -> tuple[TensorInfo, ...]:
    """As large as the file; only that matters of it."""
    size = found.file.shown_bytes
    return (TensorInfo(found.file.tag_name, (size // 2,), "f16", 0, size),)
