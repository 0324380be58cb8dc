"""The LoRAs of a prompt as the engine gets them: the very files that were checked."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from typing import Any

from ..families.flux.layout import FluxInfo
from ..families.sdxl.unet_layout import UnetInfo
from ..model_files.lora_checks import check_prompt_loras, has_quantized, lora_places
from ..model_files.lora_files import LoraFiles
from ..model_files.lora_tags import LoraFiles as LoraNames
from ..model_files.lora_tags import find_lora, read_lora_tags
from ..native.calls import base

__all__ = ["PromptLoras"]

_HIGH_NOISE = "|high_noise|"  # before the name of a LoRA: for the first of two video models


class PromptLoras:
    """Reads the LoRA tags of prompts for one model, in place of the binding's own reading.

    Args:
        model: The binding's.
        loaded_with: The constructor's arguments of the binding.
        known: The loaded Flux or SDXL model; None for another, which reads the user's files as they
            are.
        is_repacked: Whether quantized weights are in a layout that nothing can be added to.
    """

    def __init__(
        self,
        model: Any,
        loaded_with: Mapping[str, Any],
        known: FluxInfo | UnetInfo | None,
        is_repacked: bool,
    ) -> None:
        self._loaded_with = loaded_with
        self._known = known
        self._files: LoraFiles | None = None
        self._instead: Mapping[str, str] = {}
        self._named: LoraNames = ()
        if known is not None and (places := lora_places(loaded_with, known)) is not None:
            is_quantized = has_quantized(loaded_with, known)
            mode = loaded_with["lora_apply_mode"]
            self._files = LoraFiles(
                places,
                is_repacked=is_repacked and is_quantized,
                are_merged=mode == "immediately" or (mode == "auto" and not is_quantized),
            )
        model._extract_and_build_loras = self._native

    def prepare(
        self, prompt: str, negative_prompt: str, named: LoraNames = ()
    ) -> Mapping[str, str]:
        """Check the LoRAs of a prompt, and write them anew in the engine's names.

        Args:
            prompt, negative_prompt, named: Of a `GenerationOptions`, as `lora_files`.

        Returns:
            For `use`: what the engine gets in place of a file, by the user's.

        Raises:
            ValueError, ModelFileError: As `check_prompt_loras`; OutputFileError: There is no room.
        """
        paths = check_prompt_loras(prompt, self._loaded_with, negative_prompt, self._known, named)
        return {} if self._files is None else self._files.convert(paths)

    def use(self, instead: Mapping[str, str], named: LoraNames = ()) -> None:
        """The next prompt that the engine reads is this one's.

        Raises:
            GenerationError: A file is gone.
        """
        if self._files is not None:
            self._files.in_use(instead.values())
        self._instead, self._named = instead, named

    def close(self) -> None:
        """Remove what was written; the engine must be gone. Closing twice is harmless."""
        if self._files is not None:
            self._files.close()

    def _native(self, prompt: str, folder: str) -> tuple[str, Any, int, list[Any]]:
        """The prompt without tags, the native list, its length, and what must outlive it."""
        text, tags = read_lora_tags(prompt)
        weights: dict[tuple[bool, str], float] = {}
        for tag in tags:
            if not tag.weight:
                continue
            name = tag.name.removeprefix(_HIGH_NOISE)
            path = str(find_lora(name, folder or ".", self._named))
            use = (name != tag.name, self._instead.get(path, path))
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
