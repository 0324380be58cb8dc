"""At each stage of a picture: cancelled, it ends; its engine killed, it is made all the same."""

from __future__ import annotations

import base64
import contextlib
import io
import itertools
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from long_form import times
from pulid_sdcpp.pocket.pack import pocket_files

from .running import RunningServer, running_server

pytestmark = [
    pytest.mark.engine,
    pytest.mark.extract,
    pytest.mark.long,
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds processes in /proc"),
]
STAGES = ("load", "extract", "encode", "denoise", "decode")
CANCELLED = times(("queued", "extract", "denoise"), ("queued", *STAGES))
KILLED = times(("extract", "denoise"), STAGES)
CANCEL_S = times(10, 2.5)  # the answer comes within two seconds, and CI's computer may be busy


NEW_FACES = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("stages")) as server:
        yield server


@pytest.fixture
def fresh(server: RunningServer) -> RunningServer:
    """Its engine has loaded nothing: the next job goes through all stages."""
    kill_engines(server)
    return server


def kill_engines(server: RunningServer) -> list[int]:
    engines = server.children()
    for engine in engines:
        with contextlib.suppress(ProcessLookupError):  # it has ended just now
            os.kill(engine, signal.SIGKILL)
    return engines


def body() -> dict[str, Any]:
    """Two pictures of somebody whose identity nobody has."""
    with Image.open(pocket_files().portraits[2]) as portrait:
        changed = portrait.convert("RGB")
    changed.putpixel((0, 0), (next(NEW_FACES), 0, 0))
    file = io.BytesIO()
    changed.save(file, "PNG")
    photo = base64.b64encode(file.getvalue()).decode("ascii")
    return {"prompt": "a portrait", "seed": 3, "steps": 8, "batch_count": 2, "photo": photo}


SMALL = {"prompt": "a portrait", "seed": 3, "steps": 1}


def follow(server: RunningServer, job: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events of a job until it has ended."""
    with (
        httpx.Client(timeout=120) as client,
        client.stream("GET", f"{server.url}/sdcpp/v1/jobs/{job}/events") as answer,
    ):
        name = ""
        for line in answer.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield name, json.loads(line.removeprefix("data: "))


def wait_for_stage(server: RunningServer, job: str, stage: str) -> list[str]:
    """The stages up to this one, or all of them if it never comes."""
    seen: list[str] = []
    for name, data in follow(server, job):
        if name == "snapshot":
            progress = data.get("progress") or {}
            found = "queued" if data["status"] == "queued" else str(progress.get("stage", ""))
        elif name == "stage":
            found = str(data["stage"])
        else:
            continue
        seen.append(found)
        if found == stage:
            break
    return seen


def submit(client: httpx.Client, request: dict[str, Any] | None = None) -> str:
    answer = client.post("/sdcpp/v1/img_gen", json=request or body())
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def ended(client: httpx.Client, job: str) -> dict[str, Any]:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        state = client.get(f"/sdcpp/v1/jobs/{job}").json()
        if state["status"] in ("completed", "failed", "cancelled"):
            return dict(state)
        time.sleep(0.1)
    raise AssertionError(f"the job does not end: {state}")


@pytest.mark.parametrize("stage", CANCELLED)
def test_a_job_is_cancelled_at_any_stage(fresh: RunningServer, stage: str) -> None:
    with fresh.client() as client:
        if stage == "queued":
            submit(client)
        job = submit(client)
        assert stage in wait_for_stage(fresh, job, stage)
        begin = time.monotonic()
        answer = client.post(f"/sdcpp/v1/jobs/{job}/cancel")
        assert time.monotonic() - begin < CANCEL_S
        assert answer.status_code == 200
        assert answer.json()["status"] == "cancelled" or answer.json()["cancel_requested"]
        assert ended(client, job)["status"] == "cancelled"
        # The engine is as good as before.
        assert ended(client, submit(client, SMALL))["status"] == "completed"


@pytest.mark.parametrize("stage", KILLED)
def test_a_picture_is_made_though_its_engine_died_at_any_stage(
    fresh: RunningServer, stage: str
) -> None:
    with fresh.client() as client:
        job = submit(client)
        assert stage in wait_for_stage(fresh, job, stage)
        killed = kill_engines(fresh)
        assert killed
        state = ended(client, job)
        assert state["status"] == "completed", state
        assert len(state["result"]["images"]) == 2
        assert not set(killed) & set(fresh.children())


def test_an_engine_that_dies_again_and_again_fails_the_job_and_not_the_server(
    fresh: RunningServer,
) -> None:
    with fresh.client() as client:
        job = submit(client)
        deaths = 0
        for name, data in follow(fresh, job):
            if name == "stage" and data["stage"] == "denoise":
                deaths += 1
                kill_engines(fresh)
        assert deaths == 2
        error = ended(client, job)["error"]
        assert error["code"] == "engine_crashed"
        assert "SIGKILL" in error["message"]
        assert ended(client, submit(client, SMALL))["status"] == "completed"
