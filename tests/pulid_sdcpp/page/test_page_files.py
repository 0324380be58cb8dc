"""Files of this computer, and each other's pages, are out of reach of the page's users."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pulid_sdcpp.page.named_files import check_named_files, checked_event
from pulid_sdcpp.page.upload_room import check_upload_room
from pulid_sdcpp.server.errors import ApiError


def file_data(path: object) -> dict[str, Any]:
    return {"path": str(path), "meta": {"_type": "gradio.FileData"}, "orig_name": "a.png"}


def test_what_was_uploaded_may_be_named(tmp_path: Path) -> None:
    check_named_files({"data": [[file_data(tmp_path / "a" / "b.png")], {"path": None}]}, tmp_path)


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "https://example.org/a.png", "FOLDER", "FOLDER/../secret", "FOLDER/a/../../b",
     "FOLDER-2/a", "a.png", "", "FOLDER/\0"],
)  # fmt: skip
def test_another_file_may_not(path: str, tmp_path: Path) -> None:
    event = {"data": [{"ratio": {"x": [file_data(path.replace("FOLDER", str(tmp_path)))]}}]}
    with pytest.raises(ApiError) as error:
        check_named_files(event, tmp_path)
    assert error.value.code == "forbidden"
    assert str(tmp_path) not in error.value.message


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b"\xff\xff"])
def test_what_is_no_event_is_refused(body: bytes, tmp_path: Path) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    with pytest.raises(ApiError) as error:
        asyncio.run(checked_event(receive, tmp_path))
    assert error.value.code == "bad_json"


@asynccontextmanager
async def page_of(folder: Path, keys: str) -> Any:
    """A client of a server with its page, which has these keys."""
    import httpx

    from pulid_sdcpp.page.build_page import mount_page
    from pulid_sdcpp.server.access.access import access_of
    from pulid_sdcpp.server.http.app import create_app
    from served import new_service

    service = new_service(folder)
    access = access_of(service.settings, {"PULID_SDCPP_API_KEY": keys})
    app = create_app(service, access, mount=mount_page)
    await service.start()
    try:
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as one:
                yield one, app
    finally:
        await service.stop(0.0)


def test_what_was_broken_off_is_removed(tmp_path: Path) -> None:
    whole, coming, left = (tmp_path / name for name in ("a/b.png", "tmp1", "tmp2"))
    for file in (whole, coming, left):
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"1234")
    for file in (whole, left):
        os.utime(file, (1000, 1000))
    check_upload_room(tmp_path)
    assert [whole.exists(), coming.exists(), left.exists()] == [True, True, False]


@pytest.mark.parametrize("limit", ["MAX_BYTES", "MIN_FREE_BYTES"])
def test_an_upload_does_not_fill_the_disk(
    limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gradio")
    bound = {"MAX_BYTES": 5, "MIN_FREE_BYTES": 1 << 60}[limit]

    async def test() -> list[int]:
        statuses = []
        async with page_of(tmp_path / "data", "rose rose-key-0123456789") as (client, _):
            client.headers["X-Api-Key"] = "rose-key-0123456789"
            for number in range(2):
                if number:
                    monkeypatch.setattr(f"pulid_sdcpp.page.upload_room.{limit}", bound)
                files = {"files": ("a.png", f"file {number}".encode())}
                statuses.append((await client.post("/gradio_api/upload", files=files)).status_code)
        return statuses

    assert asyncio.run(asyncio.wait_for(test(), 60)) == [200, 507]


def event_with_stage(config: dict[str, Any]) -> tuple[int, list[int]]:
    """An event that gives back what the browser said of the regions: its number and inputs."""
    stage = next(
        one["id"] for one in config["components"] if one["props"].get("elem_id") == "region-stage"
    )
    return next(
        (event["id"], event["inputs"])
        for event in config["dependencies"]
        if stage in event["inputs"] and stage in event["outputs"] and len(event["inputs"]) == 3
    )


@pytest.mark.parametrize("is_checked", [True, False])
def test_no_event_copies_a_file_of_this_computer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_checked: bool
) -> None:
    pytest.importorskip("gradio")
    secret = tmp_path / "secret.txt"
    secret.write_text("of nobody else")
    if not is_checked:  # Gradio refuses it, too
        monkeypatch.setattr("pulid_sdcpp.page.named_files.check_named_files", lambda *_: None)

    async def test() -> tuple[int, str]:
        async with page_of(tmp_path / "data", "rose rose-key-0123456789") as (client, _):
            client.headers["X-Api-Key"] = "rose-key-0123456789"
            config = (await client.get("/config")).json()
            number, inputs = event_with_stage(config)
            data = [{"ratio": 1, "x": file_data(secret)} if one == inputs[-1] else 512
                    for one in inputs]  # fmt: skip
            body = {"fn_index": number, "session_hash": "abc", "data": data}
            joined = await client.post("/gradio_api/queue/join", json=body)
            if joined.status_code != 200:
                return joined.status_code, joined.text
            told = await client.get("/gradio_api/queue/data?session_hash=abc")
            return joined.status_code, told.text

    status, told = asyncio.run(asyncio.wait_for(test(), 60))
    assert status == (403 if is_checked else 200)
    assert "gradio_api/file=" not in told
    copies = [file for file in (tmp_path / "data").rglob("*") if file.name == secret.name]
    assert not copies
    assert json.dumps(str(tmp_path / "data")) not in told


def test_nobody_is_in_the_page_of_another(tmp_path: Path) -> None:
    pytest.importorskip("gradio")
    rose, tom = ({"X-Api-Key": f"{name}-key-0123456789"} for name in ("rose", "tom"))
    keys = "rose rose-key-0123456789\ntom tom-key-0123456789"

    async def test() -> list[int]:
        async with page_of(tmp_path, keys) as (client, _):
            config = (await client.get("/config", headers=rose)).json()
            number, inputs = event_with_stage(config)
            event = {"fn_index": number, "session_hash": "abc", "data": [512] * len(inputs)}
            join, data = "/gradio_api/queue/join", "/gradio_api/queue/data?session_hash="
            cancel = {"session_hash": "abc", "fn_index": number, "event_id": "0"}
            answers = [
                await client.post(join, json=event, headers=rose),
                await client.post(join, json=event, headers=tom),
                await client.get(data + "abc", headers=tom),
                await client.get(data + "abc&session_hash=x", headers=tom),
                await client.get("/gradio_api/heartbeat/abc", headers=tom),
                await client.post("/gradio_api/cancel", json=cancel, headers=tom),
                await client.get(data + "abc", headers=rose),
                await client.post(join, json={**event, "session_hash": "x"}, headers=tom),
            ]
            return [answer.status_code for answer in answers]

    statuses = asyncio.run(asyncio.wait_for(test(), 60))
    assert statuses == [200, 404, 404, 404, 404, 404, 200, 200]
