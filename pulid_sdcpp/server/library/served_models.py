"""The models that a server makes pictures with: presets that are complete, or one by its files."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...families.pulid_encoders import encoders_of_weights
from ...model_files.model_family import is_sdxl_model
from ...options.context import ContextOptions
from ...options.facts import of
from ...options.size_multiple import size_multiple_px
from ...store.presets import PresetInfo, presets
from ...terminal_text import meant, shown
from ..engine.engine_messages import ModelChoice
from ..errors import ApiError

__all__ = ["FRESH_S", "ServedModels"]

FRESH_S = 5.0
"""So long, what was found of the presets' files is taken for true."""

_FILE_ROLES = {name for name, fact in of(ContextOptions).items() if fact.role}


class ServedModels:
    """The models there are, and how each is loaded; all methods may be called by any thread.

    Args:
        default: The preset of those who name none; "": the model is `context`'s files alone, and is
            called as its file is.
        context: Fields of `ContextOptions` that the server was started with. Files in them are the
            default model's only; the others are for every model.
        models_dirs, vram, extractor_device: As for `PulidPipeline.from_preset`.
        clock: Seconds of a clock that does not go back.
    """

    def __init__(
        self,
        default: str,
        context: Mapping[str, Any] | None = None,
        *,
        models_dirs: Sequence[str] = (),
        vram: float | str | None = None,
        extractor_device: str = "auto",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._context = {
            name: str(value) if isinstance(value, Path) else value
            for name, value in (context or {}).items()
        }
        self.models_dirs = tuple(map(str, models_dirs))
        self._vram = vram
        self._extractor_device = extractor_device
        self._clock = clock
        self._lock = threading.Lock()
        self._infos: tuple[PresetInfo, ...] = ()
        self._found_at: float | None = None
        self._single = "" if default else self._file_name()
        self._first = self.default = default or self._single

    @property
    def is_single(self) -> bool:
        """Whether the model is one that was named by its files, so that no preset counts."""
        return bool(self._single)

    def infos(self) -> tuple[PresetInfo, ...]:
        """All presets, also those whose files are missing."""
        with self._lock:
            now = self._clock()
            if self._found_at is None or now - self._found_at >= FRESH_S:
                self._infos = presets(models_dirs=self.models_dirs, extraction=False)
                self._found_at = now
            return self._infos

    def refresh(self) -> None:
        """Look at the files again, when they are asked for next."""
        with self._lock:
            self._found_at = None

    def settings(self) -> Mapping[str, Mapping[str, Any]]:
        """The settings of each model that can be used, by its name; the default is always among
        them, so that who asks for it is told what is missing."""
        if self._single:
            return {self._single: {}}
        return {
            info.name: info.settings
            for info in self.infos()
            if info.complete or info.name == self.default
        }

    def is_complete(self, name: str) -> bool:
        """Whether a model's files are there; those that were named one by one were checked."""
        return bool(self._single) or any(
            info.complete for info in self.infos() if info.name == name
        )

    def switch(self, name: str) -> None:
        """Make another model the default.

        Raises:
            ApiError: model_not_found.
        """
        if name not in self.settings():
            text = f"there is no model {shown(name)}; {meant(name, self.settings())}"
            raise ApiError("model_not_found", text, "model")
        self.default = name

    def choice(self, name: str) -> ModelChoice:
        """How an engine loads a model."""
        context = {
            field: value
            for field, value in self._context.items()
            if name == self._first or field not in _FILE_ROLES
        }
        return ModelChoice(
            preset="" if self._single else name,
            context=context,
            models_dirs=self.models_dirs,
            vram=self._vram,
            extractor_device=self._extractor_device,
        )

    def encoders(self, name: str) -> tuple[str, ...]:
        """Names of the encoders whose identities a model takes, as `identity_uses` has them.

        Args:
            name: Of a model, also of a preset whose files are missing; any other is the default's.

        Returns:
            Of a preset of SDXL without its PuLID weights both; of a model without PuLID weights
            none.
        """
        known = {} if self._single else {info.name: info for info in self.infos()}
        name = name if name in known else self.default
        named = self.choice(name).context.get("pulid_weights")
        if named or self._single:
            return encoders_of_weights(named)
        return known[name].encoders if name in known else ()

    def size_multiple(self, name: str) -> int:
        """What the sides of a model's pictures are multiples of, in pixels.

        Args:
            name: As for `encoders`.
        """
        is_sdxl = self.is_single and is_sdxl_model(self.choice(self.default).context)
        return size_multiple_px(self.encoders(name), is_sdxl=is_sdxl)

    def _file_name(self) -> str:
        file = self._context.get("diffusion_model_path") or self._context.get("model_path")
        return Path(file).stem if file else ""
