"""Names that clients give for people, LoRAs and models: never paths, whatever they look like."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path

from ...identity.kept_people import IDENTITY_SUFFIXES, check_person_name
from ...system.output_names import folded, is_device_name
from ...terminal_text import meant, shown
from ..errors import ApiError

__all__ = ["file_called", "known_name", "name_of_person", "person_in_path", "plain_name"]

_NAME = re.compile(r"[A-Za-z0-9 ._+-]{1,100}")


def plain_name(value: object, *, param: str) -> str:
    """A name of a file in one of our folders, or of a preset.

    Args:
        value: What a client gave.
        param: The field, for messages.

    Raises:
        ApiError: invalid_value: it is no text, a path, or has other characters than ASCII letters,
            digits, spaces and ._+-
    """
    if not isinstance(value, str):
        raise _bad(value, param, "must be a name")
    is_odd = value != value.strip() or value.endswith(".") or is_device_name(value)
    if not _NAME.fullmatch(value) or value.startswith(".") or ".." in value or is_odd:
        raise _bad(
            value,
            param,
            "must be a name, not a path: 1 to 100 ASCII letters, digits, spaces or ._+-, with no "
            "dot at an end",
        )
    return value


def name_of_person(value: object, *, param: str) -> str:
    """A name that somebody can be kept by, in any script.

    Raises:
        ApiError: invalid_value: as `check_person_name`.
    """
    try:
        return check_person_name(value)
    except ValueError as error:
        raise ApiError("invalid_value", f"{param}: {error}", param) from None


def person_in_path(value: object, *, param: str) -> str:
    """The person's name in the path of an identity file on a client's idea of this computer.

    Some servers take such a path. Here nothing but its last part counts, without its suffix.

    Raises:
        ApiError: invalid_value: as `name_of_person`.
    """
    if not isinstance(value, str):
        raise _bad(value, param, "must be a name")
    last = re.split(r"[/\\]", value)[-1]
    for suffix in IDENTITY_SUFFIXES:
        if last.lower().endswith(suffix):
            last = last[: -len(suffix)]
            break
    return name_of_person(last, param=param)


def known_name(value: object, known: Iterable[str], *, param: str, code: str = "not_found") -> str:
    """One of some names, as it is written there; capital letters do not count.

    Args:
        value: What a client gave.
        known: The names.
        param: The field, for messages.
        code: For a name that is not there.

    Raises:
        ApiError: invalid_value: it is no text. `code`: there is no such name; says which is near.
    """
    if not isinstance(value, str):
        raise _bad(value, param, "must be a name")
    names = list(known)
    if value in names:
        return value
    for name in names:
        if folded(name) == folded(value):
            return name
    more = f"; {meant(value, names)}" if names else ", nor any other"
    raise ApiError(code, f"{param}: there is no {shown(value)}{more}", param)


def file_called(
    value: object, folder: str | os.PathLike[str], suffixes: Collection[str], *, param: str
) -> Path | None:
    """The file of a name in a folder, itself, not in one of its folders.

    Args:
        value: What a client gave, with or without one of the suffixes.
        folder: Where files of this kind are.
        suffixes: Of files of this kind, such as ".safetensors"; the first that is there counts.
        param: The field, for messages.

    Returns:
        Its path; None: there is none.

    Raises:
        ApiError: invalid_value: as `plain_name`. forbidden: it is a link that leads out of the
            folder.
    """
    name = plain_name(value, param=param)
    names = [f"{name}{suffix}" for suffix in suffixes]
    if Path(name).suffix.lower() in suffixes:
        names.insert(0, name)
    home = os.path.realpath(folder)
    for one in names:
        path = os.path.join(home, one)
        if os.path.isfile(path):
            if os.path.dirname(os.path.realpath(path)) != home:
                raise ApiError(
                    "forbidden", f"{param}: {shown(one)} is a link out of its folder", param
                )
            return Path(os.path.realpath(path))
    return None


def _bad(value: object, param: str, must: str) -> ApiError:
    return ApiError("invalid_value", f"{param} is {shown(value)}, but {must}", param)
