"""Logging in and out of the page: a key, or a link that is good once, opens a session."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from ..access.auth import Auth, Caller
from ..access.call import call_of
from ..access.signing import clearing_cookie, session_cookie
from ..errors import ApiError
from ..request.given_body import body_of_request

if TYPE_CHECKING:
    from ..service.service import PictureService

__all__ = ["login_router"]

_FORM = "application/x-www-form-urlencoded"


def login_router(service: PictureService, auth: Auth) -> APIRouter:
    """`POST /ui/login {key}`, `GET /ui/login?link=...`, `POST /ui/logout`.

    The page that asks for the key is not of here: it is `app.state.login_page`, which takes the
    request and what is wrong, "" for nothing, and gives a response.
    """
    router = APIRouter(tags=["page"])
    prefix = service.settings.root_path

    def cookie_rules(request: Request) -> dict[str, Any]:
        public = service.settings.public_url
        is_https = public.startswith("https:") if public else request.url.scheme == "https"
        return {"secure": is_https, "path": prefix or "/"}

    def with_session(request: Request, response: Response, value: str) -> Response:
        if value:  # none on a server without keys
            cookie = session_cookie(value, **cookie_rules(request))
            response.headers.append("set-cookie", cookie)
        response.headers["Cache-Control"] = "no-store"
        return response

    def times(request: Request) -> dict[str, Any]:
        address = request.client.host if request.client else ""
        return {"address": address, "now": time.time(), "clock": time.monotonic()}

    @router.get("/ui/login", include_in_schema=False)
    async def login_page(request: Request, link: str = "") -> Response:
        """Log in by a link, or show the page that asks for the key."""
        problem = ""
        if link:
            try:
                _, value = auth.log_in_by_link(link, **times(request))
                to = RedirectResponse(f"{prefix}/", status_code=303)
                return with_session(request, to, value)
            except ApiError as error:
                problem = error.message
        show = getattr(request.app.state, "login_page", None)
        if show is None:
            raise ApiError("not_found", problem or "this server has no page; send the key itself")
        shown: Response = show(request, problem)
        return shown

    @router.post("/ui/login")
    async def log_in(request: Request) -> Response:
        """Open a session of the page with a key."""
        key = await _given_key(request, service)
        caller, value = auth.log_in(key, **times(request))
        return with_session(request, JSONResponse(_described(caller)), value)

    @router.post("/ui/logout")
    async def log_out(request: Request) -> Response:
        """End the session of the page."""
        call_of(request)
        response = JSONResponse({})
        response.headers.append("set-cookie", clearing_cookie(**cookie_rules(request)))
        return response

    return router


async def _given_key(request: Request, service: PictureService) -> str:
    if request.headers.get("content-type", "").lower().startswith(_FORM):
        form = await request.form()
        key: object = form.get("key", "")
    else:
        key = (await body_of_request(request, service)).values.get("key", "")
    if not isinstance(key, str) or not key.strip():
        raise ApiError("invalid_value", "key is missing; type the server's key", "key")
    return key


def _described(caller: Caller) -> dict[str, Any]:
    return {"owner": caller.owner, "is_admin": caller.is_admin}
