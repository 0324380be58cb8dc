"""The option for LoRAs that are named beside the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .checks import FilePath
from .facts import option

__all__ = ["LoraOptions"]


@dataclass(frozen=True)
class LoraOptions:
    """The option, which those of a picture have, too."""

    loras: Sequence[FilePath] = option(
        (),
        "LoRA: a file, or a name in --lora-model-dir, with an optional weight; may be repeated. "
        "The same as <lora:NAME:WEIGHT> in the prompt.",
        flags="--lora",
        group="Model files",
        metavar="PATH[:WEIGHT]",
        evaluate=False,  # each of its prompts names its own
    )
