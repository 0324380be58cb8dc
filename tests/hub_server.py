"""A small Hugging Face hub on this computer, with the real one's addresses and headers.

GET and HEAD of /OWNER/NAME/resolve/REVISION/PATH answer as the hub does for large files: size and
hash in X-Linked-*, and a redirect to a content host (here "localhost" instead of "127.0.0.1"),
which knows Range. /plain/NAME is a file on an ordinary server.
"""

from __future__ import annotations

import hashlib
import http.server
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

__all__ = ["NOTHING", "TOKEN", "HubServer", "commit_of", "hub_of_a_user", "serve_hub"]

TOKEN = "hf_a_token_for_tests"
NOTHING = 1 << 40
"""In `cuts`: not a byte comes."""


@dataclass
class Request:
    """What was asked for."""

    method: str
    path: str
    range: str
    authorization: str


@dataclass
class HubServer:
    """What the server has and how it behaves; tests change it as it runs.

    Attributes:
        files: Content by "owner/name/path", or "plain/name".
        etags: Hashes that are told instead of the right ones.
        gated: Repositories that need TOKEN.
        closed: Repositories that TOKEN does not open either.
        cuts: After how many bytes the next answers end early; a negative number resets the
            connection after as many.
        statuses: Statuses to answer the next requests with.
        content_headers: In answers with content, beside or instead of the right ones; "": left
            out.
        is_endless: Zeros come after the content, until the other side has enough.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ignores_range: bool = False
    knows_if_range: bool = True
    content_headers: dict[str, str] = field(default_factory=dict)
    is_endless: bool = False
    requests: list[Request] = field(default_factory=list)
    zeros: int = 0

    def content_requests(self) -> list[Request]:
        """Requests for bytes, at the content host or the plain server."""
        homes = ("/content/", "/plain/")
        return [r for r in self.requests if r.method == "GET" and r.path.startswith(homes)]

    def add(self, key: str, content: bytes) -> str:
        """Publish a file; returns its SHA-256."""
        self.files[key] = content
        return hashlib.sha256(content).hexdigest()


def commit_of(repository: str) -> str:
    """The commit that "main" of a repository is at."""
    return hashlib.sha1(repository.encode()).hexdigest()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A connection that the other side has closed; nothing to print."""


@contextmanager
def serve_hub() -> Iterator[HubServer]:
    """A running server."""
    hub = HubServer()
    server = _Server(("127.0.0.1", 0), _handler(hub))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def hub_of_a_user(home: Path) -> Iterator[HubServer]:
    """A running server that huggingface_hub asks; its cache and ours are folders of `home`."""
    import huggingface_hub
    from huggingface_hub import constants

    with serve_hub() as server, pytest.MonkeyPatch.context() as patch:
        # It reads its environment when it is imported, which may have been long before.
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        patch.setattr(constants, "ENDPOINT", server.url)
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        patch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
        patch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        patch.setenv("PULID_SDCPP_CACHE", str(home / "cache"))
        patch.setenv("PULID_SDCPP_CONFIG", str(home / "config"))
        yield server
        huggingface_hub.close_session()


def _handler(hub: HubServer) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def log_message(self, *_: Any) -> None:
            pass

        def _answer(self) -> None:
            hub.requests.append(
                Request(
                    self.command,
                    self.path,
                    self.headers.get("Range", ""),
                    self.headers.get("Authorization", ""),
                )
            )
            if hub.statuses:
                self._say(hub.statuses.pop(0))
            elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path):
                self._resolve(*match.groups())
            elif (key := self.path.removeprefix("/content").lstrip("/")) in hub.files:
                self._content(hub.files[key])
            else:
                self._say(404)

        def _resolve(self, repository: str, revision: str, path: str) -> None:
            with_token = self.headers.get("Authorization") == f"Bearer {TOKEN}"
            key, commit = f"{repository}/{path}", commit_of(repository)
            if repository in hub.closed or (repository in hub.gated and not with_token):
                self._say(403 if with_token else 401, **{"X-Error-Code": "GatedRepo"})
            elif not any(name.startswith(f"{repository}/") for name in hub.files):
                self._say(404, **{"X-Error-Code": "RepoNotFound"})
            elif revision not in ("main", commit):
                self._say(404, **{"X-Error-Code": "RevisionNotFound"})
            elif key not in hub.files:
                self._say(404, **{"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
            else:
                content = hub.files[key]
                etag = hub.etags.get(key) or hashlib.sha256(content).hexdigest()
                host = hub.url.replace("127.0.0.1", "localhost")
                self._say(
                    302,
                    **{
                        "Location": f"{host}/content/{key}",
                        "X-Repo-Commit": commit,
                        "X-Linked-Size": str(len(content)),
                        "X-Linked-Etag": f'"{etag}"',
                        "ETag": '"a-pointer"',
                    },
                )

        def _content(self, content: bytes) -> None:
            begin = 0
            if match := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
                begin = 0 if hub.ignores_range else int(match[1])
            if begin and begin >= len(content):
                self._say(416)
                return
            known = self.headers.get("If-Range") if hub.knows_if_range else None
            if known is not None and known not in hub.content_headers.values():
                begin = 0
            headers = {"Content-Length": str(len(content) - begin)}
            if begin:
                headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
            self.send_response(206 if begin else 200)
            for name, value in {**headers, **hub.content_headers}.items():
                if value:
                    self.send_header(name, value)
            self.end_headers()
            if hub.content_headers.get("Content-Length") == "":
                self.close_connection = True
            if self.command == "HEAD":
                return
            cut = hub.cuts.pop(0) if hub.cuts else 0
            count = abs(cut) % NOTHING if cut else len(content)
            self.wfile.write(content[begin : begin + count])
            while hub.is_endless:
                self.wfile.write(bytes(1 << 16))
                hub.zeros += 1 << 16
            if cut:
                self.wfile.flush()
                self.close_connection = True
            if cut < 0:  # closing with this option on sends a reset
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.connection.close()

        def _say(self, status: int, **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

    return Handler
