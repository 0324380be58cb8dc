"""/pulid/v1/status, events, and the pause of the queue."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from pulid_sdcpp.server.access.access import access_of
from pulid_sdcpp.server.http.app import create_app
from pulid_sdcpp.server.service.service import PictureService
from served import run_served, run_service

from ..submitting import made, submitted

OWN = "/pulid/v1"


def test_status_and_pause(tmp_path: Path) -> None:
    async def test(client: Any, service: PictureService) -> None:
        status = (await client.get(f"{OWN}/status")).json()
        assert (status["server"], status["status"]) == ("pulid-sdcpp", "ready")
        assert status["model"] == {"default": "pocket", "complete": True, "loaded": []}
        assert status["queue"]["size"] == 64
        assert status["disk"]["free_bytes"] > 0
        assert str(tmp_path) not in json.dumps(status)
        assert (await client.post(f"{OWN}/queue/pause")).json()["paused"] is True
        job = await submitted(service)
        await asyncio.sleep(0.1)
        queue = (await client.get(f"{OWN}/status")).json()["queue"]
        assert (queue["queued"], queue["running"], queue["paused"]) == (1, 0, True)
        assert (await client.post(f"{OWN}/queue/resume")).json()["paused"] is False
        assert (await service.finished(job.id)).status == "completed"
        status = (await client.get(f"{OWN}/status")).json()
        assert status["model"]["loaded"] == ["pocket"]
        assert status["queue"]["mean_picture_s"] >= 0
        capabilities = await client.get(f"{OWN}/capabilities")
        assert capabilities.json() == (await client.get("/sdcpp/v1/capabilities")).json()

    run_served(tmp_path, test)


def test_the_events_of_all_jobs(tmp_path: Path) -> None:
    """A stream without an end: read from the application itself until enough has come."""

    async def test(service: PictureService) -> None:
        app = create_app(service, access_of(service.settings, {}))
        waiting = await submitted(service, "slow", steps=30)
        came = bytearray()
        left = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = dict(message["headers"])
                assert headers[b"content-type"].startswith(b"text/event-stream")
                assert headers[b"cache-control"] == b"no-store"
            came.extend(message.get("body", b""))

        scope = {
            "type": "http", "method": "GET", "path": f"{OWN}/events", "query_string": b"",
            "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1), "http_version": "1.1",
            "scheme": "http", "server": ("localhost", 80), "asgi": {"version": "3.0"},
            "root_path": "", "raw_path": b"", "state": {},
        }  # fmt: skip
        answering = asyncio.create_task(app(scope, receive, send))  # type: ignore[arg-type]
        while b"snapshot" not in came:
            await asyncio.sleep(0.01)
        last = await made(service)
        service.changed("gallery", "local", removed="x")
        service.changed("gallery", "somebody", removed="y")
        while b'"removed":"x"' not in came:
            await asyncio.sleep(0.01)
        left.set()
        await asyncio.wait_for(answering, 10)
        text = came.decode()
        assert text.startswith("id: 1\nretry: 2000\nevent: snapshot\n")
        first = json.loads(text.partition("data: ")[2].partition("\n")[0])
        assert [job["id"] for job in first["jobs"]] == [waiting.id]
        told = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
        assert {one["job"] for one in told[1:]} == {waiting.id, last.id, ""}
        assert f'event: completed\ndata: {{"job":"{last.id}"}}' in text

    run_service(tmp_path, test)
