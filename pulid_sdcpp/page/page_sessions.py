"""Whose the pages are that are open: nobody follows another's events, or acts on what it shows."""

from __future__ import annotations

from collections import OrderedDict

from ..server.errors import ApiError

__all__ = ["PageSessions"]

_MOST = 10_000
"""As many as Gradio remembers."""


class PageSessions:
    """The owners of open pages, each known by a name that its browser made up."""

    def __init__(self) -> None:
        self._owners: OrderedDict[str, str] = OrderedDict()

    def check(self, session: object, owner: str) -> None:
        """Refuse a page that somebody else opened; one that is new is the caller's.

        Args:
            session: As the browser calls it; what is no text is Gradio's to refuse.
            owner: Who calls.

        Raises:
            ApiError: not_found.
        """
        if not isinstance(session, str):
            return
        if self._owners.setdefault(session, owner) != owner:
            raise ApiError("not_found", "this page was opened by somebody else; load it again")
        self._owners.move_to_end(session)
        while len(self._owners) > _MOST:
            self._owners.popitem(last=False)
