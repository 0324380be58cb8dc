"""Errors on their way out of the engine process: the same class and words on the other side."""

from __future__ import annotations

import os

from .. import errors
from ..errors import GenerationError, Message, PulidError
from .engine_messages import ErrorEvent

__all__ = ["EngineCrashedError", "error_event", "exception_of"]

_PLAIN: dict[str, type[Exception]] = {"ValueError": ValueError, "TypeError": TypeError}


class EngineCrashedError(PulidError):
    """The engine process ended while it worked.

    Args:
        message: How, and what to do, in one line.
        out_of_memory: Whether the kernel ended it for want of memory.
    """

    code = "engine_crashed"

    def __init__(self, message: str, *, out_of_memory: bool = False) -> None:
        super().__init__(message)
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
    return ErrorEvent(job, type(error).__name__, text, log_lines)


def exception_of(event: ErrorEvent) -> Exception:
    """The exception again, to raise; a RuntimeError of what nobody foresaw."""
    message = Message(event.message)
    if event.kind in _PLAIN:
        return _PLAIN[event.kind](message)
    kind = getattr(errors, event.kind, None) if event.kind in errors.__all__ else None
    if kind is None:
        return RuntimeError(f"{event.kind}: {message}")
    error: PulidError = kind(message)
    if isinstance(error, GenerationError):
        error.log_lines = event.log_lines
    return error
