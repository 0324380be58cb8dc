"""Text from outside, made so that it cannot steer the terminal it is printed on."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Sequence

__all__ = [
    "alternatives",
    "control_character",
    "counted",
    "escaped",
    "escaped_line",
    "hint",
    "listed",
    "meant",
    "nearest",
    "quoted",
    "reason_of",
    "shortened",
    "shown",
]

_MAX_VALUE_CHARS = 100
_MAX_MESSAGE_CHARS = 1500
_JOINERS = {"\u200c", "\u200d"}  # belong to words of Persian and Hindi, and to emoji


def escaped(text: str) -> str:
    r"""The text with control characters as \x1b or \u202e; line breaks and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(char) if char not in "\n\t" and _steers(char) else char for char in text)


def escaped_line(text: str | os.PathLike[str]) -> str:
    r"""A name as one line: as `escaped`, and line breaks and tabs as \n and \t."""
    return escaped(os.fsdecode(text)).replace("\n", r"\n").replace("\t", r"\t")


def counted(number: int, noun: str, several: str = "") -> str:
    """A number with its noun: "1 picture", "2 pictures"; `several` is a plural without "s"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {several or f'{noun}s'}"


def quoted(text: object, limit: int = 60) -> str:
    """`text` from a file, fit for an error message: escaped, quoted and not too long."""
    shown = str(text)
    if len(shown) > limit:
        shown = shown[: limit - 1] + "…"
    return ascii(shown).replace("\\u2026", "…")


def reason_of(error: BaseException) -> str:
    """Why something failed, in the system's own words where it has some: "Permission denied"."""
    return getattr(error, "strerror", None) or str(error)


def shown(value: object) -> str:
    """A value as an error names it: its repr, or the beginning and the length of a long one."""
    if isinstance(value, str | bytes) and len(value) > _MAX_VALUE_CHARS:
        text, size = repr(value[:_MAX_VALUE_CHARS]), len(value)
        return f"{text[:-1]}…{text[-1]} ({size} characters)"
    try:
        text = repr(value)
    except ValueError:  # a whole number of more than 4,300 digits
        return f"a value of type {type(value).__name__} that is too long to show"
    if len(text) > 2 * _MAX_VALUE_CHARS:
        return f"{text[: 2 * _MAX_VALUE_CHARS]}…"
    return text


def alternatives(names: Sequence[str]) -> str:
    """Names of which one is to be chosen: "a", "a or b", "a, b or c"."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def listed(values: object) -> str:
    """Numbers as one types them, "0, 0.5, 1"; what is no list of them as `shown`."""
    if not isinstance(values, list | tuple):
        return shown(values)
    return ", ".join(f"{one:g}" if isinstance(one, float) else shown(one) for one in values)


def shortened(message: str) -> str:
    """A message that can be read: the middle of one of pages is left out."""
    if len(message) <= _MAX_MESSAGE_CHARS:
        return message
    left_out = len(message) - _MAX_MESSAGE_CHARS
    end = _MAX_MESSAGE_CHARS // 3
    start = _MAX_MESSAGE_CHARS - end
    return f"{message[:start]} … ({left_out} characters) … {message[-end:]}"


def meant(name: object, known: Iterable[str]) -> str:
    """After an error about a name: "did you mean X?", or, where none is near, which there are."""
    names = list(known)
    near = nearest(name, names)
    return f"did you mean {near}?" if near else f"there are: {', '.join(names)}"


def hint(name: object, known: Iterable[str]) -> str:
    """For the end of an error that lists names: "; did you mean X?", or "" where none is near."""
    near = nearest(name, known)
    return f"; did you mean {near}?" if near else ""


def nearest(name: object, known: Iterable[str]) -> str:
    """The known name that was meant, or ""; letters' size, and - and _, count as the same."""
    import difflib

    names = {one.casefold().replace("_", "-"): one for one in known}
    typed = str(name)[:_MAX_VALUE_CHARS].casefold().replace("_", "-")
    return next((names[one] for one in difflib.get_close_matches(typed, names, 1)), "")


def control_character(text: str) -> str:
    """The first character that nobody sees or that steers a terminal, as "U+001B"; or ""."""
    return next((f"U+{ord(char):04X}" for char in text if _steers(char)), "")


def _steers(char: str) -> bool:
    """Control characters, marks of direction, separators of lines, what takes no place."""
    return unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp") and char not in _JOINERS


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
