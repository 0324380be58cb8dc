"""Errors as answers, in the shape that the clients of a path know."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ...errors import PulidError
from ...terminal_text import escaped_line, quoted, shortened
from ..errors import ApiError, Family, api_error_of, body_of, headers_of

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = [
    "ERROR_KEY",
    "PATH_KEY",
    "add_error_handlers",
    "error_response",
    "family_of_path",
    "log_defect",
    "not_found_error",
]

LOGGER = logging.getLogger("pulid_sdcpp.server")

ERROR_KEY = "pulid_error"
"""Where a request's state has the code of its error, for the log and the metrics."""
PATH_KEY = "pulid_path"
"""Where it has the path that was asked for, without a proxy's prefix."""

_FAMILIES: dict[str, Family] = {
    "v1": "openai",
    "images": "openai",
    "sdapi": "sdapi",
    "controlnet": "sdapi",
    "sdcpp": "sdcpp",
}


def family_of_path(path: str) -> Family:
    """Whose format the answers at a path have.

    Args:
        path: Without the prefix of a proxy.
    """
    return _FAMILIES.get(path.lstrip("/").partition("/")[0], "own")


def error_response(exception: BaseException, family: Family) -> Response:
    """The answer to a request that failed."""
    from starlette.responses import JSONResponse

    error = api_error_of(exception)
    return JSONResponse(
        body_of(error, family), status_code=error.status, headers=headers_of(error, family)
    )


def not_found_error(method: str, path: str) -> ApiError:
    """There is no such endpoint; says where there are some, as the base address may be wrong."""
    return ApiError(
        "not_found",
        f"there is no {quoted(method)} {quoted(path)}; the API is at /v1 (OpenAI's), /sdapi/v1 "
        "(A1111's), /sdcpp/v1 (sd-server's) and /pulid/v1 (our own), and described at /docs",
    )


def log_defect(exception: BaseException, *, with_text: bool) -> None:
    """Write where a mistake of ours happened into the log.

    Args:
        exception: What was raised.
        with_text: Whether with its text, in which there may be a prompt or a name.
    """
    frames = "".join(traceback.format_tb(exception.__traceback__)).rstrip()
    text = f": {shortened(escaped_line(str(exception)))}" if with_text else ""
    LOGGER.error("a defect: %s%s\n%s", type(exception).__name__, text, frames)


def add_error_handlers(app: FastAPI, *, log_texts: bool) -> None:
    """Make answers of all that an endpoint raises; what nobody knows, the door answers.

    Args:
        app: The server.
        log_texts: Whether texts of errors may be logged.
    """
    from fastapi.exceptions import RequestValidationError
    from starlette.exceptions import HTTPException

    async def answered(request: Request, exception: Exception) -> Response:
        error = _of_framework(request, exception) or api_error_of(exception)
        if error.code == "defect":
            log_defect(exception, with_text=log_texts)
        request.scope.setdefault("state", {})[ERROR_KEY] = error.code
        return error_response(error, family_of_path(_path_of(request)))

    handler: Callable[[Request, Exception], Awaitable[Response]] = answered
    for kind in (ApiError, PulidError, ValueError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, handler)


def _of_framework(request: Request, exception: Exception) -> ApiError | None:
    from fastapi.exceptions import RequestValidationError
    from starlette.exceptions import HTTPException

    if isinstance(exception, RequestValidationError):
        return _of_validation(exception.errors())
    if not isinstance(exception, HTTPException):
        return None
    method, path = request.method, _path_of(request)
    if exception.status_code == 405:
        text = f"{quoted(path)} does not take {quoted(method)}"
        return ApiError("method_not_allowed", text, headers=exception.headers)
    if exception.status_code == 404:
        return not_found_error(method, path)
    if exception.status_code == 413:
        return ApiError("too_large", "the request is too large")
    return ApiError("invalid_value", str(exception.detail), status=exception.status_code)


def _of_validation(problems: Any) -> ApiError:
    """The first of what FastAPI found in a path or a query."""
    first: dict[str, Any] = next(iter(problems), {})
    places = [str(place) for place in first.get("loc", ())[1:]]
    param = ".".join(places) or None
    said = str(first.get("msg", "it cannot be read"))
    return ApiError(
        "invalid_value", f"{param or 'the request'}: {said[:1].lower()}{said[1:]}", param
    )


def _path_of(request: Request) -> str:
    """Without prefixes, also of what is mounted."""
    return str(request.scope.get("state", {}).get(PATH_KEY, request.scope["path"]))
