"""A file in a field of a request: its bytes, or base64 of them; never a path, and no address."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable

from ...terminal_text import shown
from ..errors import ApiError

__all__ = ["Fetch", "given_bytes"]

Fetch = Callable[[str, str], bytes]
"""Gets what an https address has: takes the address and the field that it is from."""

_WHITE_SPACE = b" \t\r\n\f\v"
_DATA = re.compile(r"\s*data:([^,]{0,200}),", re.IGNORECASE)
_SCHEME = re.compile(r"\s*(//|[a-z][a-z0-9+.-]+:)", re.IGNORECASE)
_HTTPS = re.compile(r"\s*https:", re.IGNORECASE)
_BASE64 = re.compile(rb"[A-Za-z0-9+/]*={0,2}")


def given_bytes(
    value: object,
    *,
    param: str,
    max_bytes: int,
    fetch: Fetch | None = None,
    too_large: str = "too_large",
) -> bytes:
    """What is in a file that a client sent.

    Args:
        value: base64, with or without `data:...;base64,` before it and white space in it; or
            bytes, of a form's file.
        param: The field, for messages.
        max_bytes: The most that the file may have. It is known before base64 is decoded.
        fetch: Gets an https address; None: there are no addresses.
        too_large: The code for a file above `max_bytes`.

    Raises:
        ApiError: bad_base64, url_not_allowed, invalid_value, or `too_large`; what `fetch` raises.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        content = bytes(value)
    elif not isinstance(value, str):
        raise ApiError(
            "invalid_value", f"{param} is {shown(value)}, but must be a file in base64", param
        )
    elif data := _DATA.match(value):
        if data[1].lower().replace(" ", "").rpartition(";")[2] != "base64":
            raise _bad_base64(param, "a data URL without ;base64")
        content = _decoded(value[data.end() :], param, max_bytes, too_large)
    elif _SCHEME.match(value):
        if fetch is None or not _HTTPS.match(value):
            raise ApiError(
                "url_not_allowed",
                f"{param}: addresses are not fetched; send the file itself in base64",
                param,
            )
        content = fetch(value.strip(), param)
    else:
        content = _decoded(value, param, max_bytes, too_large)
    if len(content) > max_bytes:
        raise _too_large(param, max_bytes, too_large)
    if not content:
        raise ApiError("invalid_value", f"{param} is empty; leave it out, or send a file", param)
    return content


def _decoded(text: str, param: str, max_bytes: int, too_large: str) -> bytes:
    try:
        plain = text.encode("ascii").translate(None, _WHITE_SPACE)
    except UnicodeEncodeError:
        raise _bad_base64(param, "a character that base64 does not have") from None
    if len(plain) // 4 * 3 - plain[-2:].count(b"=") > max_bytes:
        raise _too_large(param, max_bytes, too_large)
    if not _BASE64.fullmatch(plain):
        raise _bad_base64(param, "a character that base64 does not have")
    if len(plain) % 4:
        raise _bad_base64(param, f"{len(plain)} characters, which is no multiple of 4")
    return binascii.a2b_base64(plain)


def _bad_base64(param: str, found: str) -> ApiError:
    return ApiError(
        "bad_base64", f"{param}: expected a file in base64, with = at its end, found {found}", param
    )


def _too_large(param: str, max_bytes: int, code: str) -> ApiError:
    size = f"{max_bytes >> 20} MiB" if not max_bytes % (1 << 20) else f"{max_bytes:,} bytes"
    return ApiError(code, f"{param}: the file may have {size} at most; send a smaller one", param)
