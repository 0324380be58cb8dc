"""A server that nobody asks for anything leaves the processor alone, also with its page."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from .running import running_server

STATUS = Path("/proc/self/status")
SECONDS = 3
MOST_A_SECOND = 150
"""About 30 are found. Gradio's page as it comes wakes up 1,000 times a second."""


@pytest.mark.skipif(not STATUS.exists(), reason="counts in /proc")
def test_a_server_at_rest_rarely_wakes_up(tmp_path: Path) -> None:
    pytest.importorskip("gradio")
    with running_server(tmp_path) as server:
        before = wake_ups(server.process.pid)
        time.sleep(SECONDS)
        assert wake_ups(server.process.pid) - before < SECONDS * MOST_A_SECOND


def wake_ups(pid: int) -> int:
    """How often the process's first thread has waited for something so far."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(r"^voluntary_ctxt_switches:\s*(\d+)", status, re.MULTILINE)
    assert found
    return int(found[1])
