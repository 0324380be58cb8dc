"""Who calls: by a key in a header, by the page's session, or anybody on a server without keys."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import ApiError
from .api_keys import LOCAL, ApiKey, ApiKeys
from .login_links import LoginLinks
from .signing import SESSION_COOKIE, new_session, session_key

__all__ = ["MAX_FAILURES", "WINDOW_S", "Auth", "Caller", "FailedKeys", "is_open", "presented_keys"]

MAX_FAILURES = 10
"""Wrong keys of one address within `WINDOW_S`; after them none is looked at."""
WINDOW_S = 60.0

_MAX_ADDRESSES = 10_000
_MAX_KEY_CHARS = 1024
_OPEN = {"/health", "/openapi.json", "/docs", "/favicon.ico", "/ui/login"}
_STATIC = ("/docs/", "/assets/", "/static/")


@dataclass(frozen=True)
class Caller:
    """Who a request is from.

    Attributes:
        owner: Whose jobs, pictures and people these are.
        is_admin: Whether everything is seen, and the server may be changed.
        by_cookie: Whether the browser says so by itself: then a change needs our own Origin.
    """

    owner: str
    is_admin: bool
    by_cookie: bool = False


class FailedKeys:
    """Counts wrong keys by address. One of IPv6 is its network: a caller has all of that."""

    def __init__(self) -> None:
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def check(self, address: str, now: float) -> None:
        """Refuse an address that guesses.

        Args:
            address: The caller's.
            now: Seconds of a clock that does not go back.

        Raises:
            ApiError: too_many_attempts.
        """
        times = self._recent(_network(address), now)
        if len(times) >= MAX_FAILURES:
            wait_s = max(1, int(times[0] + WINDOW_S - now) + 1)
            raise ApiError(
                "too_many_attempts",
                f"{MAX_FAILURES} wrong keys within a minute; try again in {wait_s} s",
                headers={"Retry-After": str(wait_s)},
            )

    def add(self, address: str, now: float) -> None:
        """Count a wrong key; arguments as for `check`."""
        network = _network(address)
        times = self._recent(network, now)
        times.append(now)
        self._times[network] = times
        self._times.move_to_end(network)
        while len(self._times) > _MAX_ADDRESSES:
            self._times.popitem(last=False)

    def _recent(self, network: str, now: float) -> deque[float]:
        times = self._times.get(network) or deque(maxlen=MAX_FAILURES)
        while times and times[0] <= now - WINDOW_S:
            times.popleft()
        if not times:
            self._times.pop(network, None)
        return times


class Auth:
    """Decides who calls.

    Args:
        keys: The server's keys; none: everybody is "local", an administrator.
        secret: Of `load_secret`.
    """

    def __init__(self, keys: ApiKeys, secret: bytes) -> None:
        self._keys = keys
        self._secret = secret
        self._failed = FailedKeys()
        self._links = LoginLinks()

    def caller(
        self, headers: Mapping[str, str], *, address: str, now: float, clock: float
    ) -> Caller:
        """Who a request is from.

        A missing key is no wrong one: it is not counted; nor is one beside a session, which may be
        that of a proxy in between. A session goes on while keys from its address are refused.

        Args:
            headers: The request's, by names in lower case.
            address: Where it comes from.
            now: Unix seconds.
            clock: Seconds of a clock that does not go back.

        Raises:
            ApiError: unauthorized, or too_many_attempts.
        """
        if not self._keys:
            return Caller(LOCAL, is_admin=True)
        session = self._session_of(headers, now)
        if presented := presented_keys(headers):
            try:
                key = self._checked(presented, address, clock, counts=session is None)
                return Caller(key.owner, key.is_admin)
            except ApiError:
                if session is None:
                    raise
        if session is not None:
            return Caller(session.owner, session.is_admin, by_cookie=True)
        if _sessions_in(headers):
            raise ApiError("unauthorized", "the session is over; log in again")
        raise ApiError("unauthorized", "a key is needed: Authorization: Bearer KEY")

    def log_in(self, key: str, *, address: str, now: float, clock: float) -> tuple[Caller, str]:
        """Open a session of the page.

        Args:
            key: As it was typed; white space around it does not count.
            address, now, clock: As for `caller`.

        Returns:
            Who it is, and the value of the session's cookie; "" on a server without keys.

        Raises:
            ApiError: unauthorized, or too_many_attempts.
        """
        if not self._keys:
            return Caller(LOCAL, is_admin=True), ""
        return self._session(self._checked((key.strip(),), address, clock), now)

    def new_link(self, clock: float) -> str:
        """A token that logs in once; "" on a server without keys."""
        return self._links.new(self._keys, clock)

    def log_in_by_link(
        self, token: str, *, address: str, now: float, clock: float
    ) -> tuple[Caller, str]:
        """As `log_in`, with a token of `new_link`."""
        if not self._keys:
            return Caller(LOCAL, is_admin=True), ""
        self._failed.check(address, clock)
        found = self._links.take(token, clock)
        if found is None:
            self._failed.add(address, clock)
            raise ApiError("unauthorized", "the link was used, or is too old; log in with the key")
        return self._session(found, now)

    def _session(self, key: ApiKey, now: float) -> tuple[Caller, str]:
        caller = Caller(key.owner, key.is_admin, by_cookie=True)
        return caller, new_session(self._secret, key, now)

    def _session_of(self, headers: Mapping[str, str], now: float) -> ApiKey | None:
        found = (session_key(self._secret, self._keys, one, now) for one in _sessions_in(headers))
        return next((key for key in found if key is not None), None)

    def _checked(
        self, presented: tuple[str, ...], address: str, clock: float, *, counts: bool = True
    ) -> ApiKey:
        self._failed.check(address, clock)
        found = [self._keys.find(key) for key in presented if len(key) <= _MAX_KEY_CHARS]
        for key in found:
            if key is not None:
                return key
        if counts:
            self._failed.add(address, clock)
        raise ApiError("unauthorized", "the key is wrong")


def presented_keys(headers: Mapping[str, str]) -> tuple[str, ...]:
    """The keys in a request's headers: as Bearer, as password of Basic, as X-Api-Key.

    Args:
        headers: By names in lower case. An empty or unknown Authorization is none: a client that
            has no key sends one, and a proxy may have its own.
    """
    scheme, _, value = headers.get("authorization", "").strip().partition(" ")
    value = value.strip()
    found = [headers.get("x-api-key", "").strip()]
    if scheme.lower() == "bearer":
        found.insert(0, value)
    elif scheme.lower() == "basic":
        found.insert(0, _password(value))
    return tuple(key for key in found if key)


def is_open(method: str, path: str, *, open_metrics: bool = False) -> bool:
    """Whether a request needs no key.

    Args:
        method: In capitals.
        path: Without the prefix of a proxy, and without the query.
        open_metrics: Whether /metrics is open.
    """
    if method == "OPTIONS" or (method, path) == ("POST", "/ui/login"):
        return True
    if method not in ("GET", "HEAD") or ".." in path or "//" in path:
        return False
    if path in _OPEN or path.startswith(_STATIC):
        return True
    return open_metrics and path == "/metrics"


def _password(value: str) -> str:
    """Of Basic's USER:PASSWORD. Some settings ask for both in one, and get a key alone."""
    try:
        text = base64.b64decode(value, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return value  # no key, but an attempt
    user, colon, password = text.partition(":")
    return password if colon else user


def _sessions_in(headers: Mapping[str, str]) -> list[str]:
    """Read by hand: the standard library's reader gives up at other programs' cookies."""
    pairs = (part.strip().partition("=") for part in headers.get("cookie", "").split(";"))
    return [value for name, _, value in pairs if name == SESSION_COOKIE and value]


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    if mapped := parsed.ipv4_mapped:
        return str(mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
