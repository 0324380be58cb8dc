"""The arguments of a pipeline's methods as keywords, for type checkers: see `PulidPipeline`."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from ..memory.plan import Vram
from ..native.progress_event import EventCallback
from ..options.keywords import ContextKeywords, GenerationKeywords
from ..options.step_point import StepPoint
from ..people.identity_use import IdentityLike
from ..people.person import Person
from ..store.presets import PullProgress
from .cancel_token import CancelToken
from .running_picture import PreviewCallback

if TYPE_CHECKING:
    from ..engine.interface import CreateEngine

__all__ = ["GenerateKeywords", "PictureKeywords", "PresetKeywords"]


class PresetKeywords(ContextKeywords, total=False):
    """Those of `PulidPipeline.from_preset`."""

    models_dirs: Sequence[str | os.PathLike[str]]
    pull: bool
    accept_licenses: Collection[str]
    on_pull: PullProgress | None
    vram: Vram | None
    settings: GenerationKeywords | None
    extractor_device: str
    remember_identities: bool
    keep_extracted: bool
    create_engine: CreateEngine | None
    create_extractor: Callable[..., Any] | None
    on_event: EventCallback | None


class PictureKeywords(GenerationKeywords, total=False):
    """Those of `PulidPipeline.generate` that say what the picture is."""

    weight: float | None
    start_step: StepPoint
    end_step: StepPoint | None
    cfg_start_step: int | None


class GenerateKeywords(PictureKeywords, total=False):
    """Those of `PulidPipeline.generate`, all of them."""

    prompt: str
    identity: IdentityLike | Person | Sequence[Person] | None
    cancel: CancelToken | None
    on_event: EventCallback | None
    on_preview: PreviewCallback | None
    preview_method: str
    preview_interval: int
    preview_noisy: bool
