"""The pipeline of a command: with a preset's files, or those that are given one by one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...options.context import ContextOptions

if TYPE_CHECKING:
    from ...native.progress_event import EventCallback
    from ...pipeline.pulid_pipeline import PulidPipeline
    from ...store.model_store import PresetFiles

__all__ = ["create_pipeline"]


def create_pipeline(
    context: ContextOptions,
    preset: PresetFiles | None,
    given: Mapping[str, Any],
    vram: Any,
    on_event: EventCallback,
) -> PulidPipeline:
    """A pipeline of a preset's files, or of those named one by one; nothing is loaded yet."""
    from ...pipeline.pulid_pipeline import PulidPipeline

    extractor: dict[str, Any] = {}
    problem = ""
    if preset is not None:
        extractor, problem = dict(preset.extractor), preset.missing_for_extraction
    elif folders := given.get("models_dirs"):
        extractor = {"models_dir": folders[0], "pulid_weights": context.pulid_weights}
    else:
        problem = "photos need the extractor's files; name a --preset, or their --models-dir"

    return PulidPipeline(
        dataclasses.replace(context, verbose=False),  # show_engine_log shows what the engine says
        extractor=extractor,
        preset="" if preset is None else preset.name,
        vram=vram,
        extractor_problem=problem,
        on_event=on_event,
    )
