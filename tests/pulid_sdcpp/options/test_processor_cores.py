from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from pulid_sdcpp import ContextOptions
from pulid_sdcpp.options import processor_cores
from pulid_sdcpp.options.processor_cores import MAX_THREADS, thread_count, usable_cores, usable_cpus


class Computer:
    """Four cores of two threads each, 0 and 4, 1 and 5, ..., and files that say so."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.allowed = set(range(8))
        for cpu in range(8):
            self.write(f"cpu/cpu{cpu}/topology/core_cpus_list", f"{cpu % 4},{cpu % 4 + 4}\n")

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def computer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Computer:
    found = Computer(tmp_path)
    monkeypatch.setattr(processor_cores, "_TOPOLOGY", tmp_path / "cpu")
    monkeypatch.setattr(processor_cores, "_OWN_CGROUPS", tmp_path / "own")
    monkeypatch.setattr(processor_cores, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(processor_cores, "_allowed_cpus", lambda: found.allowed)
    monkeypatch.setattr(sys, "platform", "linux")
    return found


def test_two_threads_of_one_core_count_once(computer: Computer) -> None:
    assert (usable_cores(), usable_cpus()) == (4, 8)


def test_only_what_the_process_may_use_counts(computer: Computer) -> None:
    computer.allowed = {0, 4, 1}
    assert (usable_cores(), usable_cpus()) == (2, 3)


def test_without_files_each_processor_is_a_core(computer: Computer) -> None:
    computer.allowed = {20, 21}
    assert (usable_cores(), usable_cpus()) == (2, 2)


@pytest.mark.parametrize(
    ("own", "files", "cores", "cpus"),
    [
        ("0::/a/b\n", {"a/b/cpu.max": "300000 100000\n"}, 3, 3),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "250000 100000"}, 2, 2),
        ("0::/a\n", {"cpu.max": "50000 100000"}, 1, 1),  # a container sees its own as the root
        ("0::/a\n", {"cpu.max": "600000 100000"}, 4, 6),
        ("0::/a\n", {"cpu.max": "nonsense"}, 4, 8),
        (
            "5:cpu,cpuacct:/a\n0::/\n",
            {"cpu,cpuacct/a/cpu.cfs_quota_us": "200000", "cpu,cpuacct/a/cpu.cfs_period_us": "1e5"},
            4,
            8,
        ),
        (
            "5:cpu,cpuacct:/a\n",
            {"cpu/a/cpu.cfs_quota_us": "200000", "cpu/a/cpu.cfs_period_us": "100000"},
            2,
            2,
        ),
        ("5:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 4, 8),
        ("", {}, 4, 8),
    ],
)
def test_a_container_may_use_the_time_of_fewer(
    computer: Computer, own: str, files: dict[str, str], cores: int, cpus: int
) -> None:
    computer.write("own", own)
    for name, text in files.items():
        computer.write(f"cgroup/{name}", text)
    assert (usable_cores(), usable_cpus()) == (cores, cpus)


def test_where_it_cannot_be_known(computer: Computer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor_cores, "_allowed_cpus", lambda: None)
    for count, cores in ((None, 1), (2, 2), (4, 4), (16, 8)):
        monkeypatch.setattr(os, "cpu_count", lambda count=count: count)
        assert (usable_cores(), usable_cpus()) == (cores, count or 1)


def test_what_is_asked_for_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor_cores, "usable_cores", lambda: 6)
    assert [thread_count(number) for number in (-1, 0, 1, 9)] == [6, 6, 1, 9]
    assert ContextOptions(model_path="x").threads == 6
    assert ContextOptions(model_path="x", n_threads=3).threads == 3
    monkeypatch.setattr(processor_cores, "usable_cores", lambda: 1024)
    assert thread_count(0) == MAX_THREADS


def test_on_this_computer() -> None:
    assert 1 <= usable_cores() <= usable_cpus() <= (os.cpu_count() or 1)
