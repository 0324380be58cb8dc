"""The real server and its engine are killed at random moments: every job ends once, same bytes.

`make test-long` does it 30 times each, CI as often as proves that it works at all.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from long_form import times
from pulid_sdcpp.server.jobs.job_store import JobStore
from pulid_sdcpp.server.jobs.jobs import Job

from .running import RunningServer, running_server, start_server

pytestmark = [
    pytest.mark.engine,
    pytest.mark.long,
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds processes in /proc"),
]
KILLS = times(3, 30)
JOBS = times(6, 10)
SEED = 14
WAIT_S = 600.0


def body_of(number: int) -> dict[str, Any]:
    """Of a job of one to three pictures, of few steps."""
    return {
        "prompt": f"a portrait of person {number}",
        "seed": 100 * number,
        "batch_count": 1 + number % 3,
        "steps": 3 + number % 2,
    }


def accept(client: httpx.Client, number: int) -> str:
    answer = client.post("/sdcpp/v1/img_gen", json=body_of(number))
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def status_of(client: httpx.Client, job: str) -> str:
    return str(client.get(f"/sdcpp/v1/jobs/{job}").json()["status"])


def wait_for_all(client: httpx.Client, jobs: Mapping[str, int]) -> None:
    deadline = time.monotonic() + WAIT_S
    for job in jobs:
        while status_of(client, job) in ("queued", "generating"):
            assert time.monotonic() < deadline, "the jobs do not end"
            time.sleep(0.1)


def jobs_of(server: RunningServer) -> dict[str, Job]:
    return {job.id: job for job in JobStore(server.data / "server").load_all()}


def bytes_of(server: RunningServer, job: Job) -> list[bytes]:
    store = JobStore(server.data / "server")
    return [store.picture_path(job.id, index).read_bytes() for index in range(len(job.seeds))]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[bytes]]:
    """The pictures of each job, by its number, of a server that nobody disturbs."""
    with (
        running_server(tmp_path_factory.mktemp("undisturbed")) as server,
        server.client() as client,
    ):
        numbers = {accept(client, number): number for number in range(JOBS)}
        wait_for_all(client, numbers)
        jobs = jobs_of(server)
        return {number: bytes_of(server, jobs[job]) for job, number in numbers.items()}


def check_all_ended_once(
    server: RunningServer, numbers: Mapping[str, int], undisturbed: Mapping[int, list[bytes]]
) -> None:
    """Every job is completed, with the bytes of an undisturbed server, and no file is left."""
    jobs = jobs_of(server)
    assert jobs.keys() == numbers.keys(), "none was lost, and none made twice"
    root = server.data / "server"
    expected = {root / "jobs"}
    for job_id, job in jobs.items():
        assert job.status == "completed", job
        assert bytes_of(server, job) == undisturbed[numbers[job_id]]
        folder = JobStore(root).folder(job_id)
        pictures = {folder / f"{index:03}.png" for index in range(len(job.seeds))}
        expected |= {folder.parent, folder, folder / "job.json", *pictures}
    left = set((root / "jobs").rglob("*")) - expected
    assert not left


def test_a_killed_server_goes_on_with_every_job(
    tmp_path: Path, undisturbed: dict[int, list[bytes]]
) -> None:
    chance = random.Random(SEED)
    numbers: dict[str, int] = {}
    for kill in range(KILLS):
        at_start = kill % 5 == 4  # while it still reads its jobs
        server = start_server(tmp_path, is_ready=not at_start)
        if not at_start:
            with server.client() as client:
                if all(status_of(client, job) == "completed" for job in numbers):
                    numbers |= {accept(client, number): number for number in range(JOBS)}
            if kill % 2:  # a picture that five starts in succession do not finish has failed
                wait_for_a_picture(server)
            time.sleep(chance.uniform(0 if kill % 2 else 1, 5))
        children = server.children()
        server.kill()
        wait_until_gone(children)
    with running_server(tmp_path) as server, server.client() as client:
        wait_for_all(client, numbers)
        attempts = [job.attempts for job in jobs_of(server).values()]
    print(f"{KILLS} kills of the server, {len(numbers)} jobs, {sum(attempts)} attempts")
    assert sum(attempts) > len(numbers), "no kill met a job that was being made"
    check_all_ended_once(server, numbers, undisturbed)


def test_a_killed_engine_is_started_again_and_no_job_is_lost(
    tmp_path: Path, undisturbed: dict[int, list[bytes]]
) -> None:
    chance = random.Random(SEED)
    numbers: dict[str, int] = {}
    # A job whose engine died twice has failed, so each kill is another job's.
    met: set[str] = set()
    with running_server(tmp_path) as server, server.client() as client:
        for _ in range(KILLS):
            running = ""
            while not running:
                waiting = [job for job in numbers if status_of(client, job) == "queued"]
                if not waiting:
                    numbers |= {accept(client, number): number for number in range(JOBS)}
                running = wait_for_one_generating(client, but=met)
                time.sleep(chance.uniform(0, 1.5))
                if status_of(client, running) != "generating":
                    running = ""
            met.add(running)
            for engine in server.children():
                with contextlib.suppress(ProcessLookupError):  # it has ended just now
                    os.kill(engine, signal.SIGKILL)
        wait_for_all(client, numbers)
        metrics = client.get("/metrics").text
    print(f"{KILLS} kills of the engine, {len(numbers)} jobs")
    restarts = [line for line in metrics.splitlines() if line.startswith("pulid_engine_restarts")]
    assert restarts
    check_all_ended_once(server, numbers, undisturbed)


def wait_for_one_generating(client: httpx.Client, but: set[str] | None = None) -> str:
    """A job that is being made, of none in `but`; "" if all have ended."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        jobs = client.get("/sdcpp/v1/jobs", params={"limit": 200}).json()
        listed = jobs["jobs"] if isinstance(jobs, dict) else jobs
        by_status: dict[str, list[str]] = {}
        for job in listed:
            by_status.setdefault(job["status"], []).append(job["id"])
        if found := [job for job in by_status.get("generating", ()) if job not in (but or ())]:
            return found[0]
        if not by_status.get("queued") and not by_status.get("generating"):
            return ""
        time.sleep(0.05)
    raise AssertionError("no job is being made")


def wait_for_a_picture(server: RunningServer) -> None:
    """Until one more is on the disk, or there is nothing to be made."""
    folder = server.data / "server" / "jobs"
    before = len(list(folder.rglob("*.png")))
    deadline = time.monotonic() + WAIT_S
    while len(list(folder.rglob("*.png"))) == before and time.monotonic() < deadline:
        if all(job.is_finished for job in jobs_of(server).values()):
            return
        time.sleep(0.05)


def wait_until_gone(processes: list[int]) -> None:
    """An engine sees that its server is gone, and ends; the next one finds the card free."""
    deadline = time.monotonic() + 120
    while any(Path(f"/proc/{pid}").exists() for pid in processes):
        assert time.monotonic() < deadline, "an engine outlived its server"
        time.sleep(0.05)
