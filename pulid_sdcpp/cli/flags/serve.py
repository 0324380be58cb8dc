"""The options of `serve`: those of the server, and those of `generate` that say how a model is
loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...options.context import ContextOptions
from ...options.facts import of
from ...server.limits import Limits
from ...server.settings import ServerSettings
from .fact_option import fact_options
from .generate import some_options

__all__ = ["serve_options"]

_MODEL = {"preset", "models_dirs", "vram", *of(ContextOptions)}


def serve_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give `command` every option of `serve`; parameters are named after their fields."""
    command = some_options(_MODEL)(command)
    for group in ("Limits", "Answers", "Access", "Server"):
        for option in reversed(fact_options(group, ServerSettings, Limits)):
            command = option(command)
    return command
