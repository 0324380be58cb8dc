"""The harness of the browser tests sees what it must see, on pages of this test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from PIL import Image

from .visit import PHONE, Visit

HEAD = (
    '<!doctype html><html lang="en"><title>A page</title><link rel="icon" href="data:,">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
)
GOOD = f"{HEAD}<main><h1>A page</h1><p>with text</p></main>"
PAGES: Mapping[str, str] = {
    "/": GOOD,
    "/thrown": f"{GOOD}<script>setTimeout(() => nothing.there)</script>",
    "/console": f"{GOOD}<script>console.error('said')</script>",
    "/foreign": f"{GOOD}<script src='https://example.org/a.js'></script>",
    "/missing": f"{GOOD}<img alt='' src='/no.png'>",
    "/policy": f"{GOOD}<style>p {{ color: black }}</style>",
    "/grey": f"{HEAD}<main><h1>A page</h1><p style='color: #ccc'>pale</p><input></main>",
    "/wide": f"{GOOD}<div style='width: 900px'>wide</div>",
}
Visiting = Callable[..., AbstractContextManager[Visit]]


class Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        text = PAGES.get(self.path)
        self.send_response(200 if text else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        if self.path == "/policy":
            self.send_header("Content-Security-Policy", "default-src 'self' data:")
        self.end_headers()
        self.wfile.write((text or "").encode())

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def served_pages() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served_pages() as url:
        yield url


def test_a_good_page_has_no_fault(
    visit: Visiting, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{Visit.__module__}.SCREENSHOTS", tmp_path)
    with visit(url, **PHONE) as here:
        assert here.go().get_by_role("heading").inner_text() == "A page"
        here.check_access()
        here.check_width()
        with Image.open(here.screenshot("good")) as seen:
            assert seen.size == (780, 1688)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/thrown", "nothing is not defined"),
        ("/console", "said"),
        ("/foreign", "foreign request: https://example.org/a.js"),
        ("/missing", "404"),
        ("/policy", "Content Security Policy"),
    ],
)
def test_a_fault_fails_the_visit(visit: Visiting, url: str, path: str, says: str) -> None:
    with pytest.raises(AssertionError, match=says), visit(url) as here:
        here.go(path).wait_for_timeout(100)
    with visit(url) as here:
        here.expect("nothing is not|said|foreign|ERR_NAME|404|Content Security Policy")
        here.go(path).wait_for_timeout(100)


def test_what_some_cannot_read_or_reach_is_found(visit: Visiting, url: str) -> None:
    with visit(url) as here:
        here.go("/grey")
        with pytest.raises(AssertionError, match=r"(?s)color-contrast.*label"):
            here.check_access()
        here.check_access({"color-contrast": "a test", "label": "a test"})
        here.go("/wide")
        with pytest.raises(AssertionError, match="in a window of 320"):
            here.check_width()
