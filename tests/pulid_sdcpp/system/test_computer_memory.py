"""How much memory the computer has, on each system."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pulid_sdcpp.system import system_memory
from pulid_sdcpp.system.system_memory import ComputerMemory, computer_memory

GIB = 1 << 30
MEMINFO = "MemTotal:  16777216 kB\nMemFree: 1 kB\nMemAvailable:   8388608 kB\n"
VM_STAT = """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                               65536.
Pages active:                            300000.
Pages inactive:                          131072.
Pages speculative:                            0.
Pages purgeable:                          65536.
"""


@pytest.fixture
def linux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "platform", "linux")
    for name, file in (("_MEMINFO", "meminfo"), ("_CONTAINER_LIMIT", "max"),
                       ("_CONTAINER_USED", "current")):  # fmt: skip
        monkeypatch.setattr(system_memory, name, tmp_path / file)
    (tmp_path / "meminfo").write_text(MEMINFO)
    return tmp_path


def test_linux(linux: Path) -> None:
    assert computer_memory() == ComputerMemory(16 * GIB, 8 * GIB)
    (linux / "max").write_text("max\n")
    (linux / "current").write_text("5\n")
    assert computer_memory() == ComputerMemory(16 * GIB, 8 * GIB)


def test_a_containers_limit_counts(linux: Path) -> None:
    (linux / "max").write_text(f"{4 * GIB}\n")
    (linux / "current").write_text(f"{3 * GIB}\n")
    assert computer_memory() == ComputerMemory(4 * GIB, GIB)


def test_a_system_that_says_nothing(linux: Path) -> None:
    (linux / "meminfo").write_text("nothing\n")
    assert computer_memory() is None
    (linux / "meminfo").unlink()
    assert computer_memory() is None


def test_macos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")

    def answer(command: tuple[str, ...], **_: object) -> subprocess.CompletedProcess[str]:
        out = f"{16 * GIB}\n" if "sysctl" in command[0] else VM_STAT
        return subprocess.CompletedProcess(command, 0, out, "")

    monkeypatch.setattr(subprocess, "run", answer)
    assert computer_memory() == ComputerMemory(16 * GIB, 4 * GIB)
