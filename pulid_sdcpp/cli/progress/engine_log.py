"""What the package's modules log, as a command says it: on stderr, around the progress bar.

Warnings of any module are said. The engine's messages are said while it works only, and all of
them with --verbose; its errors come as exceptions, which are printed once, when they end the
command.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from .progress import Progress

__all__ = ["show_engine_log", "show_warnings"]

_PACKAGES = ("pulid_sdcpp", "pulid_extractor")
_ENGINE = "pulid_sdcpp.engine"
_PLACE = re.compile(r"^\s*\S+:\d+\s+- ")  # "conditioner.hpp:1105 - "


class _Warnings(logging.Handler):
    """Says warnings of all modules but the engine's, each once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.progress: Progress | None = None  # whose bar is in the way
        self.quiet = False
        self.said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        context = click.get_current_context(silent=True)
        given = {} if context is None else context.params
        level, text = record.levelname.lower(), record.getMessage()
        if record.name == _ENGINE or self.quiet or given.get("quiet") or text in self.said:
            return
        self.said.add(text)
        if self.progress is not None:
            self.progress.log(level, text)
        elif context is not None and getattr(context.obj, "as_json", False):
            from .json_progress import json_line

            click.echo(json_line("log", level=level, text=text), nl=False)
        else:
            click.echo(f"{level}: {text}", err=True)


_warnings = _Warnings()


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
def show_warnings() -> Iterator[None]:
    """Say the package's warnings while the block, a whole command, runs."""
    loggers = [logging.getLogger(name) for name in _PACKAGES]
    for logger in loggers:
        logger.addHandler(_warnings)
    try:
        yield
    finally:
        _warnings.said.clear()
        for logger in loggers:
            logger.removeHandler(_warnings)


@contextlib.contextmanager
def show_engine_log(
    progress: Progress, *, verbose: bool, quiet: bool, quiet_engine: bool = False
) -> Iterator[None]:
    """Print the engine's messages, and others around the progress bar, while the block runs.

    Args:
        verbose: All of the engine's messages, not only its warnings.
        quiet: None at all.
        quiet_engine: None of the engine's.
    """
    logger = logging.getLogger(_ENGINE)
    handler = _Handler(progress, with_place=verbose)
    handler.setLevel(logging.DEBUG if verbose else logging.WARNING)
    if not verbose:
        silent = quiet or quiet_engine
        handler.addFilter(lambda record: not silent and record.levelno < logging.ERROR)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING)
    _warnings.progress, _warnings.quiet = progress, quiet
    try:
        yield
    finally:
        progress.clear()
        _warnings.progress, _warnings.quiet = None, False
        logger.removeHandler(handler)
        logger.setLevel(before)
