"""Pipelines around an engine that computes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fake_engine import FakeEngine
from pulid_sdcpp import ContextOptions, PulidFlux

__all__ = ["CONTEXT", "SETTINGS", "pipelines"]

CONTEXT = ContextOptions(
    diffusion_model_path="flux.gguf", clip_l_path="c", taesd_path="t", pulid_weights="pulid"
)
SETTINGS = {"width": 32, "height": 16, "steps": 3}


@contextmanager
def pipelines() -> Iterator[Callable[..., PulidFlux]]:
    """Makes pipelines of a fake engine and options; all are closed in the end."""
    made: list[PulidFlux] = []

    def make(engine: FakeEngine, **options: Any) -> PulidFlux:
        options = {"settings": SETTINGS, "context": CONTEXT, **options}
        made.append(PulidFlux(options.pop("context"), create_engine=engine.create, **options))
        return made[-1]

    yield make
    for pipeline in made:
        pipeline.close()
