"""How many of the processor's cores this process may use.

A container or `taskset` leaves a process less than the computer has, and two threads that share a
core (SMT) are no faster in matrix products than one: they want the same units.
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
from collections.abc import Iterable
from pathlib import Path

__all__ = ["MAX_THREADS", "thread_count", "usable_cores", "usable_cpus"]

MAX_THREADS = 512  # GGML_MAX_N_THREADS

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")
_TOPOLOGY = Path("/sys/devices/system/cpu")


def thread_count(asked_for: int) -> int:
    """With how many threads to compute where so many are asked for; 0 or less: `usable_cores`."""
    return asked_for if asked_for > 0 else min(usable_cores(), MAX_THREADS)


def usable_cores() -> int:
    """Cores that this process may use, at least 1: what the engine's threads are, by default.

    Of Apple's processors the fast cores only, for which the others would be waited for.
    """
    fast_cores = _apple_fast_cores() if sys.platform == "darwin" else None
    if fast_cores is not None:
        return max(1, fast_cores)
    cpus = _allowed_cpus()
    if cpus is None:
        # Unknown which of them share a core; small processors seldom have any that do.
        count = os.cpu_count() or 1
        return count if count <= 4 else count // 2
    return _within_quota(len({_core_of(cpu) for cpu in cpus}))


def usable_cpus() -> int:
    """Logical processors that this process may use, at least 1."""
    cpus = _allowed_cpus()
    return _within_quota(len(cpus) if cpus is not None else os.cpu_count() or 1)


def _allowed_cpus() -> set[int] | None:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return None


def _core_of(cpu: int) -> str:
    """A name that logical processors of one core have in common."""
    for name in ("core_cpus_list", "thread_siblings_list"):  # since Linux 5.3; before
        try:
            return (_TOPOLOGY / f"cpu{cpu}" / "topology" / name).read_text().strip()
        except (OSError, ValueError):
            continue
    return str(cpu)


def _within_quota(count: int) -> int:
    return max(1, min([count, *(int(quota) for quota in _quotas())]))


def _quotas() -> Iterable[float]:
    """How many processors' time the process's groups may take, of those that are limited."""
    try:
        lines = _OWN_CGROUPS.read_text().splitlines()
    except (OSError, ValueError):
        return
    for line in lines:  # HIERARCHY:CONTROLLERS:PATH
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not controllers:
            roots, read = [_CGROUPS, _CGROUPS / "unified"], _quota_v2
        elif "cpu" in controllers.split(","):
            roots, read = [_CGROUPS / controllers, _CGROUPS / "cpu"], _quota_v1
        else:
            continue
        own = Path(path.strip("/"))
        for root in roots:
            for folder in (root / own, *(root / parent for parent in own.parents)):
                quota = read(folder)
                if quota is not None and math.isfinite(quota) and quota > 0:
                    yield quota


def _quota_v2(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _quota_v1(folder: Path) -> float | None:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        return quota / int((folder / "cpu.cfs_period_us").read_text()) if quota > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _apple_fast_cores() -> int | None:
    """Source: sysctl(3) on macOS; Intel's have no levels."""
    try:
        system = ctypes.CDLL(None)
        for name in (b"hw.perflevel0.physicalcpu", b"hw.physicalcpu"):
            value, size = ctypes.c_int32(0), ctypes.c_size_t(4)
            found = system.sysctlbyname(name, ctypes.byref(value), ctypes.byref(size), None, 0)
            if found == 0 and value.value > 0:
                return value.value
    except (OSError, AttributeError):
        pass
    return None
