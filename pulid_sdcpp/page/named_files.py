"""The files that a browser names in the page's events: those that it uploaded, and no others.

Gradio copies what an event names to where it can be fetched, also from an address of the net.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

from ..server.errors import ApiError

__all__ = ["check_named_files", "checked_event"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]


def check_named_files(event: Any, folder: Path) -> None:
    """Refuse an event that names a file outside of a folder.

    Args:
        event: Its body, parsed.
        folder: That of uploaded files.

    Raises:
        ApiError: forbidden.
    """
    inside = folder.resolve()
    for path in _paths(event):
        try:
            is_uploaded = inside in Path(path).resolve().parents
        except (OSError, ValueError):  # it has a NUL, or leads in a circle
            is_uploaded = False
        if not is_uploaded:
            raise ApiError("forbidden", "the page has no such file; put it in again")


async def checked_event(receive: Receive, folder: Path) -> tuple[Any, Receive]:
    """Read an event whole, check it, and give it on.

    Args:
        receive: The request's.
        folder: As for `check_named_files`.

    Returns:
        The event, parsed, and what gives the same body once more.

    Raises:
        ApiError: bad_json; as `check_named_files`.
    """
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            break
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    content = bytes(body)
    try:
        event = json.loads(content)
    except (ValueError, RecursionError):
        raise ApiError("bad_json", "expected an event of the page") from None
    check_named_files(event, folder)
    is_read = False

    async def again() -> Message:
        nonlocal is_read
        if is_read:
            return await receive()
        is_read = True
        return {"type": "http.request", "body": content, "more_body": False}

    return event, again


def _paths(value: Any) -> Iterator[str]:
    """What stands as "path" anywhere in a value, however deep."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if isinstance(path := one.get("path"), str):
                yield path
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
