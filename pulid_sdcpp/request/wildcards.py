"""Prompts with choices, resolved for each picture; the files that `__name__` stands for.

A wildcard is a file NAME.txt of UTF-8 or UTF-16 in a folder of wildcards, with an option on each
line; empty lines and those that begin with # do not count. `__animals/cat__` is cat.txt in the
folder animals. Lines may have choices and wildcards in them, and begin with a weight, `2::a cat`.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..options.prompt_template import Option, parse_option, parse_template
from ..options.prompt_weights import check_prompt
from ..system.regular_file import read_regular
from ..system.text_encoding import decoded
from ..system.user_config import load_user_config
from ..system.user_folders import config_folder
from ..terminal_text import nearest, reason_of

__all__ = ["Wildcards", "WrittenPrompts", "expand_prompt", "user_wildcards"]

_SUFFIX = ".txt"
_COMMENT = "#"
_MAX_BYTES = 16 << 20
_MOST_NAMES = 10_000  # that are looked through for what may be meant


@dataclass(frozen=True)
class WrittenPrompts:
    """The prompts of one picture.

    Attributes:
        prompt, negative_prompt: With nothing left to choose.
        templates: As they were written, under "prompt" and "negative_prompt", where they had
            choices.
    """

    prompt: str = ""
    negative_prompt: str = ""
    templates: Mapping[str, str] = field(default_factory=dict)


class Wildcards:
    """The files in some folders; each is read once.

    Args:
        folders: Looked in one after another; they need not be there.
    """

    def __init__(self, folders: Sequence[str | os.PathLike[str]] = ()) -> None:
        self._folders = tuple(map(Path, folders))
        self._found: dict[str, tuple[Option, ...]] = {}

    def and_in(self, folders: Sequence[str | os.PathLike[str]]) -> Wildcards:
        """These, and behind them those in more folders."""
        return Wildcards((*self._folders, *folders))

    def write(self, prompts: Mapping[str, str], seed: int) -> WrittenPrompts:
        """The prompts of the picture with this seed.

        Args:
            prompts: "prompt", "negative_prompt", or both.
            seed: 0 or more.

        Raises:
            ValueError: As `PromptTemplate.resolve` and `check_prompt`; names the prompt.
        """
        written: dict[str, str] = {}
        templates: dict[str, str] = {}
        for role, text in prompts.items():
            check_prompt(role, text)
            try:
                template = parse_template(text)
                written[role] = template.resolve(seed, role, self.options)
            except ValueError as error:
                raise ValueError(f"{role}: {error}") from None
            if template.has_choices:
                check_prompt(role, written[role])
                templates[role] = text
        return WrittenPrompts(**written, templates=templates)

    def options(self, name: str) -> tuple[Option, ...]:
        """The options of a wildcard.

        Raises:
            ValueError: There is no such file, or nothing in it.
        """
        if name not in self._found:
            self._found[name] = self._read(name)
        return self._found[name]

    def _read(self, name: str) -> tuple[Option, ...]:
        # No part of a name leads out of its folder.
        is_name = all(part and not part.startswith(".") for part in name.split("/"))
        for folder in self._folders if is_name else ():
            path = folder / f"{name}{_SUFFIX}"
            if path.is_file():
                return _options_in(path)
        near = nearest(name, self._names())
        meant = f"did you mean __{near}__? " if near else ""
        places = " or ".join(map(str, self._folders)) or "any folder: none is named"
        raise ValueError(
            f"there is no wildcard {name}: no file {name}{_SUFFIX} in {places}; {meant}"
            rf"for the text itself, write \__{name}__"
        )

    def _names(self) -> list[str]:
        return list(itertools.islice(self._all_names(), _MOST_NAMES))

    def _all_names(self) -> Iterator[str]:
        for folder in self._folders:
            for path in folder.rglob(f"*{_SUFFIX}"):
                yield path.relative_to(folder).with_suffix("").as_posix()


def user_wildcards(folders: Sequence[str | os.PathLike[str]] = ()) -> Wildcards:
    """The wildcards in these folders, in those of the config file (`wildcards_dirs`), and in the
    folder `wildcards` beside it.

    Raises:
        ModelFileError: The config file cannot be used.
    """
    own = config_folder() / "wildcards"
    return Wildcards((*folders, *load_user_config().wildcards_dirs, own))


def expand_prompt(
    template: str,
    seed: int,
    *,
    wildcards_dirs: Sequence[str | os.PathLike[str]] = (),
    role: str = "prompt",
) -> str:
    r"""Make the choices in a prompt, as `pulid-sdcpp generate` does for the picture with this seed.

        prompt = expand_prompt("a {red|blue} hat, __place__", seed=7, wildcards_dirs=["wildcards"])
        pipeline.generate(prompt, alice, seed=7)

    `generate` itself takes a prompt as it is.

    Args:
        template: With choices: `{red|blue}`, `{3::red|blue}`, `{2$$red|blue|green}`, and
            `__place__`, a line of place.txt in a folder of wildcards. A backslash in front of a
            brace or of `__` makes it text.
        seed: The same seed makes the same choices, on every computer.
        wildcards_dirs: Folders of wildcards, before those of the config file.
        role: "prompt" or "negative_prompt", whose choices differ.

    Returns:
        The prompt.

    Raises:
        ValueError: A wildcard that is not there or contains itself, or a prompt that becomes too
            long.
        ModelFileError: The config file cannot be used.
    """
    check_prompt("template", template)
    found = user_wildcards(wildcards_dirs)
    return parse_template(template).resolve(seed, role, found.options)


def _options_in(path: Path) -> tuple[Option, ...]:
    try:
        text = decoded(read_regular(path, _MAX_BYTES))
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read the wildcards {path}: {reason_of(error)}") from None
    lines = (line.strip() for line in text.splitlines())
    kept = [line for line in lines if line and not line.startswith(_COMMENT)]
    if not kept:
        raise ValueError(f"the wildcards {path} have no line")
    try:
        return tuple(map(parse_option, kept))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
