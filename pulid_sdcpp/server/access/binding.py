"""Where the server may be reached: only from this computer, unless there is a key."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence

from ...errors import named, option_error
from ...terminal_text import shown

__all__ = ["addresses_of", "addresses_to_bind", "is_loopback"]


def addresses_to_bind(
    host: str, *, has_key: bool, resolve: Callable[[str], Sequence[str]] | None = None
) -> tuple[str, ...]:
    """The addresses that a host stands for, which are what is bound, not the name: that could
    mean something else a moment later.

    Args:
        host: An address or a name.
        has_key: Whether the server has a key.
        resolve: Gives the addresses of a name; None: the system does.

    Raises:
        ValueError: There are none; or others can reach the server, and it has no key.
    """
    try:
        found = tuple(dict.fromkeys((resolve or addresses_of)(host))) if host else ()
    except (OSError, UnicodeError):
        found = ()
    if not found:
        raise option_error(
            f"{named('host')} is {shown(host)}, but must be an address or a name of this computer"
        )
    if not has_key and not all(map(is_loopback, found)):
        raise option_error(
            f"{named('host')} is {shown(host)}, where others can reach the server, so it needs a "
            "key: write one of 16 characters or more into a file, keep it to yourself (chmod 600 "
            f"FILE), and name it with {named('api_key_file')}"
        )
    return found


def addresses_of(host: str) -> list[str]:
    """The addresses of a name.

    Raises:
        OSError: It has none.
    """
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return [str(address[0]) for *_, address in found]


def is_loopback(address: str) -> bool:
    """Whether only this computer reaches an address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback
