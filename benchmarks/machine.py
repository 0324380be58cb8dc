"""What a measurement ran on, and how much memory a process uses.

Nothing but the standard library: workers import it under a foreign interpreter too.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType

__all__ = [
    "DeviceMemory",
    "describe_machine",
    "load_average",
    "peak_mb",
    "resident_mb",
    "usable_cpus",
]

_POLL_S = 0.1


def usable_cpus() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load_average() -> str:
    """Of the last minute, "1.2"; "" where the system has none."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""


def describe_machine() -> dict[str, str]:
    """Words for the machine, by what they describe; what cannot be found out is left out."""
    described = {
        "processor": _processor(),
        "cores": f"{usable_cpus()} usable of {os.cpu_count()}",
        "memory": _memory(),
        "system": f"{platform.system()}, {platform.machine()}",
        "Python": platform.python_version(),
        "GPU": "; ".join(_nvidia_smi("name")),
    }
    return {what: words for what, words in described.items() if words}


def resident_mb(field: str) -> float:
    """A line of /proc/self/status, such as VmRSS, in MB; 0 where there is no such file."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0.0
    kib = next(line.split()[1] for line in status.splitlines() if line.startswith(f"{field}:"))
    return int(kib) * 1024 / 1e6


def peak_mb() -> float:
    """Greatest resident memory of this process, in MB; 0 where the system does not say."""
    # Not ru_maxrss where it can be helped: a child's starts at what its parent had.
    peak = resident_mb("VmHWM")
    if peak or sys.platform == "win32":
        return peak
    import resource

    unit = 1e6 if sys.platform == "darwin" else 1e6 / 1024  # bytes on macOS, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


class DeviceMemory:
    """The greatest use of the first NVIDIA card's memory while the context is open.

    A card's own count, asked for ten times a second, less what was in use before.

    Attributes:
        peak_mb: 0 where there is no such card.
    """

    def __init__(self) -> None:
        self.peak_mb = 0.0
        self._before = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> DeviceMemory:
        used = _used_mb()
        if used is not None:
            self._before = used
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(_POLL_S):
            used = _used_mb()
            if used is not None:
                self.peak_mb = max(self.peak_mb, used - self._before)


def _used_mb() -> float | None:
    used = _nvidia_smi("memory.used")
    return float(used[0]) * 2**20 / 1e6 if used else None


def _nvidia_smi(field: str) -> list[str]:
    """One line per card; none where there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, f"--query-gpu={field}", "--format=csv,noheader,nounits"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip().splitlines() if done.returncode == 0 else []


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode == 0:
            return done.stdout.strip()
    return platform.processor()


def _memory() -> str:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return ""
    return f"{total / 2**30:.0f} GiB"
