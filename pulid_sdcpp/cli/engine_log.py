"""The engine's log on stderr, around the progress bar."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator

from .progress import Progress

__all__ = ["show_engine_log"]

_LOGGER = "pulid_sdcpp.engine"
_PLACE = re.compile(r"^\s*\S+:\d+\s+- ")  # "conditioner.hpp:1105 - "


class _Handler(logging.Handler):
    def __init__(self, progress: Progress, with_place: bool) -> None:
        super().__init__()
        self._progress = progress
        self._with_place = with_place

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage().rstrip()
        if not self._with_place:
            text = _PLACE.sub("", text)
        self._progress.log(record.levelname.lower(), text)


@contextlib.contextmanager
def show_engine_log(progress: Progress, *, verbose: bool, quiet: bool) -> Iterator[None]:
    """Print the engine's messages while the block runs.

    Everything when `verbose`, nothing when `quiet`, else its warnings. Its errors come as
    exceptions, which are printed once, when they end the command.
    """
    logger = logging.getLogger(_LOGGER)
    handler = _Handler(progress, with_place=verbose)
    handler.setLevel(logging.DEBUG if verbose else logging.WARNING)
    if not verbose:
        handler.addFilter(lambda record: not quiet and record.levelno < logging.ERROR)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING)
    try:
        yield
    finally:
        progress.clear()
        logger.removeHandler(handler)
        logger.setLevel(before)
