"""The process that finds faces, as the server sees it: pictures in, faces out."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ...extraction.face_looker import LookedAt
from ...identity.face_choice import FaceChoice
from ..engine.asked_process import AskedProcess
from .face_process import LookRequest

__all__ = ["FACE_COMMAND", "FaceClient"]

FACE_COMMAND = (sys.executable, "-m", "pulid_sdcpp.server.library.face_process")


class FaceClient:
    """One process that looks at pictures, one after another; started when it is needed.

        async with FaceClient() as faces:
            looked_at = await faces.look(content, detector)

    Args:
        command: How the process is started.
        idle_s: After so long without a picture it ends, and its memory is free.
    """

    def __init__(self, *, command: Sequence[str] = FACE_COMMAND, idle_s: float = 60.0) -> None:
        self._process = AskedProcess(command, "the process that finds faces", idle_s=idle_s)

    @property
    def pid(self) -> int | None:
        """Of the process that runs now."""
        return self._process.pid

    async def look(
        self,
        picture: bytes | Path,
        detector: str | os.PathLike[str],
        recognisers: Sequence[str | os.PathLike[str]] = (),
        choice: FaceChoice | None = None,
    ) -> LookedAt:
        """Find the faces of a picture, as `FaceLooker.look`.

        Raises:
            Exception: As `AskedProcess.ask`, and as `FaceLooker.look`.
        """
        given = picture if isinstance(picture, bytes) else os.fspath(picture)
        files = tuple(os.fspath(path) for path in recognisers)
        found: LookedAt = await self._process.ask(
            LookRequest(given, os.fspath(detector), files, choice)
        )
        return found

    async def close(self) -> None:
        """End the process, after the picture that it looks at."""
        await self._process.close()

    async def __aenter__(self) -> FaceClient:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()
