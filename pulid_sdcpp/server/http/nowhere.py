"""What is at no endpoint: beside a page at `/`, which would take every address for its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Match, Route

from ..access.call import call_of
from ..calls.error_answers import not_found_error
from ..endpoints.health_api import index_of

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["add_index", "close_prefixes"]

_PREFIXES = ("/v1", "/images", "/sdapi", "/controlnet", "/sdcpp", "/pulid", "/internal", "/metrics")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def add_index(app: FastAPI, *, for_programs_only: bool) -> None:
    """At `/`: where the API is.

    Args:
        app: The server.
        for_programs_only: Whether browsers get something else there: the page.
    """

    async def index(request: Request) -> Response:
        return JSONResponse(index_of(call_of(request).base_url))

    kind = _ForPrograms if for_programs_only else _Named
    app.router.routes.append(kind("/", index, methods=["GET"]))


def close_prefixes(app: FastAPI) -> None:
    """Below the API's own addresses there is nothing but the endpoints; call it after them."""
    app.router.routes.append(_Nowhere(app))


class _Named(Route):
    """Is known to the log."""

    def matches(self, scope: Any) -> tuple[Match, Any]:
        match, found = super().matches(scope)
        return match, {**found, "route": self}


class _ForPrograms(_Named):
    """Passes over who wants HTML."""

    def matches(self, scope: Any) -> tuple[Match, Any]:
        accept = b"".join(v for name, v in scope.get("headers", ()) if name == b"accept")
        return (Match.NONE, {}) if b"text/html" in accept else super().matches(scope)


class _Nowhere(BaseRoute):
    """An error for every address of the API that is none: 405 where another method would do."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    def matches(self, scope: Any) -> tuple[Match, Any]:
        path = _path_of(scope) if scope["type"] == "http" else ""
        is_ours = any(path == one or path.startswith(f"{one}/") for one in _PREFIXES)
        return (Match.FULL if is_ours else Match.NONE), {}

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        others = [route for route in self._app.router.routes if route is not self]
        allowed = [
            method
            for method in _METHODS
            if any(one.matches({**scope, "method": method})[0] is Match.FULL for one in others)
        ]
        if allowed:
            raise HTTPException(405, headers={"Allow": ", ".join(allowed)})
        raise not_found_error(scope["method"], _path_of(scope))


def _path_of(scope: Any) -> str:
    """Without a proxy's prefix; the door has taken that off."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))
