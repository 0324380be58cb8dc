"""Where an identity came from: what its metadata says."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from pulid_sdcpp.identity.encoder import ENCODER_KEY, FLUX, Encoder
from pulid_sdcpp.system.file_hash import file_sha256

from .portrait_reader import ReadPortrait

__all__ = ["Provenance"]


class Provenance:
    """Writes metadata for identities of one encoder.

    Args:
        encoder: Which one.
        weights: Its file, which is hashed meanwhile.
        aligner: As that of `IdentityExtractor`.
        engine: Likewise.
    """

    def __init__(self, encoder: Encoder, weights: Path, aligner: str, engine: str) -> None:
        self._encoder = encoder
        self._aligner = aligner
        self._engine = engine
        self._weights_sha256 = _hash_in_background(weights)

    def metadata(self, portraits: Sequence[ReadPortrait]) -> dict[str, Any]:
        """The entries that every identity has; `encoder` only where it is not that for Flux."""
        first = portraits[0].found
        made_by = {} if self._encoder == FLUX else {ENCODER_KEY: self._encoder}
        return made_by | {
            "aligner": self._aligner,
            "created": _now(),
            "detection_score": round(first.score, 4),
            "engine": self._engine,
            "extractor_version": _version(),
            "face_box": list(first.box),
            "source_sha256": ",".join(portrait.sha256 for portrait in portraits),
            "weights_sha256": self._weights_sha256.result(),
        }


def _hash_in_background(path: Path) -> Future[str]:
    """Start hashing 1.1 GB while the networks run; a daemon, so that it never holds up an exit."""
    future: Future[str] = Future()

    def run() -> None:
        try:
            future.set_result(file_sha256(path))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="weights-sha256", daemon=True).start()
    return future


def _now() -> str:
    """UTC to the second, or SOURCE_DATE_EPOCH where builds are to be reproducible."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    moment = (
        datetime.fromtimestamp(int(epoch), timezone.utc)
        if epoch.isdigit()
        else datetime.now(timezone.utc)
    )
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _version() -> str:
    try:
        return metadata.version("pulid-sdcpp")
    except metadata.PackageNotFoundError:
        return "unknown"
