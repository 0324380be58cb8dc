"""/pulid/v1/presets: who may change models, downloads with their licenses, loading, removing."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from hub_server import HubServer
from pulid_sdcpp.server.calls import preset_download
from pulid_sdcpp.server.service.service import PictureService
from served import run_served

from ..submitting import made

PRESETS = "/pulid/v1/presets"
ADMIN, ROSE = ({"X-Api-Key": letter * 20} for letter in "ar")


pytestmark = pytest.mark.usefixtures("own_preset")


async def preset(client: Any, name: str) -> dict[str, Any]:
    found = {one["name"]: one for one in (await client.get(PRESETS)).json()}
    view: dict[str, Any] = found[name]
    return view


def test_a_download_from_its_licenses_to_its_removal(tmp_path: Path) -> None:
    async def test(client: Any, service: PictureService) -> None:
        assert (await preset(client, "mine"))["complete"] is False
        refused = await client.post(f"{PRESETS}/mine/pull")
        assert refused.status_code == 403
        assert "some-terms" in refused.json()["error"]["message"]
        loading = await client.post(f"{PRESETS}/mine/load")
        assert (loading.status_code, loading.json()["error"]["code"]) == (503, "models_missing")

        async with service.hub.subscribe(owner="local") as events:
            body = {"accept_licenses": ["some-terms"]}
            answer = await client.post(f"{PRESETS}/mine/pull", json=body)
            assert answer.status_code == 202
            job = await service.finished(answer.json()["id"])
            told = []
            while (event := await events.next(0.1)) is not None:
                told.append(event)
        assert (job.kind, job.status) == ("download", "completed")
        assert dict(job.result) == {"preset": "mine", "files": 2, "bytes": 10}
        steps = [event.data for event in told if event.name == "step"]
        assert (steps[-1]["step"], steps[-1]["steps"], steps[-1]["file"]) == (10, 10, "eyes.pt")
        assert ("model", {"preset": "mine"}) in [(one.name, dict(one.data)) for one in told]
        state = (await client.get(answer.headers["location"])).json()
        assert (state["status"], state["kind"]) == ("completed", "download")

        assert (await preset(client, "mine"))["complete"] is True
        assert "mine" in service.models.settings()
        checked = (await client.post(f"{PRESETS}/mine/verify")).json()
        assert checked["ok"] is True
        gone = await client.delete(f"{PRESETS}/mine")
        assert gone.json()["freed_bytes"] == 10
        assert "mine" not in service.models.settings()
        assert (await client.post(f"{PRESETS}/mine/verify")).json()["ok"] is False

    run_served(tmp_path, test)


def test_a_download_is_stopped_and_one_that_runs_is_not_begun_again(
    tmp_path: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless_pull(name: str, *, on_progress: Any, **how: Any) -> None:
        while True:
            on_progress("flux.gguf", 1, 4)
            time.sleep(0.01)

    monkeypatch.setattr(preset_download, "pull_preset", endless_pull)

    async def test(client: Any, service: PictureService) -> None:
        body = {"photos": False}
        first = (await client.post(f"{PRESETS}/mine/pull", json=body)).json()["id"]
        again = (await client.post(f"{PRESETS}/mine/pull", json=body)).json()["id"]
        assert first == again
        while service.hub.progress(first) is None:
            await asyncio.sleep(0.01)
        progress = (await client.get(f"/sdcpp/v1/jobs/{first}")).json()["progress"]
        assert (progress["stage"], progress["step"], progress["steps"]) == ("download", 1, 4)
        busy = await client.delete(f"{PRESETS}/mine")
        assert (busy.status_code, busy.json()["error"]["code"]) == (409, "in_use")
        ended = (await client.post(f"/sdcpp/v1/jobs/{first}/cancel")).json()
        assert ended["status"] == "cancelled"
        assert (await preset(client, "mine"))["complete"] is False

    run_served(tmp_path, test)


def test_what_cannot_be_fetched_is_a_failed_job(tmp_path: Path, hub: HubServer) -> None:
    hub.files.clear()

    async def test(client: Any, service: PictureService) -> None:
        body = {"photos": False}
        answer = await client.post(f"{PRESETS}/mine/pull", json=body)
        job = await service.finished(answer.json()["id"])
        assert (job.status, job.error and job.error.code) == ("failed", "models_missing")

    run_served(tmp_path, test)


def test_loading_and_unloading(tmp_path: Path) -> None:
    async def test(client: Any, service: PictureService) -> None:
        assert (await preset(client, "pocket"))["loaded"] is False
        loaded = await client.post(f"{PRESETS}/pocket/load")
        assert (loaded.status_code, loaded.json()) == (200, {"name": "pocket", "loaded": True})
        found = await preset(client, "pocket")
        assert (found["loaded"], found["default"], found["complete"]) == (True, True, True)
        busy = await client.delete(f"{PRESETS}/pocket")
        assert (busy.status_code, busy.json()["error"]["code"]) == (409, "in_use")
        freed = await client.post("/pulid/v1/unload")
        assert (freed.status_code, freed.json()) == (200, {"unloaded": True})
        assert (await preset(client, "pocket"))["loaded"] is False
        await made(service)
        assert (await preset(client, "pocket"))["loaded"] is True

    run_served(tmp_path, test)


def test_a_model_that_takes_long_is_loaded_while_nobody_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulid_sdcpp.server.calls.preset_calls._WAIT_S", 0.0)

    async def test(client: Any, service: PictureService) -> None:
        loading = await client.post(f"{PRESETS}/pocket/load")
        assert (loading.status_code, loading.json()) == (202, {"name": "pocket", "loaded": False})
        while not (await preset(client, "pocket"))["loaded"]:
            await asyncio.sleep(0.02)
        assert (await client.post("/pulid/v1/unload")).status_code == 202

    run_served(tmp_path, test)


def test_only_an_administrator_changes_models(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"admin! {'a' * 20}\nrose {'r' * 20}\n")
    keys.chmod(0o600)

    async def test(client: Any, service: PictureService) -> None:
        changes = [
            ("POST", f"{PRESETS}/mine/pull"), ("POST", f"{PRESETS}/mine/verify"),
            ("POST", f"{PRESETS}/pocket/load"), ("POST", "/pulid/v1/unload"),
            ("DELETE", f"{PRESETS}/mine"), ("POST", "/pulid/v1/queue/pause"),
            ("POST", "/pulid/v1/queue/resume"),
        ]  # fmt: skip
        for method, path in changes:
            answer = await client.request(method, path, headers=ROSE)
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden"), path
        assert (await client.get(PRESETS, headers=ROSE)).status_code == 200
        assert (await client.get(PRESETS)).status_code == 401
        for method, path in changes[1:]:
            answer = await client.request(method, path, headers=ADMIN)
            assert answer.status_code == 200, path

    run_served(tmp_path, test, api_key_file=keys)


def test_what_is_wrong(tmp_path: Path) -> None:
    async def test(client: Any, service: PictureService) -> None:
        for method, path in (
            ("POST", "nothing/pull"), ("POST", "nothing/verify"), ("POST", "nothing/load"),
            ("DELETE", "nothing"), ("POST", "..%2Fx/verify"),
        ):  # fmt: skip
            answer = await client.request(method, f"{PRESETS}/{path}")
            assert answer.status_code == 404, path
        for body, param in (
            ({"accept_licenses": "some-terms"}, "accept_licenses"),
            ({"accept_licenses": [1]}, "accept_licenses[0]"),
            ({"accept_licenses": ["other"]}, "accept_licenses"),
            ({"photos": 1}, "photos"), ({"yes": True}, "yes"),
        ):  # fmt: skip
            answer = await client.post(f"{PRESETS}/mine/pull", json=body)
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)

    run_served(tmp_path, test)


def test_no_downloads_where_they_are_not_allowed(tmp_path: Path) -> None:
    async def test(client: Any, service: PictureService) -> None:
        answer = await client.post(f"{PRESETS}/mine/pull", json={"photos": False})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
        assert service.book.newest() == []

    run_served(tmp_path, test, allow_downloads=False)
