"""LoRAs that are named beside the prompt become tags of it, and files that these tags mean."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from ..errors import ModelFileError
from ..options.generation import GenerationOptions, with_checked
from ..options.lora_spec import LoraSpec, parse_lora
from ..system.user_folders import with_home
from ..terminal_text import quoted
from .lora_tags import LoraFiles, existing_lora, read_lora_tags, tag_of, without_tags

__all__ = ["named_files", "with_lora_tags", "with_preset_loras"]


def with_lora_tags(picture: GenerationOptions, *, instead: bool = False) -> GenerationOptions:
    """The options with a tag in the prompt for each of `loras`, and none of these left.

    The tags stand behind the prompt without a space, so that the words are the same as without.

    Args:
        picture: The options.
        instead: Replace tags of the same names, which the prompt has from before.

    Raises:
        ValueError: Two files of one name, or a name that a tag cannot have.
        ModelFileError: There is no such file.
    """
    if not picture.loras:
        return picture
    files = dict(picture.lora_files)
    tags = []
    for spec in map(parse_lora, picture.loras):
        name, path = _named(spec)
        if path is not None:
            if name in files and not _is_same(files[name], path):
                raise ValueError(
                    f"two LoRAs are called {quoted(name)}: {files[name]} and {path}; rename one"
                )
            files[name] = path
        tags.append((name, spec.weight))
    prompt = without_tags(picture.prompt, {name for name, _ in tags}) if instead else picture.prompt
    prompt += "".join(tag_of(name, weight) for name, weight in tags)
    return with_checked(picture, prompt=prompt, loras=(), lora_files=tuple(files.items()))


def with_preset_loras(picture: GenerationOptions, loras: LoraFiles) -> GenerationOptions:
    """The options with a tag of weight 1 for each LoRA of the preset.

    One whose name the prompt has in a tag keeps that tag's weight; 0 leaves it out.

    Args:
        picture: The options, as `with_lora_tags` leaves them.
        loras: Names of tags, each with its file.

    Raises:
        ValueError: A name that a tag cannot have; or as `read_lora_tags`.
    """
    if not loras:
        return picture
    there = {tag.name for tag in read_lora_tags(picture.prompt)[1]}
    tags = "".join(tag_of(name, 1.0) for name, _ in loras if name not in there)
    files = {**dict(loras), **dict(picture.lora_files)}
    return with_checked(picture, prompt=picture.prompt + tags, lora_files=tuple(files.items()))


def named_files(loras: Collection[str | os.PathLike[str]], folder: Path) -> tuple[str, ...]:
    """`loras` with paths that do not depend on the current folder.

    Args:
        loras: Each a PATH[:WEIGHT].
        folder: What relative paths are relative to.

    Raises:
        ValueError: As `parse_lora`. ModelFileError: There is no such file.
    """
    named = []
    for spec in map(parse_lora, loras):
        _, path = _named(spec, folder)
        named.append(f"{spec.path if path is None else path}:{spec.weight!r}")
    return tuple(named)


def _named(spec: LoraSpec, folder: Path | None = None) -> tuple[str, Path | None]:
    """A tag's name, and the file; None: one of that name in the LoRA folder."""
    try:
        home = with_home(Path(spec.path))
    except ValueError:  # a name that begins with ~
        home = Path(spec.path)
    path = existing_lora(home if folder is None else folder / home)
    if path is not None:
        return path.stem, path
    if not set(spec.path) & set("/\\:"):
        return spec.path, None
    raise ModelFileError(f"there is no LoRA {quoted(spec.path)}")


def _is_same(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    return os.path.abspath(one) == os.path.abspath(other)
