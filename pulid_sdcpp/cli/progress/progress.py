"""What a command is doing, on stderr: a moving bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from ...native.progress_event import ProgressEvent
from ...terminal_text import escaped_line
from .streams import bar_stream

__all__ = ["Progress", "described_time"]

_LINES = 20  # of steps, where there is no terminal; more only when they take long
_LINE_INTERVAL_S = 30.0
_SAMPLING = ("denoise", "hires")  # the stages whose steps are those that were asked for
_USUAL_COLUMNS = 80
_LONGEST_BAR, _SHORTEST_BAR = 24, 6  # columns
_UNITS = {"load": "tensor", "decode": "tile", "upscale": "tile"}
"""What is counted in a stage, where it is no step."""
_COLORS = {"debug": 90, "info": 32, "warning": 33, "error": 31}  # ANSI: grey, green, yellow, red


class Progress:
    """Stages and steps of one run; may be told from any one thread at a time.

    Args:
        quiet: Say nothing at all.
        stream: Where to; stderr when not given.
        color: Colour the levels of messages, where the stream is a terminal.
        unit: What is counted; "B" for bytes, which are written as kB, MB, GB.
        clock: Seconds, from any beginning.
    """

    def __init__(
        self,
        quiet: bool = False,
        stream: TextIO | None = None,
        unit: str = "step",
        *,
        color: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._quiet = quiet
        self._stream = sys.stderr if stream is None else stream
        self._unit = unit
        self._clock = clock
        self._moving = not quiet and self._stream.isatty()
        self._colored = color and self._stream.isatty()
        self._bar: Any = None
        self._stages_named: set[str] = set()
        self._index, self._count = 0, 1
        self._first_picture_s = self._started_s = clock()
        self._last_line = (-1, clock())  # what part was done, and when that was said

    def stage(self, text: str) -> None:
        """Begin a part of the work: one line that stays."""
        self._line(text)
        self._started_s = self._clock()

    def note(self, text: str) -> None:
        """Say something that the user should know."""
        self._line(f"note: {text}")

    def warning(self, text: str) -> None:
        """Say what the user must know, even when nothing else is said."""
        self.clear()
        self._stream.write(f"{escaped_line(f'note: {text}')}\n")
        self._stream.flush()

    def log(self, level: str, text: str) -> None:
        """Pass on a message of the engine's; those that nobody wants do not come here."""
        self.clear()
        if self._colored and level in _COLORS:
            bar_stream(self._stream).write(f"\x1b[{_COLORS[level]}m{level}:\x1b[0m ")
        else:
            self._stream.write(f"{level}: ")
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def picture(self, index: int, count: int) -> None:
        """The next events are about picture `index`, from 0, of `count`."""
        if index == 0:
            self._first_picture_s = self._clock()
        self._index, self._count = index, count

    def event(self, event: ProgressEvent) -> None:
        """A stage of a generation begins, or a step of it is done."""
        name: str = event.stage
        if self._count > 1:
            name = f"{self._index + 1}/{self._count} {name}"
        if event.step == 0:
            if self._moving:
                self.clear()
                self._show(name, 0, event.steps, event.stage)
            elif event.stage not in self._stages_named:  # of the first picture only
                self._write(f"{event.stage}\n")
            self._stages_named.add(event.stage)
            self._started_s = self._clock()
        elif event.steps > 0:
            self._step(name, event.step, event.steps, event.step_time_s, event.stage)

    def step(self, step: int, steps: int, time_s: float = 0.0) -> None:
        """`step` of `steps` are done, `time_s` seconds each; 0 begins a new count."""
        if steps > 0:
            if step == 0:
                self._started_s = self._clock()
            self._step("", step, steps, time_s)

    def saved(self, path: str, seed: int, details: Mapping[str, Any]) -> None:
        """A picture is finished and in its file; `details` are for programs."""
        self.clear()
        if not self._quiet:
            sys.stdout.write(f"saved {escaped_line(path)} (seed {seed})\n")
            sys.stdout.flush()

    def previewed(self, path: str, step: int) -> None:
        """A preview was written; only programs are told."""

    def clear(self) -> None:
        """Take the bar away, so that something else can be printed."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _step(
        self, name: str, step: int, steps: int, time_s: float, stage: str = "denoise"
    ) -> None:
        mean_s = time_s or (self._clock() - self._started_s) / max(step, 1)
        if self._moving:
            left_s = max(steps - step, 0) * mean_s
            if stage in _SAMPLING:
                left_s += self._pictures_left_s(steps * mean_s)
            self._show(name, step, steps, stage, mean_s, left_s)
        elif step and self._is_worth_a_line(step, steps, stage):
            what = f"{self._counted(step, steps, stage)}, {self._pace(mean_s, stage)}"
            of = f"{self._index + 1}/{self._count} " if self._count > 1 else ""
            unit = f"{self._unit} " if stage in _SAMPLING else f"{stage} "
            self._write(f"  {of}{unit if self._unit != 'B' else ''}{what}\n")

    def _is_worth_a_line(self, step: int, steps: int, stage: str) -> bool:
        last_part, last_s = self._last_line
        now_s = self._clock()
        part = last_part
        if stage in _SAMPLING:
            part = _LINES * (self._index * steps + step) // (self._count * steps)
        if part == last_part and now_s - last_s < _LINE_INTERVAL_S:
            return False
        self._last_line = (part, now_s)
        return True

    def _show(
        self,
        name: str,
        step: int,
        steps: int,
        stage: str,
        mean_s: float = 0.0,
        left_s: float = 0.0,
    ) -> None:
        if self._bar is None:
            size = {"ncols": _columns(self._stream) - 1, "nrows": 2}  # one line, and the last
            stream = bar_stream(self._stream)
            self._bar = _bar_class()(file=stream, leave=False, bar_format="{desc}", **size)
        bar = self._bar
        bar.n, bar.total = step, steps
        words = f"  {name} " if name else "  "
        if steps <= 0:
            bar.bar_format = "{desc}"
        else:
            counts = self._counted(step, steps, stage)
            left = f"{described_time(left_s)} left"
            timing = f"  {self._pace(mean_s, stage)}, {left}" if step else ""
            room = bar.ncols - len(f"{words}|| {counts}{timing}")
            if room >= _SHORTEST_BAR:
                bar.bar_format = f"{{desc}}|{{bar:{min(room, _LONGEST_BAR)}}}| {counts}{timing}"
            else:  # on a narrow terminal the numbers come first
                bar.bar_format = "{desc}"
                shorter = [f"{counts}{timing}", f"{counts}  {left}" if step else counts, counts]
                fitting = (text for text in shorter if len(words + text) <= bar.ncols)
                words += next(fitting, shorter[-1])
        bar.set_description_str(words)

    def _counted(self, step: int, steps: int, stage: str) -> str:
        """`3/20`; of what is no step, `112/442 tensors`."""
        unit = f" {_UNITS[stage]}s" if stage in _UNITS else ""
        return f"{self._amount(step)}/{self._amount(steps)}{unit}"

    def _pictures_left_s(self, a_picture_s: float) -> float:
        """For the pictures after this one: as long as those before it, or as its steps."""
        if self._index > 0:
            a_picture_s = (self._started_s - self._first_picture_s) / self._index
        return (self._count - self._index - 1) * a_picture_s

    def _line(self, text: str) -> None:
        self.clear()
        self._write(f"{escaped_line(text)}\n")

    def _write(self, text: str) -> None:
        if not self._quiet:
            self._stream.write(text)
            self._stream.flush()

    def _amount(self, number: float) -> str:
        if self._unit != "B":
            return f"{number:g}"
        for unit in ("B", "kB", "MB"):
            if number < 1000:
                return f"{number:.3g} {unit}"
            number /= 1000
        return f"{number:.2f} GB"

    def _pace(self, mean_s: float, stage: str) -> str:
        unit = _UNITS.get(stage, self._unit)
        if unit == "B":
            return f"{self._amount(1 / mean_s if mean_s else 0)}/s"
        if mean_s >= 1 or mean_s <= 0:
            return f"{mean_s:.2f} s/{unit}"
        number = f"{1 / mean_s:.2f}" if mean_s > 0.01 else f"{1 / mean_s:.0f}"
        return f"{number} {unit}s/s"


def described_time(time_s: float) -> str:
    """`4:05`, or `1:04:05` from an hour on."""
    minutes, seconds = divmod(round(time_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _columns(stream: TextIO) -> int:
    """How wide the terminal is; some do not know it, and say 0."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or _USUAL_COLUMNS
    except (OSError, ValueError):
        return _USUAL_COLUMNS


@functools.cache
def _bar_class() -> Any:
    """tqdm's bar: it knows what a terminal can show, and how to cut a line that is too long.

    Pace and time left are ours: the engine says how long a step takes, and pictures to come count.
    """
    from tqdm.std import tqdm

    class Bar(tqdm):
        monitor_interval = 0  # no thread beside

    return Bar
