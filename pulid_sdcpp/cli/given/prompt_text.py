"""Prompts that are not typed: from stdin (`-`) or from a file (`@FILE`)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from ...errors import PulidError
from ...system.regular_file import read_regular
from ...system.text_encoding import decoded
from ...system.user_folders import with_home
from ...terminal_text import reason_of

if TYPE_CHECKING:
    from ..progress.progress import Progress

__all__ = ["STDIN", "remark_open_choices", "stdin_bytes", "with_prompt_texts"]

STDIN = "-"
_MAX_BYTES = 1 << 20  # far more than a prompt may have, which its check says in characters
_FLAGS = {"prompt": "--prompt", "negative_prompt": "--negative-prompt"}


def with_prompt_texts(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """What was given, with prompts read from where they are.

    `-` is stdin, `@FILE` a file in UTF-8 or UTF-16 whose last line break does not count, `@@` an @
    that begins a prompt.

    Raises:
        click.UsageError: Both prompts on stdin; nothing in a file or on stdin; or no text.
        PulidError: A file that cannot be read.
    """
    if all(given.get(name) == STDIN for name in _FLAGS):
        raise click.UsageError("only one of --prompt and --negative-prompt can be read from stdin")
    found = {name: _read(given[name], flag) for name, flag in _FLAGS.items() if given.get(name)}
    return {**given, **found}


def remark_open_choices(given: Mapping[str, Any], progress: Progress) -> None:
    """Say where a choice may have been meant, as in "{red|blue", which is taken as text."""
    from ...options.prompt_template import parse_template

    for name, flag in _FLAGS.items() if not given.get("no_wildcards") else ():
        if given.get(name) and parse_template(given[name]).is_open:
            progress.note(f"{flag} has a {{ with | that no }} closes; it is taken as it is")


def stdin_bytes(what: str, max_bytes: int) -> bytes:
    """All that stdin has.

    Args:
        what: What is expected there, such as "the prompt".
        max_bytes: The most that it may be.

    Raises:
        click.UsageError: There is more, or no stdin.
    """
    stream: BinaryIO | None = getattr(sys.stdin, "buffer", None)
    if stream is None:
        raise click.UsageError(f"there is no stdin to read {what} from")
    if sys.stdin.isatty():
        end = "Ctrl-Z and Enter" if sys.platform == "win32" else "Ctrl-D"
        click.echo(f"reading {what} from the terminal; end it with {end} on a new line", err=True)
    content = stream.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise click.UsageError(f"{what} on stdin is longer than {max_bytes >> 20} MiB")
    return content


def _read(text: str, flag: str) -> str:
    if text.startswith("@@"):
        return text[1:]
    if text == STDIN:
        content, where = stdin_bytes("the prompt", _MAX_BYTES), "stdin"
    elif text.startswith("@"):
        path = with_home(text[1:])
        content, where = _file(path, flag), str(path)
    else:
        return text
    try:
        # One line break only: what else is there was typed.
        found = decoded(content).replace("\r\n", "\n").removesuffix("\n")
    except ValueError as error:
        raise click.UsageError(f"{flag}: {where}: {error}") from None
    if not found.strip():
        raise click.UsageError(f"{flag}: {where} is empty; expected a prompt")
    return found


def _file(path: Path, flag: str) -> bytes:
    try:
        return read_regular(path, _MAX_BYTES, stream=True)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = reason_of(error)
        raise PulidError(
            f"{flag}: cannot read {path}: {reason}; write @@ for a prompt that begins with @"
        ) from None
