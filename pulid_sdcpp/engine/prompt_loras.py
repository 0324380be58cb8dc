"""The LoRAs of a prompt as the engine gets them: the very files that were checked."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from typing import Any

from ..model_files.lora_tags import find_lora, read_lora_tags
from ..native.calls import base

__all__ = ["PromptLoras"]

_HIGH_NOISE = "|high_noise|"  # before the name of a LoRA: for the first of two video models


class PromptLoras:
    """Reads the LoRA tags of prompts for one model, in place of the binding's own reading.

    Args:
        model: The binding's.

    Attributes:
        files: What the engine gets in place of a file, by the user's; a file that is not named
            is given as it is.
    """

    def __init__(self, model: Any) -> None:
        self.files: Mapping[str, str] = {}
        model._extract_and_build_loras = self._native

    def _native(self, prompt: str, folder: str) -> tuple[str, Any, int, list[Any]]:
        """The prompt without tags, the native list, its length, and what must outlive it."""
        text, tags = read_lora_tags(prompt)
        weights: dict[tuple[bool, str], float] = {}
        for tag in tags:
            if not tag.weight:
                continue
            name = tag.name.removeprefix(_HIGH_NOISE)
            path = str(find_lora(name, folder or "."))
            use = (name != tag.name, self.files.get(path, path))
            weights[use] = weights.get(use, 0.0) + tag.weight
        used = [(use, weight) for use, weight in weights.items() if weight]
        native = base().stable_diffusion_cpp.sd_lora_t
        paths = [ctypes.create_string_buffer(os.fsencode(path)) for (_, path), _ in used]
        array = (native * len(used))(
            *(
                native(is_high_noise, weight, ctypes.cast(path, ctypes.c_char_p))
                for ((is_high_noise, _), weight), path in zip(used, paths, strict=True)
            )
        )
        return text, array, len(used), paths
