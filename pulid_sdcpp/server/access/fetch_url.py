"""Files at addresses, from hosts that the server's owner allowed by name (--allow-fetch HOST).

A client must not reach through the server what only the server can: so https, these hosts only,
no redirects, and no address of a private network, whatever the host's name resolves to. It is
resolved once, and that address is connected to, so that a second answer changes nothing.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import ipaddress
import re
import socket
import ssl
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from ...terminal_text import quoted
from ..errors import ApiError

__all__ = ["UrlFetcher", "checked_host", "is_public_address", "resolved"]

_PORT = 443
_TIME_S = 20.0
_MAX_URL_CHARS = 2000
# The last part of a name begins with a letter; one of digits is that of an address.
_HOST = re.compile(
    r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?"
)
_URL = re.compile(r"https://([^/?#\\@:\s]+)(:443)?([/?][!-~]*)?", re.IGNORECASE)
# Where IPv6 only is spoken, gateways turn these into the addresses of IPv4 at their end.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class UrlFetcher:
    """Gets files from some hosts; any number of threads may use it.

    Args:
        hosts: Their names, exactly; in "xn--" form where they have other letters.
        max_bytes: The most that a file may have.
        time_s: How long a file may take, from the connection to its last byte.
        resolve: Gives the addresses of a host.
        connect: Opens a connection to an address and a port within seconds.
        context: How to check certificates; None: as the system does.

    Raises:
        ValueError: A host that is no name of one.
    """

    def __init__(
        self,
        hosts: Collection[str],
        *,
        max_bytes: int,
        time_s: float = _TIME_S,
        resolve: Callable[[str], Sequence[str]] | None = None,
        connect: Callable[[tuple[str, int], float], socket.socket] = socket.create_connection,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._hosts = frozenset(map(checked_host, hosts))
        self._max_bytes = max_bytes
        self._time_s = time_s
        self._resolve = resolve or resolved
        self._connect = connect
        self._context = context or ssl.create_default_context()

    def __call__(self, url: str, param: str) -> bytes:
        """What is at an address.

        Args:
            url: https://HOST/...
            param: The field that it is from.

        Raises:
            ApiError: url_not_allowed: another host, or one whose address is not public; nothing was
                sent. bad_image: it cannot be had, or is too large.
        """
        host, path = self._parts(url, param)
        deadline = time.monotonic() + self._time_s
        try:
            with self._connected(self._addresses(host, param), deadline) as plain:
                plain.settimeout(_left(deadline))
                with self._context.wrap_socket(plain, server_hostname=host) as secure:
                    return self._answer(secure, host, path, param, deadline)
        except TimeoutError:
            raise _failed(param, host, f"it took more than {self._time_s:g} s") from None
        except ssl.SSLError as error:
            raise _failed(param, host, f"no secure connection ({error.reason})") from None
        except (OSError, http.client.HTTPException) as error:
            raise _failed(param, host, f"no connection ({type(error).__name__})") from None

    def _parts(self, url: str, param: str) -> tuple[str, str]:
        """Host and path of an address, if the host is allowed."""
        found = _URL.fullmatch(url) if len(url) <= _MAX_URL_CHARS else None
        if found is None:
            raise ApiError(
                "url_not_allowed",
                f"{param}: expected https://HOST/PATH in ASCII, without a user or a port, and of "
                f"{_MAX_URL_CHARS} characters at most, found {quoted(url)}",
                param,
            )
        host, path = found[1].lower(), (found[3] or "/").partition("#")[0]
        if host not in self._hosts:
            raise ApiError(
                "url_not_allowed",
                f"{param}: this server fetches nothing from {quoted(host)}; send the file itself",
                param,
            )
        return host, path if path.startswith("/") else f"/{path}"

    def _addresses(self, host: str, param: str) -> Sequence[str]:
        """The addresses of a host. One among them that is not public makes all suspect."""
        addresses = self._resolve(host)
        if not addresses:
            raise _failed(param, host, "it has no address")
        if not all(map(is_public_address, addresses)):
            raise ApiError(
                "url_not_allowed", f"{param}: {host} has an address that is not public", param
            )
        return addresses

    def _connected(self, addresses: Sequence[str], deadline: float) -> socket.socket:
        """A connection to the first that answers: of some networks, IPv6 leads nowhere."""
        *others, last = addresses
        for address in others:
            with contextlib.suppress(OSError):
                return self._connect((address, _PORT), _left(deadline) / 2)
        return self._connect((last, _PORT), _left(deadline))

    def _answer(
        self, connection: ssl.SSLSocket, host: str, path: str, param: str, deadline: float
    ) -> bytes:
        connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: pulid-sdcpp\r\nAccept: image/*\r\n"
            "Accept-Encoding: identity\r\nConnection: close\r\n\r\n".encode("ascii")
        )
        timed: Any = _Timed(connection, deadline)
        with http.client.HTTPResponse(timed, method="GET") as answer:
            answer.begin()
            if answer.status != 200:
                more = ", and redirects are not followed" if 300 <= answer.status < 400 else ""
                raise _failed(param, host, f"the answer is {answer.status}{more}")
            if answer.getheader("Content-Encoding", "identity").strip().lower() != "identity":
                raise _failed(param, host, "the answer is compressed")
            if answer.length is not None and answer.length > self._max_bytes:
                raise self._too_large(param)
            content = answer.read(self._max_bytes + 1)
            if answer.length:
                raise http.client.IncompleteRead(content, answer.length)
        if len(content) > self._max_bytes:
            raise self._too_large(param)
        return content

    def _too_large(self, param: str) -> ApiError:
        return ApiError(
            "image_too_large",
            f"{param}: the file at this address has more than {self._max_bytes:,} bytes",
            param,
        )


class _Timed(io.RawIOBase):
    """Reads from a connection until a moment; a timeout of its own starts anew with every byte."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline

    def makefile(self, mode: str) -> io.BufferedReader:
        """What `http.client` asks a connection for."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._connection.settimeout(_left(self._deadline))
        return self._connection.recv_into(buffer)


def checked_host(host: str) -> str:
    """A host's name in small letters.

    Raises:
        ValueError: It is an address, has a port or a path, or is no full name.
    """
    name = host.lower()
    if not _HOST.fullmatch(name):
        raise ValueError(
            f"{quoted(host)}: expected the full name of a host, such as images.example.org"
        )
    return name


def resolved(host: str) -> list[str]:
    """The addresses of a host, in the order in which to try them.

    Raises:
        OSError: It has none, or nobody could be asked.
    """
    found = socket.getaddrinfo(host, _PORT, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def is_public_address(text: str) -> bool:
    """Whether an address is one of the public network; one inside another counts."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:  # also one with a zone, "fe80::1%eth0" where Python does not know them
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return _is_public(address)
    if (inside := address.ipv4_mapped) is not None:
        return _is_public(inside)
    if address in _NAT64:
        return _is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    tunnelled = [address.sixtofour, *(address.teredo or ())]
    return (
        _is_public(address)
        and not address.is_site_local
        and all(_is_public(one) for one in tunnelled if one is not None)
    )


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address.is_global and not (address.is_multicast or address.is_reserved)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _failed(param: str, host: str, why: str) -> ApiError:
    return ApiError("bad_image", f"{param}: cannot be fetched from {host}: {why}", param)
