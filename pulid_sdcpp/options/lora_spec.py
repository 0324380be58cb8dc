"""A LoRA that is named beside the prompt: `PATH[:WEIGHT]`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from ..errors import named, option_error
from ..terminal_text import shown
from .checks import FilePath, check_path

__all__ = ["MAX_LORA_WEIGHT", "LoraSpec", "check_loras", "parse_lora"]

MAX_LORA_WEIGHT = 100.0
"""Either way; published LoRAs are made for 1, sliders go to about 10."""

_WEIGHT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.I | re.ASCII)


@dataclass(frozen=True)
class LoraSpec:
    """What is named.

    Attributes:
        path: Of a file, or the name of one in the LoRA folder, as it was written.
        weight: What its change is multiplied by; 1 where none is named.
    """

    path: str
    weight: float = 1.0


def check_loras(loras: object) -> None:
    """Refuse what is no list of `PATH[:WEIGHT]`.

    Raises:
        ValueError: Names what was given.
    """
    if not isinstance(loras, list | tuple):
        raise option_error(
            f"{named('loras')} is {shown(loras)}, but must be a list of PATH or PATH:WEIGHT"
        )
    for lora in loras:
        parse_lora(lora)


def parse_lora(text: FilePath) -> LoraSpec:
    r"""Read `PATH[:WEIGHT]`; the path may have a drive, as in `C:\loras\style.safetensors:0.8`.

    Raises:
        ValueError: No path, or a weight out of range.
    """
    if text is None:
        raise option_error(f"{named('loras')} has None, but must have PATH or PATH:WEIGHT")
    check_path("loras", text)
    whole = os.fspath(text)
    path, colon, weight = whole.rpartition(":")
    if not colon or not _WEIGHT.fullmatch(weight.strip()):
        path, weight = whole, "1"
    if not path.strip():
        raise option_error(
            f"{named('loras')} has {shown(whole)}, but must have PATH or PATH:WEIGHT"
        )
    if abs(float(weight)) > MAX_LORA_WEIGHT:
        raise option_error(
            f"{named('loras')} has {shown(whole)}, whose weight must be from "
            f"{-MAX_LORA_WEIGHT:g} to {MAX_LORA_WEIGHT:g}"
        )
    return LoraSpec(path.strip(), float(weight))
