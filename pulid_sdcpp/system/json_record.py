"""Small JSON files that this program keeps for itself; others may have damaged them."""

from __future__ import annotations

import json
import os
from typing import Any

from .regular_file import read_regular

__all__ = ["read_json"]


def read_json(path: str | os.PathLike[str], max_bytes: int = 1 << 20) -> Any:
    """What is in a file.

    Args:
        path: The file.
        max_bytes: The most that it may have.

    Raises:
        OSError: It is not there, no regular file, too large, or cannot be read.
        ValueError: It is no JSON, or too deeply nested.
    """
    content = read_regular(path, max_bytes)
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("too deeply nested") from None
