"""What of Gradio can be reached, and what a browser may do with the page."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pulid_sdcpp.page.page_routes import PageRoutes, is_of_the_page
from pulid_sdcpp.server.errors import ApiError


@pytest.mark.parametrize(
    "path",
    ["/", "/config", "/theme.css", "/assets/index-1.js", "/static/fonts/a.woff2",
     "/gradio_api/queue/join", "/gradio_api/queue/data", "/gradio_api/upload",
     "/gradio_api/heartbeat/abc123", "/gradio_api/file=/tmp/a.png",
     "/gradio_api/file=C:/Temp/a.png"],
)  # fmt: skip
def test_what_the_page_needs_is_there(path: str) -> None:
    assert is_of_the_page(path)


@pytest.mark.parametrize(
    "path",
    ["/gradio_api/info", "/gradio_api/call/generate", "/gradio_api/proxy=http://example.org/",
     "/gradio_api/vibe-edit", "/gradio_api/run/predict", "/login", "/monitoring",
     "/gradio_api/runs",
     "/gradio_api/deep_link", "/assets/../config", "/v2/anything", "", "/gradio_api/openapi.json",
     "/gradio_api/component_server", "/gradio_api/component_server/",
     "/gradio_api/process_recording", "/gradio_api/file=/tmp/../etc/passwd",
     "/gradio_api/file=http://example.org/a.png", "/gradio_api/file=HTTPS://example.org/a.png",
     "/gradio_api/file=file:///etc/passwd"],
)  # fmt: skip
def test_what_else_gradio_has_is_not(path: str) -> None:
    assert not is_of_the_page(path)


HTML = (
    b'<html><meta property="og:image"\n\t content="https://elsewhere.example/a.jpg" />\n'
    b"<script>one()</script><script type=module src=a.js></script></html>"
)


async def gradio(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] != "/config":  # the document is changed, so it comes as it is
        assert not [name for name, _ in scope["headers"] if name == b"accept-encoding"]
    length = (b"content-length", str(len(HTML)).encode())
    headers = [length, (b"Access-Control-Allow-Credentials", b"true")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": HTML[:40], "more_body": True})
    await send({"type": "http.response.body", "body": HTML[40:]})


def answered(path: str, root_path: str = "") -> list[Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"accept-encoding", b"br"), (b"accept", b"*/*")]
    scope = {"type": "http", "path": path, "root_path": root_path, "headers": headers}
    asyncio.run(PageRoutes(gradio, Path("/nowhere"))(scope, None, send))  # type: ignore[arg-type]
    return sent


@pytest.mark.parametrize(("path", "root_path"), [("/", ""), ("/pulid/", "/pulid"), ("/x", "/x")])
def test_the_document_runs_its_own_scripts_and_no_others(path: str, root_path: str) -> None:
    start, body = answered(path, root_path)
    headers = dict(start["headers"])
    nonce = headers[b"content-security-policy"].split(b"'nonce-")[1].split(b"'")[0]
    assert body["body"].count(b'<script nonce="' + nonce + b'"') == 2
    assert b"elsewhere.example" not in body["body"]
    assert int(headers[b"content-length"]) == len(body["body"])
    policy = headers[b"content-security-policy"].decode()
    scripts = next(part for part in policy.split("; ") if part.startswith("script-src"))
    assert "'unsafe-inline'" not in scripts
    assert "http:" not in policy
    assert "https:" not in policy
    assert "*" not in policy


@pytest.mark.parametrize("path", ["/", "/config"])
def test_gradio_lets_no_page_elsewhere_use_a_session(path: str) -> None:
    names = {name.lower() for name, _ in answered(path)[0]["headers"]}
    assert b"content-length" in names
    assert b"access-control-allow-credentials" not in names


def test_each_document_has_a_nonce_of_its_own() -> None:
    assert answered("/")[0]["headers"] != answered("/")[0]["headers"]


@pytest.mark.parametrize(
    ("path", "query"), [("/", b""), ("/config", b""), ("/theme.css", b"deep_link=a&page=b")]
)
def test_the_page_is_the_same_whatever_its_address_asks_for(path: str, query: bytes) -> None:
    queries = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        queries.append(scope["query_string"])
        await gradio(scope, receive, send)

    async def send(message: Any) -> None:
        pass

    scope = {"type": "http", "path": path, "headers": [], "query_string": b"deep_link=a&page=b"}
    asyncio.run(PageRoutes(app, Path("/nowhere"))(scope, None, send))  # type: ignore[arg-type]
    assert queries == [query]


@pytest.mark.parametrize("path", ["/gradio_api/info", "/nothing"])
def test_another_route_is_not_found(path: str) -> None:
    with pytest.raises(ApiError) as error:
        answered(path)
    assert error.value.code == "not_found"
