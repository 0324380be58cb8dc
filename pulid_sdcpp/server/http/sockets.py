"""The sockets that a server listens at: each of its addresses with each of its ports."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator, Sequence

from ...errors import PulidError
from ...terminal_text import reason_of

__all__ = ["AddressInUseError", "listening_sockets", "url_of"]

_BACKLOG = 512


class AddressInUseError(PulidError):
    """A port cannot be listened at."""


@contextlib.contextmanager
def listening_sockets(
    addresses: Sequence[str], ports: Sequence[int]
) -> Iterator[list[socket.socket]]:
    """Listen, until the block ends.

    Args:
        addresses: Of `addresses_to_bind`. With several, a port of 0 is the same at each.
        ports: 0: any that is free.

    Raises:
        AddressInUseError: A port is taken, or may not be listened at.
    """
    with contextlib.ExitStack() as stack:
        found = []
        for port in ports:
            for address in addresses:
                one = stack.enter_context(_listening(address, port))
                port = one.getsockname()[1]
                found.append(one)
        yield found


def url_of(listening: socket.socket) -> str:
    """The address of a server at a socket, as a browser of this computer opens it."""
    address, port = listening.getsockname()[:2]
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def _listening(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # With its protocol named, asyncio sets TCP_NODELAY on the connections; without, the second part
    # of each answer would wait 40 ms for the client's delayed acknowledgement of the first.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name != "nt":  # there, it would share the port with another program
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((address, port))
        made.listen(_BACKLOG)
    except OSError as error:
        made.close()
        raise AddressInUseError(
            f"cannot listen at {address}, port {port}: {reason_of(error)}; choose another --port"
        ) from error
    return made
