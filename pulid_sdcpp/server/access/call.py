"""Who calls and from where: what the door found out about a request, for its endpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .auth import Caller
from .hosts import Origin

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

__all__ = ["STATE_KEY", "Call", "call_of"]

STATE_KEY = "pulid_call"
"""Where the door leaves it in a request's state."""


@dataclass(frozen=True)
class Call:
    """A request that passed the door.

    Attributes:
        caller: Who it is from.
        origin: Which page asks, if any.
        request_id: As in the answer's X-Request-ID.
        base_url: What stands before the paths of absolute addresses, without a slash at its end.
    """

    caller: Caller
    origin: Origin
    request_id: str
    base_url: str

    @property
    def owner(self) -> str:
        """Whose what it makes will be."""
        return self.caller.owner

    @property
    def sees(self) -> str | None:
        """The owner to filter by; None: an administrator, who sees everything."""
        return None if self.caller.is_admin else self.caller.owner

    @property
    def is_admin(self) -> bool:
        return self.caller.is_admin


def call_of(request: HTTPConnection) -> Call:
    """The call that a request is.

    Raises:
        RuntimeError: The request did not come through the door.
    """
    call = request.scope.get("state", {}).get(STATE_KEY)
    if not isinstance(call, Call):
        raise RuntimeError("a request came past the door")
    return call
