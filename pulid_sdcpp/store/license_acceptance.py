"""Which terms of use the user has accepted: asked once, remembered in the config folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..errors import OutputFileError
from ..system.atomic_file import atomic_file
from ..system.json_record import read_json
from ..system.user_folders import config_folder
from ..terminal_text import reason_of
from .registry import License

__all__ = ["remember_accepted", "unaccepted"]

_NAME = "accepted-licenses.json"
_MAX_BYTES = 1 << 20


def unaccepted(licenses: Mapping[str, License]) -> dict[str, License]:
    """Those that forbid commercial use and were not accepted yet.

    Accepted is a text, not a key: terms with another name or address are asked for again.
    """
    accepted = _accepted()
    return {
        key: terms
        for key, terms in licenses.items()
        if not terms.commercial and _text(terms) not in accepted
    }


def remember_accepted(licenses: Iterable[License]) -> None:
    """Note that the user has accepted these.

    Raises:
        OutputFileError: The config folder cannot be written.
    """
    texts = sorted({*_accepted(), *map(_text, licenses)})
    path = _path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputFileError(f"cannot write {path}: {reason_of(error)}") from error
    with atomic_file(path) as file:
        file.write(json.dumps({"accepted": texts}, indent=1).encode() + b"\n")


def _accepted() -> set[str]:
    try:
        found = read_json(_path(), _MAX_BYTES)
        return {str(text) for text in found["accepted"]}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _text(terms: License) -> str:
    return f"{terms.name} {terms.url}".strip()


def _path() -> Path:
    return config_folder() / _NAME
