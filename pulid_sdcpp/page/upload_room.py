"""Room for what the page's users upload, which stays for an hour at most."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path

from ..server.bodies.read_body import BODY_TIME_S
from ..server.errors import ApiError
from ..server.jobs.job_store import MIN_FREE_BYTES

__all__ = ["MAX_BYTES", "check_upload_room"]

MAX_BYTES = 4 << 30
"""Of all files together; Gradio removes each an hour after it came."""

_LEFT_S = 2 * BODY_TIME_S
"""What comes in is there by then, or was broken off."""


def check_upload_room(folder: Path) -> None:
    """Refuse an upload where there is no room; removes what broken off ones have left.

    Args:
        folder: That of uploaded files: those that still come, and a folder for each whole one.

    Raises:
        ApiError: disk_full.
    """
    now = time.time()
    kept = 0
    for file in folder.rglob("*"):
        with contextlib.suppress(OSError):  # it was removed meanwhile
            if not file.is_file():
                continue
            facts = file.stat()
            if file.parent == folder and now - facts.st_mtime > _LEFT_S:
                file.unlink()
            else:
                kept += facts.st_size
    if kept >= MAX_BYTES:
        raise ApiError("disk_full", "too many files were put in within an hour; wait for a while")
    with contextlib.suppress(OSError):
        if shutil.disk_usage(folder).free < MIN_FREE_BYTES:
            raise ApiError("disk_full", "the server's disk is nearly full; remove pictures")
