"""Answers that wait for a job: whole, late with spaces, broken off, and for clients that leave."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from pulid_sdcpp.server.calls import sync_answer
from pulid_sdcpp.server.calls.sync_answer import answered_when_finished
from pulid_sdcpp.server.errors import ApiError, BrokenOffError
from pulid_sdcpp.server.jobs.jobs import Job
from pulid_sdcpp.server.request.body_fields import body_fields
from pulid_sdcpp.server.request.request_files import RequestFiles
from pulid_sdcpp.server.service.service import PictureService
from served import run_service


async def submitted(service: PictureService, prompt: str, **body: Any) -> Job:
    files = RequestFiles(service.limits)
    fields = body_fields({"prompt": prompt, "seed": 7, **body})
    request = await service.read(fields, files)
    return await service.submit(request, files.contents, owner="local", synchronous=True)


class Client:
    """A connection: what it was sent, and whether it is still there."""

    def __init__(self) -> None:
        self.leaves = asyncio.Event()
        self.messages: list[dict[str, Any]] = []

    @property
    def request(self) -> Request:
        return Request({"type": "http", "method": "POST", "headers": []}, self.receive)

    async def receive(self) -> dict[str, Any]:
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.messages.append(dict(message))

    async def answered(self, response: Any) -> bytes:
        scope = {"type": "http", "method": "POST", "headers": [], "asgi": {"spec_version": "2.4"}}
        await response(scope, self.receive, self.send)
        return b"".join(message.get("body", b"") for message in self.messages)


def index_and_seed(job: Job) -> list[list[int]]:
    return [[picture.index, picture.seed] for picture in job.pictures]


def test_a_quick_answer_is_whole(tmp_path: Path) -> None:
    async def test(service: PictureService) -> None:
        job, client = await submitted(service, "plain"), Client()
        response = await answered_when_finished(service, job, client.request, index_and_seed)
        assert json.loads(await client.answered(response)) == [[0, 7]]
        assert response.headers["x-pulid-job"] == job.id
        assert service.job(job.id, None).status == "completed"

    run_service(tmp_path, test)


@pytest.mark.parametrize("gallery", ["jobs", "none"])
def test_a_picture_that_is_not_kept_is_gone_after_its_answer(tmp_path: Path, gallery: str) -> None:
    async def test(service: PictureService) -> None:
        job, client = await submitted(service, "plain"), Client()
        response = await answered_when_finished(service, job, client.request, index_and_seed)
        assert json.loads(await client.answered(response)) == [[0, 7]]
        while service.book.get(job.id) is not None:
            await asyncio.sleep(0.01)

    run_service(tmp_path, test, gallery=gallery)


def test_a_late_answer_begins_with_spaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync_answer, "LOOK_S", 0.01)
    monkeypatch.setattr(sync_answer, "_SPACE_S", 0.1)

    async def test(service: PictureService) -> None:
        job, client = await submitted(service, "slow", steps=40), Client()
        response = await answered_when_finished(service, job, client.request, index_and_seed)
        assert service.job(job.id, None).status != "completed"
        text = await client.answered(response)
        assert text.startswith(b"  ")
        assert json.loads(text) == [[0, 7]]
        assert client.messages[0]["status"] == 200

    run_service(tmp_path, test, sync_keepalive_s=0.05)


def test_a_late_failure_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync_answer, "LOOK_S", 0.01)

    async def test(service: PictureService) -> None:
        job, client = await submitted(service, "slow", steps=150), Client()
        response = await answered_when_finished(service, job, client.request, index_and_seed)
        await service.cancel(job.id)
        with pytest.raises(BrokenOffError, match="cancelled"):
            await client.answered(response)
        assert client.messages[-1].get("more_body", True), "the body must not end in good order"

    run_service(tmp_path, test, sync_keepalive_s=0.05)


@pytest.mark.parametrize("keepalive_s", [0.0, 0.05])
@pytest.mark.parametrize("on_disconnect", ["cancel", "finish"])
def test_a_client_that_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_disconnect: str, keepalive_s: float
) -> None:
    monkeypatch.setattr(sync_answer, "LOOK_S", 0.01)

    async def test(service: PictureService) -> None:
        job, client = await submitted(service, "slow", steps=60), Client()
        asyncio.get_running_loop().call_later(0.3, client.leaves.set)
        if keepalive_s:
            response = await answered_when_finished(service, job, client.request, index_and_seed)
            await client.answered(response)
        else:
            with pytest.raises(ApiError) as caught:
                await answered_when_finished(service, job, client.request, index_and_seed)
            assert caught.value.code == "client_gone"
        ended = await service.finished(job.id)
        assert ended.status == {"cancel": "cancelled", "finish": "completed"}[on_disconnect]

    run_service(tmp_path, test, sync_keepalive_s=keepalive_s, on_disconnect=on_disconnect)
