"""How much memory the computer has, and how much of it is free."""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ComputerMemory", "computer_memory", "total_memory_bytes"]

_MEMINFO = Path("/proc/meminfo")
_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")
_CONTAINER_USED = Path("/sys/fs/cgroup/memory.current")


@dataclass(frozen=True)
class ComputerMemory:
    """RAM, without swap.

    Attributes:
        total_bytes: All of it, or a container's limit.
        available_bytes: What programs can have now without others being written to the disk.
    """

    total_bytes: int
    available_bytes: int


def computer_memory() -> ComputerMemory | None:
    """RAM of this computer; None: the system does not say."""
    try:
        if sys.platform == "darwin":
            return _mac_memory()
        if sys.platform == "win32":
            return _windows_memory()
        return _linux_memory()
    except (OSError, ValueError, AttributeError, subprocess.SubprocessError):
        return None


def _linux_memory() -> ComputerMemory | None:
    found = re.findall(r"^(MemTotal|MemAvailable):\s*([0-9]+) kB", _MEMINFO.read_text(), re.M)
    sizes = {name: int(number) * 1024 for name, number in found}
    if len(sizes) != 2:
        return None
    total, available = sizes["MemTotal"], sizes["MemAvailable"]
    try:
        limit = int(_CONTAINER_LIMIT.read_text())
        left = max(limit - int(_CONTAINER_USED.read_text()), 0)
    except (OSError, ValueError):  # "max": no limit
        return ComputerMemory(total, available)
    return ComputerMemory(min(total, limit), min(available, left))


def _mac_memory() -> ComputerMemory | None:
    """Source: sysctl(8), vm_stat(1)."""

    def said(*command: str) -> str:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=True
        ).stdout

    total = int(said("/usr/sbin/sysctl", "-n", "hw.memsize"))
    pages = said("/usr/bin/vm_stat")
    page_bytes = re.search(r"page size of (\d+) bytes", pages)
    free = re.findall(r"^Pages (?:free|inactive|purgeable|speculative): +(\d+)\.", pages, re.M)
    if page_bytes is None or not free:
        return None
    return ComputerMemory(total, min(sum(map(int, free)) * int(page_bytes[1]), total))


def _windows_memory() -> ComputerMemory | None:
    """Source: GlobalMemoryStatusEx, MEMORYSTATUSEX."""

    class Status(ctypes.Structure):
        _fields_ = [
            ("length", ctypes.c_uint32),
            ("load", ctypes.c_uint32),
            *((name, ctypes.c_uint64) for name in ("total", "available", *"abcde")),
        ]

    status = Status(length=ctypes.sizeof(Status))
    kernel32 = ctypes.windll.kernel32  # type: ignore[attr-defined,unused-ignore]
    if not kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return None
    return ComputerMemory(status.total, status.available)


def total_memory_bytes() -> int | None:
    """RAM and swap together, or a container's limit if that is less; None: there is no limit.

    On macOS and Windows swap grows as it is needed, so that there is no such number.
    """
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
