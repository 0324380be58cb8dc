"""Headers that every answer has."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["ANSWER_HEADERS", "REQUEST_ID", "request_id"]

REQUEST_ID = "X-Request-ID"
ANSWER_HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "X-Content-Type-Options": "nosniff",
        # Under it a <form> of our own page is sent with "Origin: null", which is refused; fetch()
        # in a script is not.
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
)

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def request_id(given: str | None) -> str:
    """The request's own id if it has one that can be used, else a new one."""
    if given is not None and _ID.fullmatch(given):
        return given
    return f"req_{secrets.token_hex(8)}"
