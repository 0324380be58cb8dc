"""The engine's last warnings and errors, kept for the message of a failure."""

from __future__ import annotations

import collections
import functools
import logging

__all__ = ["LOGGER", "LastLines", "write_log_to_stderr"]

LOGGER = logging.getLogger("pulid_sdcpp.engine")
"""Where every message of the engine goes; the binding's callback sends it (patch 0006)."""

_PLACE = " - "  # a message begins with "file.cpp:123  - "


# What the engine warns of though all is well: a checkpoint has an autoencoder of its own, whose
# convolutions it scales so that they do not overflow in F16.
_NO_WARNINGS = ("No valid VAE specified with --vae or --force-sdxl-vae-conv-scale flag set",)


def _lower_level(record: logging.LogRecord) -> bool:
    """Make a debug message of a warning that is none; whether it is still to be logged."""
    if record.levelno != logging.WARNING:
        return True
    text = record.getMessage()
    if any(words in text for words in _NO_WARNINGS):
        record.levelno, record.levelname = logging.DEBUG, logging.getLevelName(logging.DEBUG)
        return LOGGER.isEnabledFor(logging.DEBUG)
    return True


LOGGER.addFilter(_lower_level)


class LastLines(logging.Handler):
    """Remembers the last warnings and errors while it is attached, as a context manager."""

    def __init__(self, count: int = 20) -> None:
        super().__init__(logging.WARNING)
        self.lines: collections.deque[str] = collections.deque(maxlen=count)
        self.first_error = ""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage().split(_PLACE, 1)[-1].strip()
        self.lines.append(f"{record.levelname.lower()}: {text}")
        if record.levelno >= logging.ERROR and not self.first_error:
            self.first_error = text  # the cause; later ones are its consequences

    def __enter__(self) -> LastLines:
        LOGGER.addHandler(self)
        return self

    def __exit__(self, *exception: object) -> None:
        LOGGER.removeHandler(self)


@functools.cache
def write_log_to_stderr() -> None:
    """Send all of the engine's messages to stderr, from now on."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("[%(levelname)s] %(message)s"))
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.DEBUG)
