"""How a process ended, in words; and what the kernel says of memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pulid_sdcpp.server.engine import process_end
from pulid_sdcpp.server.engine.process_end import ending_in_words, memory_kills, was_killed


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_signal_is_named() -> None:
    assert ending_in_words(-11, out_of_memory=False) == "was ended by SIGSEGV"
    assert ending_in_words(-6, out_of_memory=False) == "was ended by SIGABRT"
    assert ending_in_words(-9, out_of_memory=False) == "was ended by SIGKILL"
    assert ending_in_words(-99, out_of_memory=False) == "was ended by signal 99"
    assert was_killed(-9)
    assert not was_killed(-11)
    assert not was_killed(9)


def test_want_of_memory_is_said() -> None:
    assert "out of memory" in ending_in_words(-9, out_of_memory=True)


def test_other_ends_have_their_number() -> None:
    assert ending_in_words(3, out_of_memory=False) == "ended with exit status 3"
    assert ending_in_words(0xC0000005, out_of_memory=False) == "ended with 0xc0000005"


@pytest.mark.parametrize(
    ("group", "file"),
    [
        ("0::/\n", "memory.events"),
        ("0::/a/b.slice\n", "a/b.slice/memory.events"),
        ("3:cpu,memory:/x\n", "memory/x/memory.oom_control"),
        ("3:memory:/\n", "memory/memory.oom_control"),
    ],
)
def test_kills_of_the_group_and_the_computer_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str, file: str
) -> None:
    for name in ("_VM", "_GROUP", "_GROUPS"):
        monkeypatch.setattr(process_end, name, tmp_path / name)
    assert memory_kills() == 0  # as where there is no such file
    (tmp_path / "_GROUP").write_text("1:cpu:/other\n" + group)
    (tmp_path / "_VM").write_text("pgfault 9\noom_kill 2\nnr_free 1\n")
    assert memory_kills() == 2
    events = tmp_path / "_GROUPS" / file
    events.parent.mkdir(parents=True)
    events.write_text("low 0\noom 7\noom_kill 5\noom_group_kill 0\n")
    assert memory_kills() == 7
    events.write_text("")
    assert memory_kills() == 2
