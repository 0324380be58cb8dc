"""What is wrong with how a task ended, if anything."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
from PIL import Image

from command_worker import Outcome

__all__ = ["limit_s", "wrong_end", "wrong_picture"]

_UNTYPED = re.compile(r"Traceback|defect of pulid-sdcpp|GGML_ASSERT|Error: \S+Error:")
_LONGEST_MESSAGE = 3_000
_FLAT = 2.0  # standard deviation, of 255: noise and pictures have over 20


def limit_s() -> float:
    """Ten seconds, longer on a machine that does other things as well."""
    try:
        load = os.getloadavg()[0] / (os.cpu_count() or 1)
    except (OSError, AttributeError):
        load = 1.0
    return 10 * max(1.0, 1.5 * load)


def wrong_end(outcome: Outcome) -> str:
    """Whether the process crashed, hung, or said something that no user should read."""
    if outcome.too_long:
        return "hung"
    if outcome.status < 0 or outcome.status > 2:
        return f"status {outcome.status}: {outcome.stderr[-500:]}"
    if outcome.status and "error" not in outcome.stderr.lower() + outcome.stdout.lower():
        return f"status {outcome.status} and no reason"
    if found := _UNTYPED.search(outcome.stderr):
        return f"{found[0]}: {outcome.stderr[-1500:]}"
    if len(outcome.stderr) > _LONGEST_MESSAGE:
        return f"{len(outcome.stderr)} characters of message: {outcome.stderr[:500]}"
    return ""


def wrong_picture(path: Path, nobody: bytes | None) -> str:
    """Whether a picture that was made is flat, or of nobody where somebody was asked for."""
    if not path.is_file():
        return "status 0 and no picture"
    with Image.open(path) as image:
        pixels = image.convert("RGB")
    if np.asarray(pixels, np.float64).std(axis=(0, 1)).max() < _FLAT:
        return "a flat picture"
    if nobody is not None and pixels.tobytes() == nobody:
        return "a picture of nobody"
    return ""
