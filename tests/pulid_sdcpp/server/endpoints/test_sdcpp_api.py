"""sd-server's endpoints: jobs are accepted, looked at, followed, moved, cancelled and removed."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

from pulid_sdcpp.server.service.service import PictureService
from served import run_served

JOBS = "/sdcpp/v1/jobs"


async def accepted(client: Any, **body: Any) -> dict[str, Any]:
    answer = await client.post("/sdcpp/v1/img_gen", json={"prompt": "plain", "seed": 7, **body})
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    assert answer.headers["location"] == found["poll_url"] == f"{JOBS}/{found['id']}"
    assert answer.headers["x-pulid-job"] == found["id"]
    return found


async def running(service: PictureService, job_id: str) -> None:
    while service.hub.progress(job_id) is None:
        await asyncio.sleep(0.01)


def test_a_job_from_its_body_to_its_pictures(tmp_path: Path) -> None:
    async def test(client: Any, service: PictureService) -> None:
        job = await accepted(client, batch_count=2, title="two", output_format="webp", sceduler="")
        assert (job["kind"], job["status"], job["seeds"]) == ("img_gen", "queued", [7, 8])
        assert [warning["field"] for warning in job["warnings"]] == ["sceduler"]
        await service.finished(job["id"])
        done = (await client.get(job["poll_url"])).json()
        assert (done["status"], done["error"], done["title"]) == ("completed", None, "two")
        assert done["completed"] >= done["started"] >= done["created"]
        images = done["result"]["images"]
        assert done["result"]["output_format"] == "webp"
        assert [(one["index"], one["seed"]) for one in images] == [(0, 7), (1, 8)]
        assert base64.b64decode(images[0]["b64_json"])[8:12] == b"WEBP"
        by_url = (await client.get(job["poll_url"], params={"images": "url"})).json()
        shown = by_url["result"]["images"][0]
        assert "b64_json" not in shown
        assert shown["url"].startswith("http://localhost/pulid/v1/pictures/")
        listed = (await client.get(JOBS)).json()["jobs"]
        assert [one["id"] for one in listed] == [job["id"]]
        assert (await client.get(JOBS, params={"status": "failed"})).json()["jobs"] == []
        assert (await client.delete(job["poll_url"])).status_code == 204
        assert (await client.get(job["poll_url"])).status_code == 404

    run_served(tmp_path, test)


def test_what_is_wrong_is_said_as_sd_server_says_it(tmp_path: Path) -> None:
    async def test(client: Any, service: PictureService) -> None:
        cases: list[tuple[str, str, Any, int, str]] = [
            ("POST", "/sdcpp/v1/img_gen", {}, 400, "invalid value"),
            ("POST", "/sdcpp/v1/img_gen", {"prompt": "x", "steps": 10**6}, 400, "invalid value"),
            ("POST", "/sdcpp/v1/img_gen", {"prompt": "x", "model": "no"}, 404, "model not found"),
            ("POST", "/sdcpp/v1/vid_gen", {"prompt": "x"}, 400, "unsupported"),
            ("GET", f"{JOBS}/job_nobody", None, 404, "not found"),
            ("GET", f"{JOBS}?limit=0", None, 400, "invalid value"),
            ("GET", f"{JOBS}?status=done", None, 400, "invalid value"),
            ("POST", f"{JOBS}/job_nobody/cancel", {}, 404, "not found"),
        ]
        for method, path, body, status, error in cases:
            answer = await client.request(method, path, json=body)
            assert (answer.status_code, answer.json()["error"]) == (status, error), (path, body)
            assert answer.json()["message"]

    run_served(tmp_path, test)


def test_a_job_is_followed_until_it_is_cancelled(tmp_path: Path) -> None:
    async def test(client: Any, service: PictureService) -> None:
        job = await accepted(client, prompt="slow", sample_params={"sample_steps": 150})
        following = asyncio.ensure_future(client.get(job["poll_url"] + "/events"))
        await running(service, job["id"])
        await asyncio.sleep(0.2)
        state = (await client.get(job["poll_url"])).json()
        assert state["status"] == "generating"
        assert state["progress"]["steps"] == 150
        assert (await client.delete(job["poll_url"])).status_code == 409
        ended = (await client.post(job["poll_url"] + "/cancel")).json()
        assert (ended["status"], ended["error"]["code"]) == ("cancelled", "cancelled")
        text = (await asyncio.wait_for(following, 10)).text
        events = [block.splitlines() for block in text.strip().split("\n\n")]
        names = [next(line for line in lines if line.startswith("event: ")) for lines in events]
        assert names[0] == "event: snapshot"
        assert {"event: stage", "event: step"} <= set(names)
        assert names[-1] == "event: cancelled"
        assert json.loads(events[-1][-1].removeprefix("data: "))["error"]["code"] == "cancelled"

    run_served(tmp_path, test)


def test_waiting_jobs_change_places(tmp_path: Path) -> None:
    async def test(client: Any, service: PictureService) -> None:
        first = await accepted(client, prompt="slow", sample_params={"sample_steps": 150})
        await running(service, first["id"])
        second, third = await accepted(client), await accepted(client)
        moved = await client.patch(third["poll_url"], json={"position": 1})
        assert moved.json()["queue_position"] == 1
        assert (await client.get(second["poll_url"])).json()["queue_position"] == 2
        for position in (0, True, "1", None):
            wrong = await client.patch(third["poll_url"], json={"position": position})
            assert wrong.status_code == 400
        await client.post(first["poll_url"] + "/cancel", json={})
        await service.finished(second["id"])
        times = [service.job(one["id"], None).completed for one in (third, second)]
        assert times == sorted(times, key=float)
        assert (await client.patch(third["poll_url"], json={"position": 1})).status_code == 409

    run_served(tmp_path, test)


def test_capabilities(tmp_path: Path) -> None:
    async def test(client: Any, service: PictureService) -> None:
        found = (await client.get("/sdcpp/v1/capabilities")).json()
        assert found["model"]["name"] == "pocket"
        assert found["features"]["cancel_generating"] is True
        assert "euler" in found["samplers"]
        assert found["limits"]["max_queue_size"] == service.limits.queue_size
        assert found["defaults"]["sample_params"]["sample_steps"] > 0
        assert (found["limits"]["size_multiple"], found["identity"]["encoders"]) == (16, ["flux"])

    run_served(tmp_path, test)
