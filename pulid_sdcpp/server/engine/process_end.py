"""How a child process ended: by what signal, and whether the kernel wanted its memory."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from pathlib import Path

__all__ = ["ending_in_words", "memory_kills", "was_killed"]

_VM = Path("/proc/vmstat")
_GROUP = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")
_KILLS = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


def memory_kills() -> int:
    """How many processes the kernel has ended so far for want of memory; 0 where it does not say.

    A number that has grown since a process began says why that one was killed: those of this
    process's group (`memory.events`), and of the whole computer.
    """
    return sum(_kills_in(path) for path in (*_group_files(), _VM))


def was_killed(returncode: int) -> bool:
    """Whether it ended by SIGKILL, as the kernel ends what takes too much memory."""
    return os.name != "nt" and returncode == -signal.SIGKILL


def ending_in_words(returncode: int, *, out_of_memory: bool) -> str:
    """What is said of a process that should not have ended.

    Args:
        returncode: As that of `subprocess.Popen`: below 0, a signal.
        out_of_memory: Whether the kernel ended it for want of memory.
    """
    if out_of_memory:
        return "ran out of memory, and the system ended it (SIGKILL)"
    if returncode < 0:
        try:
            return f"was ended by {signal.Signals(-returncode).name}"
        except ValueError:
            return f"was ended by signal {-returncode}"
    if returncode > 255:  # Windows: an exception's code
        return f"ended with {returncode:#010x}"
    return f"ended with exit status {returncode}"


def _group_files() -> list[Path]:
    """Of this process's control group, where there is one: version 2, and version 1."""
    found = [_GROUPS / "memory.events", _GROUPS / "memory" / "memory.oom_control"]
    with contextlib.suppress(OSError, ValueError):
        for line in _GROUP.read_text(encoding="utf-8", errors="replace").splitlines():
            number, controllers, path = line.split(":", 2)
            inside = path.strip("/")
            if number == "0" and inside:
                found.append(_GROUPS / inside / "memory.events")
            elif "memory" in controllers.split(",") and inside:
                found.append(_GROUPS / "memory" / inside / "memory.oom_control")
    return found


def _kills_in(path: Path) -> int:
    try:
        found = _KILLS.search(path.read_text(encoding="ascii", errors="replace"))
    except OSError:
        return 0
    return int(found[1]) if found else 0
