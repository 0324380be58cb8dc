from __future__ import annotations

from pathlib import Path

import pytest

from pulid_sdcpp.system import system_memory
from pulid_sdcpp.system.system_memory import total_memory_bytes

MEMINFO = "MemTotal:       16000000 kB\nMemFree:         1000 kB\nSwapTotal:       2000000 kB\n"


@pytest.mark.parametrize(
    ("meminfo", "limit", "expected"),
    [
        (MEMINFO, None, 18_432_000_000),
        (MEMINFO, "max\n", 18_432_000_000),
        (MEMINFO, "4000000000\n", 4_000_000_000),
        (MEMINFO, "40000000000\n", 18_432_000_000),
        ("SwapTotal: 0 kB\n", None, None),
        (None, "4000000000\n", None),
    ],
)
def test_ram_and_swap_or_the_containers_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meminfo: str | None, limit: str | None,
    expected: int | None,
) -> None:  # fmt: skip
    for name, text in (("_MEMINFO", meminfo), ("_CONTAINER_LIMIT", limit)):
        path = tmp_path / name
        if text is not None:
            path.write_text(text)
        monkeypatch.setattr(system_memory, name, path)
    assert total_memory_bytes() == expected
