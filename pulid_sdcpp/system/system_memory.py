"""How much memory the computer has, where that is a firm number.

On macOS and Windows swap grows as it is needed, so that there is no such number.
"""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["total_memory_bytes"]

_MEMINFO = Path("/proc/meminfo")
_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")


def total_memory_bytes() -> int | None:
    """RAM and swap together, or a container's limit if that is less; None: there is no limit."""
    try:
        found = re.findall(r"^(MemTotal|SwapTotal):\s*([0-9]+) kB", _MEMINFO.read_text(), re.M)
    except OSError:
        return None
    sizes = {name: int(number) * 1024 for name, number in found}
    if "MemTotal" not in sizes:
        return None
    total = sum(sizes.values())
    try:
        return min(total, int(_CONTAINER_LIMIT.read_text()))
    except (OSError, ValueError):  # "max": no limit
        return total
