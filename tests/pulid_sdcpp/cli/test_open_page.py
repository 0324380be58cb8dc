"""`ui`: the page of a server that runs already is opened, and only ours."""

from __future__ import annotations

import importlib.util
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from pulid_sdcpp.cli import main
from pulid_sdcpp.cli.commands.ui import open_page_of
from pulid_sdcpp.cli.progress import open_page as module
from pulid_sdcpp.cli.progress.open_page import open_page, running_server_url

OURS = b'{"status": "ok", "server": "pulid-sdcpp", "version": "0.1.0"}'


@contextmanager
def answering(health: bytes) -> Iterator[int]:
    """A server that says this of its health; gives its port."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(health)))
            self.end_headers()
            self.wfile.write(health)

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that a browser was told to open; at once, not in a thread."""
    found: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: found.append(url) or True)
    at_once = SimpleNamespace(Thread=lambda target, **_: SimpleNamespace(start=target))
    monkeypatch.setattr(module, "threading", at_once)
    return found


@pytest.mark.parametrize(
    ("extra", "module", "package"),
    [
        ("server", "uvicorn", "uvicorn>="),
        ("server", "fastapi_offline", "fastapi-offline>="),
        ("ui", "gradio", "gradio>="),
    ],
)
def test_a_missing_extra_is_said_with_its_command(
    monkeypatch: pytest.MonkeyPatch, extra: str, module: str, package: str
) -> None:
    found = importlib.util.find_spec

    def without(name: str, *rest: str | None) -> object:
        return None if name == module else found(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    with answering(OURS) as port:
        pass
    called = CliRunner().invoke(main, ["ui", "--port", str(port), "--model", "pocket"])
    assert called.exit_code != 0
    assert f"the Python package {module} is not installed" in called.output
    assert f"the extra [{extra}]: pip install " in called.output
    assert f'"{package}' in called.output


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_server_of_ours_is_found(host: str) -> None:
    with answering(OURS) as port:
        assert running_server_url(host, [0, port]) == f"http://127.0.0.1:{port}/"


@pytest.mark.parametrize("health", [b"{}", b"[]", b"<html>", b'{"server": "another"}', b"\xff"])
def test_another_program_is_none_of_ours(health: bytes) -> None:
    with answering(health) as port:
        assert running_server_url("127.0.0.1", [port]) == ""


def test_where_nothing_answers_there_is_none() -> None:
    with answering(OURS) as port:
        pass
    assert running_server_url("127.0.0.1", [port, 0]) == ""


def test_ui_only_opens_the_page_of_a_server_that_runs(opened: list[str]) -> None:
    with answering(OURS) as port:
        called = CliRunner().invoke(main, ["ui", "--port", str(port)])
    assert called.exit_code == 0, called.output
    assert opened == [f"http://127.0.0.1:{port}/"]
    assert f"http://127.0.0.1:{port}/" in called.output


@pytest.mark.parametrize(
    ("link", "address"), [("", "http://a:1/p/"), ("abc", "http://a:1/p/ui/login?link=abc")]
)
def test_with_a_key_a_link_logs_in(opened: list[str], link: str, address: str) -> None:
    state = SimpleNamespace(
        service=SimpleNamespace(settings=SimpleNamespace(root_path="/p")),
        auth=SimpleNamespace(new_link=lambda clock: link),
    )
    open_page_of(SimpleNamespace(state=state), "http://a:1")
    assert opened == [address]


def test_without_a_browser_the_address_is_said(
    opened: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none(url: str) -> bool:
        raise webbrowser.Error("could not locate runnable browser")

    monkeypatch.setattr(webbrowser, "open", none)
    open_page("http://a:1/")
    assert "http://a:1/" in capsys.readouterr().out
