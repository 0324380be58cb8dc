"""Errors on their way out of the engine process: the same class and words on the other side."""

from __future__ import annotations

import os

from ... import errors
from ...errors import GenerationError, Message, PulidError
from ..errors import ApiError, api_error_of
from .engine_messages import ErrorEvent

__all__ = ["EngineCrashedError", "error_event", "exception_of"]

_OF_OTHERS = "another's "
"""Before the class of a ValueError that is no caller's mistake: a library's, so a defect."""


class EngineCrashedError(ApiError):
    """The engine process ended while it worked.

    Args:
        message: How, and what to do, in one line.
        out_of_memory: Whether the kernel ended it for want of memory.
    """

    def __init__(self, message: str, *, out_of_memory: bool = False) -> None:
        super().__init__("engine_crashed", message)
        self.out_of_memory = out_of_memory


def error_event(job: str, error: BaseException, folder: str = "") -> ErrorEvent:
    """What is told of an exception.

    Args:
        job: The job that failed.
        error: The exception.
        folder: The job's; files in it are named without it, for answers show no paths of ours.
    """
    message = error.args[0] if error.args else ""
    text = message.marked if isinstance(message, Message) else str(error)
    if folder:
        text = text.replace(os.path.join(folder, ""), "")
    log_lines = error.log_lines if isinstance(error, GenerationError) else ()
    kind = type(error).__name__
    if isinstance(error, ValueError) and api_error_of(error).code == "defect":
        kind = _OF_OTHERS + kind
    return ErrorEvent(job, kind, text, log_lines)


def exception_of(event: ErrorEvent) -> Exception:
    """The exception again, to raise; a RuntimeError of what nobody foresaw."""
    message = Message(event.message)
    if event.kind == "ValueError":
        return ValueError(message)
    kind = getattr(errors, event.kind, None) if event.kind in errors.__all__ else None
    if kind is None:
        return RuntimeError(f"{event.kind}: {message}")
    error: PulidError = kind(message)
    if isinstance(error, GenerationError):
        error.log_lines = event.log_lines
    return error
