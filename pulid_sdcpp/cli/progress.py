"""What a command is doing, on stderr: a moving bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TextIO

__all__ = ["Progress"]

_BAR_CHARS = 24


class Progress:
    """Stages and steps of one run; may be told from any one thread at a time.

    Args:
        quiet: Say nothing at all.
        stream: Where to; stderr when not given.
        unit: What is counted.
    """

    def __init__(
        self, quiet: bool = False, stream: TextIO | None = None, unit: str = "step"
    ) -> None:
        self._quiet = quiet
        self._stream = sys.stderr if stream is None else stream
        self._unit = unit
        self._moving = not quiet and self._stream.isatty()
        self._bar_chars_shown = 0
        self._started_s = time.monotonic()

    def stage(self, text: str) -> None:
        """Begin a part of the work."""
        self.clear()
        self._write(f"{text}\n")
        self._started_s = time.monotonic()

    def step(self, step: int, steps: int, time_s: float = 0.0) -> None:
        """`step` of `steps` are done, `time_s` seconds each; 0 begins a new count."""
        if steps < 1:
            return
        if step == 0:
            self._started_s = time.monotonic()
        mean_s = time_s or (time.monotonic() - self._started_s) / max(step, 1)
        if self._moving:
            filled = _BAR_CHARS * min(step, steps) // steps
            bar = "#" * filled + "-" * (_BAR_CHARS - filled)
            timing = f"  {self._pace(mean_s)}, {mean_s * (steps - step):.0f} s left" if step else ""
            self._show(f"  [{bar}] {step}/{steps}{timing}")
        elif step:
            self._write(f"  {self._unit} {step}/{steps}, {self._pace(mean_s)}\n")

    def clear(self) -> None:
        """Take the bar away, so that something else can be printed."""
        if self._bar_chars_shown:
            self._write("\r" + " " * self._bar_chars_shown + "\r")
            self._bar_chars_shown = 0

    def _show(self, line: str) -> None:
        self._write("\r" + line.ljust(self._bar_chars_shown))
        self._bar_chars_shown = len(line)

    def _write(self, text: str) -> None:
        if not self._quiet:
            self._stream.write(text)
            self._stream.flush()

    def _pace(self, mean_s: float) -> str:
        if mean_s >= 1 or mean_s <= 0:
            return f"{mean_s:.2f} s/{self._unit}"
        return f"{1 / mean_s:.2f} {self._unit}s/s"
