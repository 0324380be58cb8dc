"""What a command is doing, for programs: one JSON object per line on stdout."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from typing import Any, TextIO

from ...native.progress_event import ProgressEvent
from .progress import Progress
from .streams import is_lost

__all__ = ["JsonProgress", "json_line", "json_text"]

_RESULTS = ("saved",)  # said on stderr when stdout is full


def json_line(event: str, **values: Any) -> str:
    """`{"event": "saved", "path": "out.png"}` and a line break; ASCII only."""
    return json_text({"event": event, **values}) + "\n"


def json_text(value: object, **options: Any) -> str:
    """A value as JSON in printable ASCII, which steers no terminal. `options`: of `json.dumps`."""
    return json.dumps(value, **options).replace("\x7f", r"\u007f")


class JsonProgress(Progress):
    """Says as objects what `Progress` says as text: every step, and previews and results, too.

    Objects, by "event": "stage" (stage, picture, pictures), "step" (stage, step, steps,
    step_time_s, picture, pictures), "note" and "log" (text), "preview" (path, step, picture),
    "saved" (path, seed, picture, prompt, negative_prompt, parameters), "error" (status, message).

    Args:
        stream: Where to; stdout when not given.
        unit: What is counted by `step`.
    """

    def __init__(self, stream: TextIO | None = None, unit: str = "step") -> None:
        super().__init__(quiet=True, unit=unit)
        self._output = stream or sys.stdout

    def stage(self, text: str) -> None:
        self._put("note", text=text)

    def note(self, text: str) -> None:
        self._put("note", text=text)

    def warning(self, text: str) -> None:
        self._put("note", text=text)

    def log(self, level: str, text: str) -> None:
        self._put("log", level=level, text=text)

    def event(self, event: ProgressEvent) -> None:
        place = {"picture": self._index, "pictures": self._count}
        if event.step == 0:
            self._put("stage", stage=event.stage, **place)
        else:
            self._put("step", **dataclasses.asdict(event), **place)

    def step(self, step: int, steps: int, time_s: float = 0.0) -> None:
        self._put("step", stage=self._unit, step=step, steps=steps, step_time_s=time_s)

    def saved(self, path: str, seed: int, details: Mapping[str, Any]) -> None:
        self._put("saved", path=path, seed=seed, picture=self._index, **details)

    def previewed(self, path: str, step: int) -> None:
        self._put("preview", path=path, step=step, picture=self._index)

    def _put(self, event: str, **values: Any) -> None:
        if is_lost(self._output) and event not in _RESULTS:
            return
        self._output.write(json_line(event, **values))
        self._output.flush()
