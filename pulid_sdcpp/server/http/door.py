"""The door of the server: every request comes through it, before anything of it is read.

1. the Host it asks for, and the Origin of the page that asks   421, 403
2. OPTIONS, which browsers send first                           204
3. who it is from                                               401, 429
4. whether that may be done by a page's session                 403
5. how much comes                                               413, 503

Every answer leaves through it, too: with the headers that all have, and a line in the log.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote

from ..access.access import Access
from ..access.answer_headers import request_id
from ..access.auth import Auth, Caller, is_open
from ..access.call import STATE_KEY, Call
from ..access.hosts import (
    Origin,
    check_cookie_use,
    check_host,
    check_origin,
    cors_headers,
    preflight_headers,
)
from ..access.signing import is_signed_picture
from ..bodies.read_body import check_body_length
from ..calls.error_answers import ERROR_KEY, PATH_KEY, error_response, family_of_path, log_defect
from ..errors import ApiError, BrokenOffError, Family, api_error_of
from .request_log import log_request, route_of
from .traffic import App, IncomingBody, OutgoingAnswer, Receive, Scope, Send

if TYPE_CHECKING:
    from ..service.service import PictureService

__all__ = ["Door"]

_PICTURES = "/pulid/v1/pictures/"
_CLIENT_GONE = 499
_STRANGER_BYTES = 64 << 10
"""The most that comes from who has no key: it can only be one to log in with."""


class Door:
    """An ASGI application around that of the server.

    Args:
        app: What answers.
        service: Whose settings count.
        access: Who may come in.
        auth: Knows the keys and sessions.
        count: Told of each request: family, route, method, status, and the code of its error.
        closing: Set when the server ends: then streams end, too.
        has_page: Whether a browser can be sent to the page, to log in there.
    """

    def __init__(
        self,
        app: App,
        *,
        service: PictureService,
        access: Access,
        auth: Auth,
        count: Callable[[str, str, str, int, str], None],
        closing: asyncio.Event,
        has_page: bool = False,
    ) -> None:
        self._app = app
        self._service = service
        self._settings = service.settings
        self._access = access
        self._auth = auth
        self._count = count
        self._closing = closing
        self._has_page = has_page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # nothing of ours speaks it
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = time.perf_counter()
        method, path = scope["method"], self._without_prefix(scope)
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in scope["headers"]
        }
        family = family_of_path(path)
        state = scope.setdefault("state", {})
        state[PATH_KEY] = path
        answer = OutgoingAnswer(
            send, request_id(headers.get("x-request-id")), is_head=method == "HEAD"
        )
        if method == "HEAD":  # every GET can be asked for its head
            scope = {**scope, "method": "GET"}
        owner = ""
        try:
            origin = self._origin(headers, answer)
            if method == "OPTIONS":
                await self._preflight(origin, headers, scope, receive, answer)
                return
            caller = self._caller(scope, method, path, headers)
            if caller is not None:
                owner = caller.owner
                if caller.by_cookie:
                    check_cookie_use(method, origin)
                base_url = self._base_url(scope, headers)
                state[STATE_KEY] = Call(caller, origin, answer.request_id, base_url)
            max_bytes = _STRANGER_BYTES if caller is None else self._service.limits.max_body_bytes
            check_body_length(headers.get("content-length"), max_bytes)
            body = IncomingBody(receive, max_bytes, self._closing)
            try:
                await self._app(scope, body.receive, answer.send)
            finally:
                body.close()
            if self._closing.is_set():
                await answer.end_stream()
        except Exception as exception:
            await self._failed(exception, family, path, headers, scope, receive, answer)
        finally:
            status = answer.status or _CLIENT_GONE
            error = str(state.get(ERROR_KEY, "")) if status >= 400 else ""
            self._count(family, route_of(scope), method, status, error)
            log_request(
                scope,
                method=method,
                status=status,
                time_s=time.perf_counter() - start,
                sent_bytes=answer.sent_bytes,
                owner=owner,
                request_id=answer.request_id,
                job=answer.job,
            )

    def _without_prefix(self, scope: Scope) -> str:
        """The path without a proxy's prefix, whether the proxy took that away or not."""
        prefix = self._settings.root_path
        path: str = scope["path"]
        if prefix:
            rest = path[len(prefix) :]
            if path.startswith(prefix) and (not rest or rest.startswith("/")):
                path = rest or "/"
            scope["root_path"], scope["path"] = prefix, prefix + path
        return path

    def _origin(self, headers: dict[str, str], answer: OutgoingAnswer) -> Origin:
        host, given = headers.get("host"), headers.get("origin")
        check_host(self._access.rules, host)
        origin = check_origin(self._access.rules, given, host)
        answer.headers |= cors_headers(origin, given)
        return origin

    async def _preflight(
        self,
        origin: Origin,
        headers: dict[str, str],
        scope: Scope,
        receive: Receive,
        answer: OutgoingAnswer,
    ) -> None:
        from starlette.responses import Response

        allowed = preflight_headers(origin, headers.get("origin"), headers)
        await Response(status_code=204, headers=allowed)(scope, receive, answer.send)

    def _caller(
        self, scope: Scope, method: str, path: str, headers: dict[str, str]
    ) -> Caller | None:
        """Who it is from; None: nobody, and nobody needs to be."""
        client = scope.get("client")
        now = time.time()
        try:
            return self._auth.caller(
                headers, address=client[0] if client else "", now=now, clock=time.monotonic()
            )
        except ApiError:
            if is_open(method, path, open_metrics=self._settings.open_metrics):
                return None
            if method in ("GET", "HEAD") and self._is_signed(scope, path, now):
                return Caller("", is_admin=True)  # sees this picture, whose ever it is
            raise

    def _is_signed(self, scope: Scope, path: str, now: float) -> bool:
        """Whether the address of a picture says itself that it may be had."""
        picture = path.removeprefix(_PICTURES)
        if picture == path or "/" in picture:
            return False
        query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")))
        given = query.get("expires", ""), query.get("signature", "")
        return is_signed_picture(self._service.secret, picture, *given, now)

    def _base_url(self, scope: Scope, headers: dict[str, str]) -> str:
        if self._settings.public_url:
            return str(self._settings.public_url).rstrip("/")
        return f"{scope.get('scheme', 'http')}://{headers['host']}{self._settings.root_path}"

    async def _failed(
        self,
        exception: Exception,
        family: Family,
        path: str,
        headers: dict[str, str],
        scope: Scope,
        receive: Receive,
        answer: OutgoingAnswer,
    ) -> None:
        """Answer for what went wrong; a begun answer is broken off, and is never whole."""
        from starlette.requests import ClientDisconnect
        from starlette.responses import RedirectResponse

        inner: tuple[Exception, ...] = getattr(exception, "exceptions", ())
        if len(inner) == 1:  # a group, which some versions of Starlette raise
            exception = inner[0]
        if isinstance(exception, ClientDisconnect):
            return
        if isinstance(exception, BrokenOffError):
            scope["state"][ERROR_KEY] = exception.code
            raise exception
        error = api_error_of(exception)
        scope["state"][ERROR_KEY] = error.code
        if error.code == "defect":
            log_defect(exception, with_text=self._settings.log_prompts)
        if answer.status:
            raise exception
        if error.status == 401 and self._is_of_page(scope, path, headers):
            query = scope.get("query_string", b"").decode("latin-1")
            wanted = quote(path + (f"?{query}" if query else ""), safe="/")
            to = f"{self._settings.root_path}/ui/login?next={wanted}"
            await RedirectResponse(to, status_code=303)(scope, receive, answer.send)
            return
        await error_response(error, family)(scope, receive, answer.send)

    def _is_of_page(self, scope: Scope, path: str, headers: dict[str, str]) -> bool:
        """Whether a person in a browser asks for the page, who is to log in."""
        is_api = family_of_path(path) != "own" or path.startswith(("/pulid/", "/metrics"))
        wants_page = "text/html" in headers.get("accept", "")
        return self._has_page and scope["method"] == "GET" and wants_page and not is_api
