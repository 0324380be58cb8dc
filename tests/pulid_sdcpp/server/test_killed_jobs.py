"""A server that is killed at any moment loses no job, and makes each once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from job_server import picture_bytes_of
from pulid_sdcpp.server.jobs.job_store import JobStore

SERVER = Path(__file__).parents[2] / "job_server.py"
KILLS = 30
SEED = 14


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the server's stand-in forks")
def test_thirty_kills_lose_no_job_and_leave_no_file(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    root = tmp_path / "server"
    with subprocess.Popen(
        [sys.executable, str(SERVER), str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        said: list[str] = []

        def listen(until: str) -> None:
            for line in server.stdout:  # type: ignore[union-attr]
                said.append(line.strip())
                if line.startswith(until):
                    return
            pytest.fail(f"the server ended: {said}")

        for kill in range(KILLS):
            server.stdin.write(f"{kill}\n")
            listen("pid ")
            pid = int(said[-1].split()[1])
            if kill % 2:  # so that no picture is interrupted five times on the slowest disk
                listen("saved ")
            time.sleep(chance.uniform(0, 0.06))
            os.kill(pid, signal.SIGKILL)
            listen("dead")
        server.stdin.write("last\n")
        listen("dead")
        server.stdin.close()

    assert not [line for line in said if line.startswith("failed")]
    by_word = Counter(line.rsplit(" ", 1)[0] if "saved" in line else line for line in said)
    jobs = JobStore(root).load_all()
    accepted = {line.split()[1] for line in said if line.startswith("accepted ")}
    assert accepted <= {job.id for job in jobs}
    assert len(accepted) >= KILLS // 2, "too few to say anything"
    assert sum(job.attempts > 1 for job in jobs) >= 2, "too few were killed while they were made"
    assert Counter(job.idempotency_key for job in jobs).most_common(1)[0][1] == 1
    expected = {root / "lock", root / "jobs"}
    for job in jobs:
        assert job.status == "completed", job
        assert by_word[f"ended {job.id}"] <= 1
        folder = JobStore(root).folder(job.id)
        expected |= {folder.parent, folder, folder / "job.json", folder / "start.png"}
        for index, seed in enumerate(job.seeds):
            picture = folder / f"{index:03}.png"
            assert picture.read_bytes() == picture_bytes_of(seed)
            expected.add(picture)
    assert set(root.rglob("*")) == expected
