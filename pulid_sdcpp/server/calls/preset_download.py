"""Downloading a preset as a job: it says how far it is, and can be stopped.

What has arrived stays for the next time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ...errors import GenerationCancelled
from ...store.presets import pull_preset
from ..library.preset_files import ModelsDirs, known_preset

__all__ = ["DownloadProgress", "PresetDownload"]

_INTERVAL_S = 0.5


@dataclass(frozen=True)
class DownloadProgress:
    """How far a download is.

    Attributes:
        file: That comes now.
        number, files: Which it is, from 1, and of how many.
        done_bytes, total_bytes: Of all files; the total is rough where a size is not known.
        eta_s: Seconds that are left; None: not known yet.
    """

    file: str
    number: int
    files: int
    done_bytes: int
    total_bytes: int
    eta_s: float | None = None


class PresetDownload:
    """One download. `run` blocks until it ends; the other methods may be called by any thread.

    Args:
        name: The preset's.
        models_dirs: Folders of model files.
        photos: Whether the files that only photos need are fetched, too.
        accept_licenses: Keys of licenses that are accepted.
        on_progress: Called in the thread that runs it, twice a second at most.
        clock: Seconds.
    """

    def __init__(
        self,
        name: str,
        models_dirs: ModelsDirs,
        *,
        photos: bool = True,
        accept_licenses: tuple[str, ...] = (),
        on_progress: Callable[[DownloadProgress], None] = lambda progress: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._models_dirs = models_dirs
        self._photos = photos
        self._accept = accept_licenses
        self._tell = on_progress
        self._clock = clock
        self._stop = threading.Event()
        self._sizes: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._first: tuple[float, int] | None = None
        self._told_at = float("-inf")

    def stop(self) -> None:
        """End it; `run` raises at the next bytes that arrive."""
        self._stop.set()

    def run(self) -> Mapping[str, object]:
        """Download what is missing.

        Returns:
            `preset`, `files` and `bytes`: how much was missing.

        Raises:
            GenerationCancelled: It was stopped.
            LicenseError, DownloadError: As `pull_preset`.
            ApiError: "model_not_found".
        """
        info = known_preset(self._name, self._models_dirs, photos=self._photos)
        self._sizes = dict(info.missing)
        pull_preset(
            self._name,
            models_dirs=self._models_dirs,
            extraction=self._photos,
            accept_licenses=self._accept,
            on_progress=self._arrived,
        )
        return {
            "preset": self._name,
            "files": len(info.missing),
            "bytes": sum(self._sizes.values()),
        }

    def _arrived(self, file: str, done: int, total: int) -> None:
        if self._stop.is_set():
            raise GenerationCancelled("cancelled")
        self._done[file] = done
        if total:
            self._sizes[file] = total
        now = self._clock()
        done_bytes = sum(self._done.values())
        if self._first is None:
            self._first = now, done_bytes
        if now - self._told_at < _INTERVAL_S and done != total:
            return
        self._told_at = now
        total_bytes = max(sum(self._sizes.values()), done_bytes)
        came, took_s = done_bytes - self._first[1], now - self._first[0]
        eta_s = (total_bytes - done_bytes) * took_s / came if came > 0 and took_s > 0 else None
        number, files = len(self._done), max(len(self._sizes), len(self._done))
        self._tell(DownloadProgress(file, number, files, done_bytes, total_bytes, eta_s))
