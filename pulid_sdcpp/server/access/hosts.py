"""From where a request may come: the Host it asks for, and the Origin of the page that asks.

A page of any site can make a browser send requests to this computer. What it cannot do is to
choose the Host header, unless its own name leads here (DNS rebinding), and the Origin header.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from ...errors import named, option_error
from ...terminal_text import quoted, shown
from ..errors import ApiError

__all__ = [
    "HostRules",
    "Origin",
    "check_cookie_use",
    "check_host",
    "check_origin",
    "cors_headers",
    "host_name",
    "host_rules",
    "preflight_headers",
]

Origin = Literal["none", "own", "listed"]
"""Who asks: no page, our own page, one of a site that `--cors-origin` names."""

_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#@\s]+)")
_PORTS = {"http": 80, "https": 443}
_READING = {"GET", "HEAD", "OPTIONS"}
_METHODS = "GET, HEAD, POST, PATCH, DELETE, OPTIONS"
_READABLE = "X-Pulid-Job, X-Pulid-Warning, X-Request-ID, Retry-After, Location, ETag"
_HEADER_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}(?: *, *[A-Za-z0-9-]{1,100}){0,50}")
_PREFLIGHT_S = 600


@dataclass(frozen=True)
class HostRules:
    """What is accepted, made by `host_rules`.

    Attributes:
        names: Host names and addresses, in lower case, without ports.
        any_address: Whether every address is: a name that leads elsewhere is none.
        public_origin: Of the page, as browsers write it; "" if it is that of the Host header.
        cors_origins: Whose scripts may use the server.
    """

    names: frozenset[str] = frozenset({"localhost"})
    any_address: bool = False
    public_origin: str = ""
    cors_origins: frozenset[str] = frozenset()


def host_rules(
    *,
    host: str,
    is_loopback: bool,
    allow_host: Sequence[str] = (),
    cors_origin: Sequence[str] = (),
    public_url: str = "",
) -> HostRules:
    """The rules of a server.

    Args:
        host: What it binds to; a name is accepted as Host.
        is_loopback: Whether only this computer reaches it.
        allow_host: Other names that lead to it, without scheme and port.
        cors_origin: Origins such as "https://example.org".
        public_url: Its address in the world, such as "https://example.org/pulid"; "": none.

    Raises:
        ValueError: A name or origin is none.
    """
    names = {
        "localhost",
        host_name("host", host),
        *(host_name("allow_host", n) for n in allow_host),
    }
    public_origin = ""
    if public_url:
        public_origin, name = _public(public_url)
        names.add(name)
    # "::" and "0.0.0.0" are all of this computer's addresses, and none of them.
    names = {name for name in names if not _is_unspecified(name)}
    return HostRules(
        names=frozenset(names),
        any_address=not is_loopback,
        public_origin=public_origin,
        cors_origins=frozenset(_origin("cors_origin", origin) for origin in cors_origin),
    )


def check_host(rules: HostRules, host: str | None) -> None:
    """Refuse a request for another server.

    Args:
        rules: Of this one.
        host: The Host header; None if there is none.

    Raises:
        ApiError: wrong_host.
    """
    parts = _host_and_port(host or "")
    name = parts[0] if parts else ""
    if name in rules.names:
        return
    address = _address(name)
    if address is not None and (address.is_loopback or rules.any_address):
        return
    raise ApiError(
        "wrong_host",
        f"this server does not answer for the host {quoted(host or '')}; start it with "
        "--allow-host NAME if that is its name",
    )


def check_origin(rules: HostRules, origin: str | None, host: str | None) -> Origin:
    """Refuse a request that a foreign page makes.

    Args:
        rules: Of this server.
        origin: The Origin header; None if there is none, as for every program but a browser.
        host: The Host header, checked by `check_host`.

    Raises:
        ApiError: forbidden.
    """
    if origin is None:
        return "none"
    normal = _normal_origin(origin)
    if normal:
        if normal in rules.cors_origins:
            return "listed"
        # The scheme is a proxy's: it may speak https where we do not.
        same = {f"{scheme}://{host}" for scheme in _PORTS} if host else set()
        if normal == rules.public_origin or normal in set(map(_normal_origin, same)):
            return "own"
    raise ApiError(
        "forbidden",
        f"pages of {quoted(origin)} may not use this server; start it with --cors-origin ORIGIN "
        "to allow them",
    )


def check_cookie_use(method: str, origin: Origin) -> None:
    """Refuse a change that the page's session would make for another page.

    Args:
        method: The request's, in capitals.
        origin: Of `check_origin`.

    Raises:
        ApiError: forbidden.
    """
    if method not in _READING and origin != "own":
        raise ApiError("forbidden", "a session changes things only from the server's own page")


def cors_headers(origin: Origin, given: str | None) -> dict[str, str]:
    """What lets a listed page read the answer; cookies are never among what it may send.

    Args:
        origin: Of `check_origin`.
        given: The Origin header.
    """
    if origin != "listed" or given is None:
        return {"Vary": "Origin"}
    return {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": given,
        "Access-Control-Expose-Headers": _READABLE,
    }


def preflight_headers(
    origin: Origin, given: str | None, headers: Mapping[str, str]
) -> dict[str, str]:
    """The headers of the answer to OPTIONS, which is 204 and has no body.

    Args:
        origin: Of `check_origin`.
        given: The Origin header.
        headers: The request's, by names in lower case.
    """
    answer = {"Allow": _METHODS, **cors_headers(origin, given)}
    if origin != "listed":
        return answer
    # OpenAI's library sends a dozen of its own: a list of ours would be out of date.
    wanted = headers.get("access-control-request-headers", "").strip()
    answer["Access-Control-Allow-Methods"] = _METHODS
    answer["Access-Control-Max-Age"] = str(_PREFLIGHT_S)
    if _HEADER_NAMES.fullmatch(wanted):
        answer["Access-Control-Allow-Headers"] = wanted
    if headers.get("access-control-request-private-network") == "true":
        answer["Access-Control-Allow-Private-Network"] = "true"
    return answer


def _host_and_port(text: str) -> tuple[str, str] | None:
    """The name or address and the port ("": none) of HOST:PORT; None: it is neither."""
    found = re.fullmatch(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]{1,5}))?", text.strip().lower())
    if not found:
        return None
    name = found[1].strip("[]")
    if found[1].startswith("["):
        address = _address(name)
        return (str(address), found[2] or "") if address and ":" in name else None
    name = name.removesuffix(".")
    if not _NAME.fullmatch(name):
        return None
    return name, found[2] or ""


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a name is; the old one that a new one is only written around."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped if mapped is not None else address


def _is_unspecified(name: str) -> bool:
    address = _address(name)
    return address is not None and address.is_unspecified


def host_name(option: str, given: str) -> str:
    """A host name or address as it is compared: in lower case, or the address's one spelling.

    Args:
        option: The field that has it, for errors.
        given: Without scheme and port.

    Raises:
        ValueError: It is none.
    """
    address = _address(given)
    if address is not None:
        return str(address)
    parts = _host_and_port(given)
    if (
        parts is None
        or parts[1]
        or _NAME.fullmatch(given.strip().lower().removesuffix(".")) is None
    ):
        raise option_error(
            f"{named(option)} is {shown(given)}, but must be a host name or an address, without "
            "scheme and port"
        )
    return parts[0]


def _public(url: str) -> tuple[str, str]:
    """The origin and the host name of the server's address in the world."""
    try:
        parts = urlsplit(url)
        name = parts.hostname or ""
    except ValueError:
        name = ""
    origin = _normal_origin(f"{parts.scheme}://{parts.netloc}") if name else ""
    if not origin or parts.scheme not in _PORTS or parts.query or parts.fragment:
        raise option_error(
            f"{named('public_url')} is {shown(url)}, but must be like https://example.org/pulid"
        )
    return origin, host_name("public_url", name)


def _origin(option: str, given: str) -> str:
    normal = _normal_origin(given.removesuffix("/"))
    if not normal:
        raise option_error(
            f"{named(option)} is {shown(given)}, but must be an origin such as https://example.org"
        )
    return normal


def _normal_origin(text: str) -> str:
    """An origin without the port that its scheme has anyway; "": it is none ("null" and "*")."""
    found = _ORIGIN.fullmatch(text.lower())
    parts = _host_and_port(found[2]) if found else None
    if found is None or parts is None:
        return ""
    scheme, (name, port) = found[1], parts
    written = f"[{name}]" if ":" in name else name
    is_default = not port or int(port) == _PORTS.get(scheme)
    return f"{scheme}://{written}" if is_default else f"{scheme}://{written}:{int(port)}"
