"""Opening the page in the browser, and finding a server that runs already."""

from __future__ import annotations

import http.client
import json
import threading
import webbrowser
from collections.abc import Sequence

import click

__all__ = ["open_page", "running_server_url"]

_TIMEOUT_S = 1.0
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def open_page(url: str) -> None:
    """Open an address in the browser, without waiting for it; where there is none, say it."""

    def work() -> None:
        try:
            is_open = webbrowser.open(url)
        except webbrowser.Error:
            is_open = False
        if not is_open:
            click.echo(f"open this in a browser: {url}")

    threading.Thread(target=work, name="browser", daemon=True).start()


def running_server_url(host: str, ports: Sequence[int]) -> str:
    """The address of a server of ours that answers already; "": there is none.

    Args:
        host: Where it would listen.
        ports: Likewise; 0 is none.
    """
    host = _EVERYWHERE.get(host, host)
    for port in ports:
        if port and _is_ours(host, port):
            return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
    return ""


def _is_ours(host: str, port: int) -> bool:
    """Whether its /health says so. No proxy is asked: it is this computer."""
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/health")
        said = json.loads(connection.getresponse().read(10_000))
    except (OSError, ValueError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return isinstance(said, dict) and said.get("server") == "pulid-sdcpp"
