"""Which of Gradio's routes the page needs, and what a browser may do with what they answer."""

from __future__ import annotations

import asyncio
import re
import secrets
from typing import TYPE_CHECKING, Any

from starlette.datastructures import QueryParams
from starlette.requests import HTTPConnection

from ..server.access.call import call_of
from ..server.errors import ApiError
from .named_files import checked_event
from .page_sessions import PageSessions
from .texts import NO_SCRIPTS
from .upload_room import check_upload_room

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["PageRoutes", "content_policy", "is_of_the_page"]

_FILE = r"(?![a-zA-Z][a-zA-Z0-9+.-]+:).+"
"""A path; Gradio would fetch an address of the net and pass on what is there."""
_ROUTES = re.compile(
    r"/|/config/?|/theme\.css|/manifest\.json|/favicon\.ico|/robots\.txt"
    r"|/(assets|static|svelte)/.+"
    r"|/gradio_api/(queue/(join|data)|upload|upload_progress|heartbeat/\w+"
    rf"|file={_FILE}"
    r"|cancel|reset/?|app_id/?|startup-events|theme\.css|custom_component/.+)"
)
_EVENTS = ("/gradio_api/queue/join", "/gradio_api/cancel")
_FOLLOWING, _HEARTBEAT = "/gradio_api/queue/data", "/gradio_api/heartbeat/"
_SESSION = "session_hash"
_UPLOAD = "/gradio_api/upload"
_WITHOUT_QUERY = ("", "/", "/config", "/config/")
"""Gradio would take another page from it, or what somebody's link has kept."""
_PERMISSION = b"access-control-"
_FOREIGN = re.compile(rb"<meta\s[^>]*?(?:og:|twitter:)[^>]*?/>\s*", re.DOTALL)
"""What Gradio says of itself to other sites, with addresses of theirs."""
_NO_SCRIPTS = f"<noscript><p>{NO_SCRIPTS}</p></noscript>".encode()


def is_of_the_page(path: str) -> bool:
    """Whether the page asks for such a path; Gradio has more, such as an API and a proxy."""
    return _ROUTES.fullmatch(path) is not None and ".." not in path


def content_policy(nonce: str) -> str:
    """The Content-Security-Policy: nothing is loaded from elsewhere, or sent there.

    Gradio makes functions of templates, so 'unsafe-eval'; its styles are in attributes.

    Args:
        nonce: Of the scripts in the document itself.
    """
    return (
        "default-src 'none'; "
        f"script-src 'self' 'nonce-{nonce}' 'unsafe-eval'; "
        "style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' blob:; "
        "connect-src 'self' data: blob:; worker-src 'self' blob:; manifest-src 'self'; "
        "base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
    )


class PageRoutes:
    """Gradio's app behind a list of its routes.

    Args:
        app: Gradio's.
        folder: Where it puts uploaded files; an event can name no others.
    """

    def __init__(self, app: ASGIApp, folder: Path) -> None:
        self._app = app
        self._folder = folder
        self._sessions = PageSessions()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = (
            scope["path"][len(scope.get("root_path", "").rstrip("/")) :]
            if _is_below(scope)
            else scope["path"]
        )
        if scope["type"] != "http" or not is_of_the_page(path or "/"):
            raise ApiError("not_found", "there is nothing at this address")
        send = _without_permissions(send)
        if path in _WITHOUT_QUERY:
            scope = {**scope, "query_string": b""}
        if path in ("", "/"):
            await self._document(scope, receive, send)
        elif path in _EVENTS:
            event, receive = await checked_event(receive, self._folder)
            self._check_session(scope, event)
            await self._app(scope, receive, send)
        elif path == _UPLOAD:
            await asyncio.to_thread(check_upload_room, self._folder)
            await self._app(scope, receive, send)
        else:
            if path == _FOLLOWING or path.startswith(_HEARTBEAT):
                self._check_session(scope, None)
            await self._app(scope, receive, send)

    def _check_session(self, scope: Scope, event: Any) -> None:
        """Every way in which a request can say which page it is about.

        Raises:
            ApiError: not_found: that is somebody else's.
        """
        owner = call_of(HTTPConnection(scope)).owner
        named: list[Any] = QueryParams(scope.get("query_string", b"")).getlist(_SESSION)
        if isinstance(event, dict):
            named.append(event.get(_SESSION))
        _, _, beating = scope["path"].partition(_HEARTBEAT)
        for session in (*named, *([beating] if beating else ())):
            self._sessions.check(session, owner)

    async def _document(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The page itself: its scripts get the nonce, so that no other script in it runs."""
        nonce = secrets.token_urlsafe(16)
        scope = dict(scope)
        scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"accept-encoding"]
        started: dict[str, Any] = {}
        content = b""

        async def changed(message: Message) -> None:
            nonlocal content, started
            if message["type"] == "http.response.start":
                started = dict(message)
                return
            content += message.get("body", b"")
            if message.get("more_body"):
                return
            content = _FOREIGN.sub(b"", content)
            content = content.replace(b"</body>", _NO_SCRIPTS + b"</body>")
            content = content.replace(b"<script", f'<script nonce="{nonce}"'.encode())
            headers = [pair for pair in started["headers"] if pair[0] != b"content-length"]
            headers += [
                (b"content-length", str(len(content)).encode()),
                (b"content-security-policy", content_policy(nonce).encode()),
                (b"cache-control", b"no-store"),
            ]
            await send({**started, "headers": headers})
            await send({**message, "body": content})

        await self._app(scope, receive, changed)


def _without_permissions(send: Send) -> Send:
    """Which pages elsewhere may read an answer is the door's to say; Gradio lets them use the
    session of whoever is logged in."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = message.get("headers", ())
            kept = [pair for pair in headers if not pair[0].lower().startswith(_PERMISSION)]
            message = {**message, "headers": kept}
        await send(message)

    return sent


def _is_below(scope: Scope) -> bool:
    prefix = scope.get("root_path", "").rstrip("/")
    return bool(prefix) and scope["path"].startswith(prefix)
