"""The keys that the server accepts, and whose they are.

A key file has a key a line, alone or after the name of its owner; `!` makes an administrator:

    # friends
    rose 3fJk9sLq0Zx7Yw2V
    tom! bN8vC1mK6tR4pQ0s
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from ...errors import named, option_error
from ...system.regular_file import open_regular
from ...system.text_encoding import decoded
from ...terminal_text import reason_of

__all__ = ["LOCAL", "MIN_KEY_CHARS", "ApiKey", "ApiKeys", "keys_in_text", "read_key_file"]

LOCAL = "local"
"""Who everybody is on a server without keys, and whose a key without a name is."""
MIN_KEY_CHARS = 16

_MAX_KEY_CHARS = 512
_MAX_KEYS = 1000
_MAX_BYTES = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_OTHERS = stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH


@dataclass(frozen=True)
class ApiKey:
    """A key, which itself is not kept.

    Attributes:
        owner: Whose it is.
        is_admin: Whether the owner sees everything and may change the server.
        digest: SHA-256 of the key: all are equally long, so that comparing tells nothing.
    """

    owner: str
    is_admin: bool
    digest: bytes = field(repr=False)


@dataclass(frozen=True)
class ApiKeys:
    """All keys of a server; none: it is open to everybody who reaches it."""

    keys: tuple[ApiKey, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.keys)

    def find(self, presented: str) -> ApiKey | None:
        """The key that was presented; it takes as long for every wrong one."""
        digest = _digest(presented)
        found = None
        for key in self.keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found

    def of_owner(self, owner: str) -> Iterator[ApiKey]:
        """The keys of somebody."""
        return (key for key in self.keys if key.owner == owner)


def read_key_file(path: str | os.PathLike[str]) -> ApiKeys:
    """Read a key file.

    Raises:
        ValueError: It cannot be read, others may read or change it (not on Windows), or a line is
            wrong; the message has no key in it.
    """
    what = f"{named('api_key_file')}: {os.fspath(path)}"
    try:
        with open_regular(path) as file:
            if os.name != "nt" and os.fstat(file.fileno()).st_mode & _OTHERS:
                raise option_error(
                    f"{what}: others can read or change it; keep it to yourself: chmod 600 "
                    f"{os.fspath(path)}"
                )
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise option_error(f"{what}: cannot read the key file: {reason_of(error)}") from error
    if len(content) > _MAX_BYTES:
        raise option_error(f"{what}: expected a file of keys, found more than 1 MiB")
    try:
        text = decoded(content)
    except ValueError:  # its text could have a part of a key
        raise option_error(f"{what}: expected text in UTF-8") from None
    return keys_in_text(text, what)


def keys_in_text(text: str, what: str) -> ApiKeys:
    """The keys in the text of a key file.

    Args:
        text: A key a line, as in this module's docstring.
        what: The file or variable, for errors.

    Raises:
        ValueError: A line is wrong, or there is no key; the message has no key in it.
    """
    keys: dict[bytes, ApiKey] = {}
    owners: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        where = f"{what}: line {number}"
        if len(words) > 2:
            raise option_error(f"{where}: expected KEY or NAME KEY, found {len(words)} words")
        owner, is_admin = _owner(words[0], where) if len(words) == 2 else (LOCAL, True)
        # Two folders or columns that differ in case only would be confused.
        if owners.setdefault(owner.lower(), owner) != owner:
            raise option_error(f"{where}: {owner} differs in case only from another name")
        _check_key(words[-1], where)
        digest = _digest(words[-1])
        if digest in keys:
            raise option_error(f"{where}: the key is in an earlier line, too")
        keys[digest] = ApiKey(owner, is_admin, digest)
    if not keys:
        raise option_error(f"{what}: there is no key in it; write one of {MIN_KEY_CHARS} or more")
    if len(keys) > _MAX_KEYS:
        raise option_error(f"{what}: {len(keys)} keys; {_MAX_KEYS} are the most")
    return ApiKeys(tuple(keys.values()))


def _owner(word: str, where: str) -> tuple[str, bool]:
    name = word.removesuffix("!")
    if not _NAME.fullmatch(name):  # not shown: it may be the key, before the name by mistake
        raise option_error(
            f"{where}: a name has 1 to 64 letters without accents, digits, and . _ -"
        )
    return name, word.endswith("!")


def _check_key(key: str, where: str) -> None:
    if not key.isascii() or not key.isprintable():  # what a header can have, in every client
        raise option_error(f"{where}: a key has only ASCII letters, digits and signs")
    if not MIN_KEY_CHARS <= len(key) <= _MAX_KEY_CHARS:
        raise option_error(
            f"{where}: the key has {len(key)} characters, but must have {MIN_KEY_CHARS} to "
            f"{_MAX_KEY_CHARS}"
        )


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
