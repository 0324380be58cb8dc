"""What the events of the screens share: who calls, and how errors are told."""

from __future__ import annotations

import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, ParamSpec, TypeVar

import gradio as gr

from ..server.access.call import Call, call_of
from ..server.errors import DEFECT, ApiError, api_error_of
from . import screen_texts as texts
from .parts import PageParts

__all__ = ["EVENT", "admin_in", "call_in", "going_to", "told", "told_step_by_step"]

LOGGER = logging.getLogger("pulid_sdcpp.page")

EVENT: Mapping[str, Any] = {"show_progress": "hidden", "trigger_mode": "multiple"}
"""How events of buttons run: none is dropped, and nothing is covered meanwhile."""

P = ParamSpec("P")
T = TypeVar("T")


def call_in(request: gr.Request) -> Call:
    """Who is at the browser."""
    return call_of(request.request)  # type: ignore[arg-type]


def admin_in(request: gr.Request) -> Call:
    """Who is at the browser, if that is an administrator.

    Raises:
        ApiError: forbidden.
    """
    call = call_in(request)
    if not call.is_admin:
        raise ApiError("forbidden", texts.ADMIN_ONLY)
    return call


def going_to(
    parts: PageParts, screen: str = "", body: dict[str, Any] | None = None, owner: str = ""
) -> Any:
    """What an event gives `[parts.navigation, *parts.fields]`.

    Args:
        screen: Where to go; "": nowhere.
        body: What the form of Create is filled with; None: it stays.
        owner: Whose people are in it.
    """
    values = [gr.skip() for _ in parts.fields] if body is None else parts.fill(body, owner)
    where = screen or gr.skip()
    return [where, *values] if values else where  # of one output, a list would be the value


def told(event: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """An event whose errors are told to who caused it."""

    @functools.wraps(event)
    async def done(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await event(*args, **kwargs)
        except Exception as error:
            raise _shown(error) from None

    return done


def told_step_by_step(event: Callable[P, AsyncIterator[T]]) -> Callable[P, AsyncIterator[T]]:
    """The same for one that gives values as it goes on."""

    @functools.wraps(event)
    async def done(*args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        try:
            async for values in event(*args, **kwargs):
                yield values
        except Exception as error:
            raise _shown(error) from None

    return done


def _shown(error: Exception) -> gr.Error:
    """An error as the page shows it; what no user could help is logged in full."""
    if isinstance(error, gr.Error):
        return error
    found = api_error_of(error)
    if found.code == "defect":
        LOGGER.error("%s", DEFECT, exc_info=error)
    return gr.Error(texts.FAILED.format(reason=found.message), print_exception=False)
