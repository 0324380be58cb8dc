"""What a server writes on stderr: a line for each message, as text or JSON."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import traceback
from collections.abc import Iterator
from typing import Any

from ...terminal_text import escaped_line, shortened
from ..errors import BrokenOffError

__all__ = ["ServerLogFormat", "server_log"]

_OURS = ("pulid_sdcpp", "pulid_extractor")
_OTHERS = ("uvicorn", "asyncio", "gradio")
_TIME = "%Y-%m-%d %H:%M:%S"


class ServerLogFormat(logging.Formatter):
    """A message in a line. Of an exception it shows where it was raised, and not its text: there
    may be a prompt in it, or a name.

    Args:
        as_json: Whether a line is an object in JSON.
        with_texts: Whether texts of exceptions are shown, too.
    """

    def __init__(self, *, as_json: bool = False, with_texts: bool = False) -> None:
        super().__init__(datefmt=_TIME)
        self._as_json = as_json
        self._with_texts = with_texts

    def format(self, record: logging.LogRecord) -> str:
        text = shortened(escaped_line(record.getMessage()))
        frames = "" if record.exc_info is None else self.formatException(record.exc_info)
        when, level = self.formatTime(record, self.datefmt), record.levelname.lower()
        if self._as_json:
            fields: dict[str, Any] = {
                "time": when,
                "level": level,
                "logger": record.name,
                "message": text,
            }
            fields |= getattr(record, "fields", {})
            return json.dumps({**fields, "traceback": frames} if frames else fields)
        return f"{when} {level}: {text}" + (f"\n{frames}" if frames else "")

    def formatException(self, ei: Any) -> str:
        kind, error, where = ei
        if error is None:
            return ""
        frames = "".join(traceback.format_tb(where)).rstrip()
        text = f": {shortened(escaped_line(str(error)))}" if self._with_texts else ""
        return f"{frames}\n{kind.__name__}{text}"


@contextlib.contextmanager
def server_log(*, as_json: bool = False, with_texts: bool = False) -> Iterator[None]:
    """Write on stderr while the block runs, in place of what else writes the package's messages.

    Args:
        as_json, with_texts: As of `ServerLogFormat`.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_is_new)
    handler.setFormatter(ServerLogFormat(as_json=as_json, with_texts=with_texts))
    before = []
    for name in (*_OURS, *_OTHERS):
        logger = logging.getLogger(name)
        before.append((logger, logger.handlers[:], logger.level, logger.propagate))
        logger.handlers[:] = [handler]
        logger.propagate = False
        # Uvicorn warns of requests that are none, which anybody can send.
        logger.setLevel(logging.ERROR if name == "uvicorn" else logging.WARNING)
    own = logging.getLogger("pulid_sdcpp.server")
    before.append((own, own.handlers[:], own.level, own.propagate))
    own.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger, handlers, level, propagate in before:
            logger.handlers[:], logger.propagate = handlers, propagate
            logger.setLevel(level)


def _is_new(record: logging.LogRecord) -> bool:
    """Whether a message says more than a line before: why an answer was broken off stands there."""
    return record.exc_info is None or not isinstance(record.exc_info[1], BrokenOffError)
