"""What the server signs with a secret of its own: sessions of the page, addresses of pictures."""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import os
import secrets
from pathlib import Path

from ...errors import OutputExistsError, OutputFileError
from ...system.atomic_file import atomic_file
from ...system.regular_file import open_regular
from ...terminal_text import reason_of
from .api_keys import ApiKey, ApiKeys

__all__ = [
    "PICTURE_S",
    "SECRET_NAME",
    "SESSION_COOKIE",
    "SESSION_S",
    "clearing_cookie",
    "is_signed_picture",
    "load_secret",
    "new_session",
    "picture_query",
    "session_cookie",
    "session_key",
]

LOGGER = logging.getLogger("pulid_sdcpp.server")

SECRET_NAME = "secret"
SESSION_COOKIE = "pulid_session"
SESSION_S = 14 * 24 * 3600
"""How long a session of the page lasts."""
PICTURE_S = 3600
"""How long the signed address of a picture is good."""

_SECRET_BYTES = 32
_MAX_VALUE_CHARS = 300


def load_secret(folder: Path) -> bytes:
    """The secret in a folder, made if there is none.

    One that others could have read, or that is damaged, is replaced: sessions end by that, no more.

    Args:
        folder: The server's own, which exists.

    Returns:
        32 bytes.

    Raises:
        OutputFileError: It can be neither read nor written.
    """
    path = folder / SECRET_NAME
    old = _read_secret(path)
    if old:
        return old
    secret = secrets.token_bytes(_SECRET_BYTES)
    try:
        with atomic_file(path, overwrite=old is not None, private=True) as file:
            file.write(secret)
    except OutputExistsError:  # another process was faster
        return _read_secret(path) or secret
    return secret


def _read_secret(path: Path) -> bytes | None:
    """None: there is none; empty: there is one that must not be used."""
    try:
        with open_regular(path) as file:
            is_open = os.name != "nt" and os.fstat(file.fileno()).st_mode & 0o077
            secret = file.read(_SECRET_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OutputFileError(f"cannot read {path}: {reason_of(error)}") from error
    if is_open or len(secret) != _SECRET_BYTES:
        why = "others could read it" if is_open else "it is damaged"
        LOGGER.warning("%s is made anew, and sessions end: %s", path, why)
        return b""
    return secret


def new_session(secret: bytes, key: ApiKey, now: float) -> str:
    """The value of a session's cookie: owner, expiry, signature.

    Args:
        secret: The server's.
        key: The key that was given; a session ends when the key is removed.
        now: Unix seconds.
    """
    expires = int(now) + SESSION_S
    return f"{key.owner}.{expires}.{_session_signature(secret, key, expires)}"


def session_key(secret: bytes, keys: ApiKeys, value: str, now: float) -> ApiKey | None:
    """The key that a session was opened with; None if it is over, or was not opened here."""
    signed, _, signature = value[:_MAX_VALUE_CHARS].rpartition(".")
    owner, _, until = signed.rpartition(".")
    expires = _whole(until)
    if expires is None or expires <= now:
        return None
    found = None
    for key in keys.of_owner(owner):
        if _are_equal(signature, _session_signature(secret, key, expires)):
            found = key
    return found


def session_cookie(value: str, *, secure: bool, path: str = "/") -> str:
    """The Set-Cookie header of a session.

    Args:
        value: As `new_session` gives it.
        secure: Whether the page is on https.
        path: Below which the browser sends it.
    """
    return _cookie(value, SESSION_S, secure=secure, path=path)


def clearing_cookie(*, secure: bool, path: str = "/") -> str:
    """The Set-Cookie header that ends a session."""
    return _cookie("", 0, secure=secure, path=path)


def picture_query(secret: bytes, picture_id: str, now: float) -> str:
    """The query with which a picture's address is good without a key, for an hour.

    Args:
        secret: The server's.
        picture_id: The address is good for this picture only.
        now: Unix seconds.
    """
    expires = int(now) + PICTURE_S
    return f"expires={expires}&signature={_picture_signature(secret, picture_id, expires)}"


def is_signed_picture(
    secret: bytes, picture_id: str, expires: str, signature: str, now: float
) -> bool:
    """Whether an address was signed for this picture, and is still good.

    Args:
        secret: The server's.
        picture_id: Of the picture that is asked for.
        expires, signature: As the address has them.
        now: Unix seconds.
    """
    until = _whole(expires)
    if until is None or until <= now:
        return False
    return _are_equal(signature, _picture_signature(secret, picture_id, until))


def _cookie(value: str, age_s: int, *, secure: bool, path: str) -> str:
    # Strict: no link or form of another site's comes with it.
    parts = [f"{SESSION_COOKIE}={value}", f"Path={path}", f"Max-Age={age_s}", "HttpOnly"]
    return "; ".join([*parts, "SameSite=Strict", *(["Secure"] if secure else [])])


def _session_signature(secret: bytes, key: ApiKey, expires: int) -> str:
    return _signature(secret, "session", key.owner, str(expires), key.digest.hex())


def _picture_signature(secret: bytes, picture_id: str, expires: int) -> str:
    return _signature(secret, "picture", picture_id, str(expires))


def _signature(secret: bytes, *parts: str) -> str:
    """What for stands first, so that no signature is good for something else."""
    message = "\0".join(parts).encode("utf-8", "surrogatepass")
    digest = hmac.new(secret, message, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")


def _are_equal(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), right.encode("ascii"))


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else None
