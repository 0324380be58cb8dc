"""The LoRAs in a folder: what they are called in a prompt, what they fit, what triggers them."""

from __future__ import annotations

import functools
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ModelFileError
from ..families.flux.layout import published_flux
from ..families.sdxl.unet_layout import published_sdxl_unet
from ..tensors.file_bytes import FileBytes
from ..tensors.tensor_header import TensorHeader
from .description import lora_header
from .lora_family import FAMILY_WORDS, lora_family
from .lora_layout import lora_layout
from .lora_places import LoraPlaces
from .lora_places_flux import FluxLoraPlaces
from .lora_places_sdxl import SdxlLoraPlaces

__all__ = ["PUBLISHED", "LoraFound", "list_loras", "lora_folders_below", "lora_names"]

PUBLISHED = {family: FAMILY_WORDS[family] for family in ("flux", "sdxl")}
"""What the published models of any size and type are called here, by family."""
_SUFFIXES = (".safetensors", ".gguf")
_FOLDER_NAMES = ("lora", "loras")  # as ComfyUI and Forge call them, in capitals or not
_MAX_DEPTH = 4
_MAX_FILES = 10_000
_MAX_WORDS = 5


@dataclass(frozen=True)
class LoraFound:
    """A LoRA file.

    Attributes:
        name: In a tag, where its folder is `lora_model_dir`.
        path: The file.
        size_bytes: Its size.
        fits: Names of the models that it can be used with.
        problem: Why it cannot be used with the published models of the family that it was made
            for, Flux where nothing tells; "" if it can.
        trigger_words: Words that its own text names for prompts, or that most of its training
            pictures had.
    """

    name: str
    path: Path
    size_bytes: int
    fits: tuple[str, ...]
    problem: str
    trigger_words: tuple[str, ...]


def list_loras(
    folder: str | os.PathLike[str], others: Mapping[str, LoraPlaces] | None = None
) -> list[LoraFound]:
    """The LoRAs in a folder and in the folders inside it, by name; only headers are read.

    Other files are left out.

    Args:
        folder: Where to look.
        others: Models that they may be for beside the published ones, by name.
    """
    root = Path(folder)
    models = {**_published(), **(others or {})}
    found = []
    for path in _files_below(root):
        header = _header(path)
        if header is None:
            continue
        problems = {name: _problem(header, str(path), places) for name, places in models.items()}
        found.append(
            LoraFound(
                name=_name(root, path),
                path=path,
                size_bytes=path.stat().st_size,
                fits=tuple(name for name, problem in problems.items() if not problem),
                problem=problems[PUBLISHED.get(lora_family(header) or "", PUBLISHED["flux"])],
                trigger_words=_trigger_words(header.metadata),
            )
        )
    return sorted(found, key=lambda lora: lora.name.lower())


def lora_names(folder: str | os.PathLike[str]) -> list[str]:
    """Names of the files in a folder that may be LoRAs; none is opened."""
    root = Path(folder)
    return sorted(_name(root, path) for path in _files_below(root))


def lora_folders_below(folder: str | os.PathLike[str]) -> list[Path]:
    """The folders of LoRAs in a models folder, or it itself if that is one."""
    root = Path(folder)
    if root.name.lower() in _FOLDER_NAMES:
        return [root]
    found = []
    for place, folders, _ in _walk(root):
        for name in [name for name in folders if name.lower() in _FOLDER_NAMES]:
            found.append(Path(place, name))
            folders.remove(name)
    return sorted(found)


def _name(root: Path, path: Path) -> str:
    return path.relative_to(root).with_suffix("").as_posix()


def _walk(root: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    for place, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if len(Path(place).relative_to(root).parts) >= _MAX_DEPTH:
            folders.clear()
        yield place, folders, files


def _files_below(root: Path) -> list[Path]:
    found = [
        Path(place, name)
        for place, _, files in _walk(root)
        for name in files
        if name.lower().endswith(_SUFFIXES)
    ]
    return found[:_MAX_FILES]


def _header(path: Path) -> TensorHeader | None:
    """None: it is no LoRA, or cannot be read."""
    try:
        with FileBytes(path, "a LoRA") as content:
            return lora_header(content, str(path))
    except (ModelFileError, OSError):
        return None


def _problem(header: TensorHeader, source: str, places: LoraPlaces) -> str:
    try:
        list(lora_layout(header, places, source))
    except ModelFileError as error:
        return str(error).removeprefix(f"{source}: ")
    return ""


@functools.cache
def _published() -> Mapping[str, LoraPlaces]:
    return {
        PUBLISHED["flux"]: FluxLoraPlaces(published_flux(guidance_embed=True)),
        PUBLISHED["sdxl"]: SdxlLoraPlaces(published_sdxl_unet()),
    }


def _trigger_words(metadata: Mapping[str, object]) -> tuple[str, ...]:
    """Source: the keys of Stability's ModelSpec, and of kohya's sd-scripts and ai-toolkit."""
    phrase = metadata.get("modelspec.trigger_phrase")
    if isinstance(phrase, str) and phrase.strip():
        return (phrase.strip(),)
    try:
        sets: Any = json.loads(str(metadata.get("ss_tag_frequency", "{}")))
        counts: Counter[str] = Counter()
        for tags in sets.values():
            counts.update({str(tag).strip(): int(count) for tag, count in tags.items()})
    except (ValueError, TypeError, AttributeError, RecursionError):
        return ()
    return tuple(tag for tag, _ in counts.most_common(_MAX_WORDS) if tag)
