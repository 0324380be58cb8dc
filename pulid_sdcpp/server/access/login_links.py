"""Links that log in once: `pulid-sdcpp ui` opens the browser with one, and nobody types a key."""

from __future__ import annotations

import hashlib
import secrets

from .api_keys import ApiKey, ApiKeys

__all__ = ["LINK_S", "LoginLinks"]

LINK_S = 300.0
"""How long a link is good: the browser has to start, and the server to listen."""

_MAX_LINKS = 100


class LoginLinks:
    """Links that were made and not used yet; they are gone when the server ends."""

    def __init__(self) -> None:
        self._made: dict[bytes, tuple[ApiKey, float]] = {}

    def new(self, keys: ApiKeys, clock: float) -> str:
        """The token of a new link, for an administrator where there is one.

        Args:
            keys: The server's.
            clock: Seconds of a clock that does not go back.

        Returns:
            43 characters that an address can have; "" on a server without keys.
        """
        if not keys:
            return ""
        key = next((one for one in keys.keys if one.is_admin), keys.keys[0])
        token = secrets.token_urlsafe(32)
        while len(self._made) >= _MAX_LINKS:  # the oldest
            del self._made[next(iter(self._made))]
        self._made[_digest(token)] = key, clock + LINK_S
        return token

    def take(self, token: str, clock: float) -> ApiKey | None:
        """Use a link up: the key that it stands for; None if it was used, is old, or is none."""
        # Looked up by its hash, so that the time it takes says nothing of the others.
        key, until = self._made.pop(_digest(token), (None, 0.0))
        return key if clock < until else None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
