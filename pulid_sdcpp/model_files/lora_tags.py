"""LoRA tags of a prompt, `<lora:NAME>` and `<lora:NAME:WEIGHT>`, and the files they name.

What the engine does not know as a tag it reads as words of the prompt, without a word about it;
so whatever begins like one is either read here or refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ModelFileError, named, option_error
from ..options.lora_spec import MAX_LORA_WEIGHT
from ..terminal_text import quoted

__all__ = [
    "LoraTag",
    "PromptLora",
    "check_no_lora_tags",
    "existing_lora",
    "find_lora",
    "prompt_loras",
    "read_lora_tags",
    "tag_of",
    "without_tags",
]

LoraFiles = Sequence[tuple[str, str | os.PathLike[str]]]
"""Names of tags, each with the file that it means."""

_TAG = re.compile(r"<lora:([^:<>]+)(?::([^<>]*))?>")
_NAME = re.compile(r"[^:<>]+")
_SPACE = r"[\s\u00ad\u200b-\u200f\u2060\ufeff]*"  # with what web pages hide in copied text
_LOOKS_LIKE_A_TAG = re.compile(
    rf"[<\uff1c]{_SPACE}(?:lora|lyco|lycoris){_SPACE}[:\uff1a][^>\uff1e]{{0,60}}", re.I
)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.I | re.ASCII)
_EXTENSIONS = ("", ".safetensors", ".gguf", ".pt")


@dataclass(frozen=True)
class LoraTag:
    """One tag.

    Attributes:
        name: Of a file in the LoRA folder, with or without its extension.
        weight: What its change is multiplied by, -100 to 100; 1 where the tag has none.
    """

    name: str
    weight: float = 1.0


def read_lora_tags(prompt: str) -> tuple[str, list[LoraTag]]:
    """Take the LoRA tags out of a prompt.

    Returns:
        The prompt without its tags, and the tags in their order.

    Raises:
        ValueError: A weight that is no number or too large, or what looks like a tag but is none.
    """
    tags = [LoraTag(tag[1], _weight(tag[1], tag[2])) for tag in _TAG.finditer(prompt)]
    rest = _TAG.sub("", prompt)
    if found := _LOOKS_LIKE_A_TAG.search(rest):
        raise ValueError(
            f"{quoted(found[0])} in the prompt looks like a LoRA tag, but is not one; write "
            "<lora:NAME:WEIGHT>"
        )
    return rest, tags


@dataclass(frozen=True)
class PromptLora:
    """A tag and its file.

    Attributes:
        name, weight: As of `LoraTag`.
        path: Absolute.
    """

    name: str
    weight: float
    path: Path


def prompt_loras(
    prompt: str,
    folder: str | os.PathLike[str] | None,
    files: LoraFiles = (),
    *,
    skip_missing: bool = False,
) -> list[PromptLora]:
    """The LoRAs that a prompt names, in the order of its tags; one may be there several times.

    Args:
        prompt: The prompt.
        folder: Where LoRAs are; None or "": the current one.
        files: As for `find_lora`.
        skip_missing: Leave out what `find_lora` does not find.

    Raises:
        ValueError: As `read_lora_tags` and `find_lora`.
        ModelFileError: There is no such file.
    """
    found = []
    for tag in read_lora_tags(prompt)[1]:
        try:
            path = find_lora(tag.name, folder or ".", files)
            found.append(PromptLora(tag.name, tag.weight, path))
        except (ValueError, ModelFileError):
            if not skip_missing:
                raise
    return found


def check_no_lora_tags(negative_prompt: str) -> None:
    """Refuse LoRA tags where the engine does not apply them.

    Raises:
        ValueError: There is one.
    """
    if found := _LOOKS_LIKE_A_TAG.search(negative_prompt):
        raise ValueError(
            f"{quoted(found[0])} in the negative prompt: a LoRA changes the model for both prompts;"
            " write it in the prompt"
        )


def tag_of(name: str, weight: float) -> str:
    """The tag that names a LoRA.

    Raises:
        ValueError: A name that a tag cannot have.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{quoted(name)} cannot be the name of a LoRA, which may not have : < or >; rename it"
        )
    return f"<lora:{name}:{weight!r}>".replace(".0>", ">")


def without_tags(prompt: str, names: Collection[str]) -> str:
    """A prompt without the tags of these names."""
    return _TAG.sub(lambda tag: "" if tag[1] in names else tag[0], prompt)


def existing_lora(path: Path) -> Path | None:
    """The absolute path of a file whose extension may be left out; None: there is none."""
    for extension in _EXTENSIONS:
        one = path.with_name(path.name + extension) if path.name else path
        try:
            if one.is_file():
                return Path(os.path.abspath(one))
        except (OSError, ValueError):  # a name that is too long, or that no file can have
            return None
    return None


def find_lora(name: str, folder: str | os.PathLike[str], files: LoraFiles = ()) -> Path:
    """The file that a tag names.

    Args:
        name: As in the tag: a path inside `folder`; the extension may be left out.
        folder: Where LoRAs are.
        files: What is looked up first: files that the user named, wherever they are.

    Returns:
        Its absolute path.

    Raises:
        ValueError: A name that leads out of the folder. Prompts also come from pictures of others.
        ModelFileError: There is no such file.
    """
    for known, file in files:
        if known == name:
            if (there := existing_lora(Path(file))) is None:
                raise ModelFileError(f"{os.fspath(file)}: there is no such LoRA")
            return there
    inside = os.path.normpath(name)
    leaves = inside.split(os.sep)[0] == os.pardir or os.path.isabs(inside)
    if leaves or os.path.splitdrive(inside)[0] or name.startswith(("/", "\\")) or "\0" in name:
        raise option_error(
            f"{quoted(f'<lora:{name}>')}: expected a file in the LoRA folder "
            f"({named('lora_model_dir')}), found a path out of it"
        )
    base = Path(folder, inside)
    if (found := existing_lora(base)) is not None:
        return found
    raise ModelFileError(
        f"there is no LoRA {quoted(name)} in {os.fspath(folder)}; its name or folder is wrong"
    )


def _weight(name: str, text: str | None) -> float:
    if text is None:
        return 1.0
    tag = quoted(f"<lora:{name}:{text}>")
    if not _NUMBER.fullmatch(text.strip()):
        raise ValueError(f"{tag}: its weight {quoted(text)} is not a number")
    weight = float(text)
    if abs(weight) > MAX_LORA_WEIGHT:
        raise ValueError(
            f"{tag}: its weight must be from {-MAX_LORA_WEIGHT:g} to {MAX_LORA_WEIGHT:g}"
        )
    return weight
