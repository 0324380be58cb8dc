"""The models as A1111's clients see them: with the names and hashes of their files."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...errors import PulidError
from ...store.model_store import ModelStore, resolve_preset
from ...system.file_hash import known_sha256, records_folder
from ..library.served_models import FRESH_S, ServedModels
from .lists import SdapiModel

__all__ = ["SdapiModels"]


class SdapiModels:
    """What is known of the files of each model that can be used; looked up anew after some seconds.

    Args:
        models: The server's.
        clock: Seconds of a clock that does not go back.
    """

    def __init__(self, models: ServedModels, clock: Callable[[], float] = time.monotonic) -> None:
        self._models = models
        self._clock = clock
        self._lock = threading.Lock()
        self._found: dict[str, SdapiModel] = {}
        self._found_at: float | None = None

    def all(self) -> list[SdapiModel]:
        """All of them. It may look for files: for a thread."""
        with self._lock:
            now = self._clock()
            if self._found_at is None or now - self._found_at >= FRESH_S:
                store = ModelStore(self._models.models_dirs)
                names = self._models.settings()
                self._found = {name: self._described(name, store) for name in names}
                self._found_at = now
            return list(self._found.values())

    def of(self, name: str) -> SdapiModel:
        """One of them."""
        return next((model for model in self.all() if model.name == name), SdapiModel(name))

    def refresh(self) -> None:
        """Look at the files again, when they are asked for next."""
        self._models.refresh()
        with self._lock:
            self._found_at = None

    def _described(self, name: str, store: ModelStore) -> SdapiModel:
        choice = self._models.choice(name)
        files: dict[str, Any] = {}
        if choice.preset:
            try:
                found = resolve_preset(choice.preset, store=store, may_be_absent=True)
            except (PulidError, ValueError):  # of the user's own, and not there
                return SdapiModel(name)
            files.update(found.context)
        files.update({field: value for field, value in choice.context.items() if value})
        model = files.get("diffusion_model_path") or files.get("model_path")
        vae = files.get("vae_path") or files.get("taesd_path")
        return SdapiModel(
            name,
            Path(model).name if model else "",
            known_sha256(model, records_folder()) if model else None,
            Path(vae).name if vae else "",
        )
