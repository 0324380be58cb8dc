"""/pulid/v1/grids: from the request to the last picture, cancelled, refused, after a restart."""

from __future__ import annotations

import asyncio
import base64
import csv
import hashlib
import io
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pulid_sdcpp.errors import MissingDependencyError
from pulid_sdcpp.extraction.face_looker import LookedAt, SeenFace
from pulid_sdcpp.identity.identity_file import Identity
from pulid_sdcpp.identity.kept_people import keep_person, rename_person
from pulid_sdcpp.server.calls.grid_calls import submit_grid
from pulid_sdcpp.server.calls.score_work import ScoreWork
from pulid_sdcpp.server.errors import ApiError
from pulid_sdcpp.server.jobs.jobs import Job
from pulid_sdcpp.server.library.face_looks import FaceLooks, Recognisers
from pulid_sdcpp.server.request.request_files import EmbeddingIn, RequestFiles
from pulid_sdcpp.server.request.request_forms import to_json
from pulid_sdcpp.server.service.job_request import with_extracted
from pulid_sdcpp.server.service.picture_work import PictureWork
from pulid_sdcpp.server.service.service import PictureService
from served import run_served, run_service, started

from ..picture_drafts import file_of, noise

GRIDS = "/pulid/v1/grids"


@pytest.fixture(autouse=True)
def _alice(identity_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULID_SDCPP_DATA", str(tmp_path / "of-the-user"))
    keep_person("Alice", Identity.load(identity_file))
    monkeypatch.setattr(ScoreWork, "score", measured)


async def measured(work: ScoreWork, job: Job) -> Mapping[str, Any]:
    """What a measurement finds."""
    return {"faces": 1, "people": [{"id": "a", "similarity": 0.5, "judge": None,
            "best_other": {"id": "b", "similarity": 0.1}}]}  # fmt: skip


def wish(**more: Any) -> dict[str, Any]:
    request = {"steps": 2, "width": 64, "height": 64}
    return {"person": "alice", "prompts": ["a", "b"], "seeds": [1, 2], "request": request, **more}


async def ended(client: Any, service: PictureService, body: Mapping[str, Any]) -> dict[str, Any]:
    answer = await client.post(GRIDS, json=body)
    assert answer.status_code == 202, answer.text
    await service.finished(answer.json()["id"])
    found: dict[str, Any] = (await client.get(answer.headers["location"])).json()
    return found


def test_a_grid_has_a_picture_of_each(tmp_path: Path) -> None:
    async def test(client: Any, service: PictureService) -> None:
        async with service.hub.subscribe(owner="local") as events:
            grid = await ended(client, service, wish(weights=[0.5, 1]))
            told = []
            while (event := await events.next(0)) is not None:
                told += [event] if event.job == grid["id"] else []
        assert (grid["kind"], grid["status"]) == ("grid", "completed")
        result = grid["result"]
        table = result["table"]
        assert [(one["prompt"], one["weight"], one["seed"]) for one in table] == [
            (prompt, weight, seed) for prompt in "ab" for weight in (0.5, 1) for seed in (1, 2)
        ]
        assert result["pictures"] == [one["picture_id"] for one in table]
        assert {one["similarity"] for one in table} == {0.5}
        assert result["mean_best_other"] == pytest.approx(0.1)
        assert result["weakest"] in result["pictures"]
        assert [one.name for one in told if one.name in ("queued", "saved", "completed")] == [
            "queued", *["saved"] * 8, "completed",
        ]  # fmt: skip
        for row in table:
            _, made, path = service.picture(row["picture_id"], "local")
            assert made.seed == row["seed"]
            with Image.open(path) as image:
                assert image.info["parameters"].splitlines()[0] == row["prompt"]
                assert (", PuLID weight: 0.5" in image.info["parameters"]) == (row["weight"] == 0.5)
        job = (await client.get(f"/sdcpp/v1/jobs/{grid['id']}")).json()
        assert job["result"] == result
        sheet = await client.get(result["sheet_url"])
        with Image.open(io.BytesIO(sheet.content)) as image:
            assert image.width > 2 * 64
        rows = list(csv.reader(io.StringIO((await client.get(result["csv_url"])).text)))
        assert len(rows) == 9
        assert rows[0][0].endswith("prompt")

    run_served(tmp_path, test)


def test_a_grid_whose_first_picture_fails_fails_and_keeps_no_photo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def recognise(looks: FaceLooks, picture: Any, choice: Any = None) -> Any:
        raise MissingDependencyError("not installed")

    monkeypatch.setattr(FaceLooks, "recognise", recognise)

    async def test(client: Any, service: PictureService) -> None:
        file = io.BytesIO()
        Image.new("RGB", (32, 32), "red").save(file, "PNG")
        photo = base64.b64encode(file.getvalue()).decode()
        grid = await ended(client, service, wish(person={"photo": photo}))
        assert grid["status"] == "failed", "the pipeline of the tests cannot extract"
        assert grid["error"]["code"] == "models_missing"
        folder = service.book.store.folder(grid["id"])
        assert not (folder / "inputs").exists()
        assert len(service.book.newest()) == 2

    run_served(tmp_path, test)


def test_people_of_photos_are_extracted_once_and_measured_by_their_photos(
    tmp_path: Path, identity_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = identity_file.read_bytes()
    extracted, asked = [], []

    async def extract(work: PictureWork, job: Job, folder: Path, request: Any, number: int) -> Any:
        extracted.append(job.id)
        sha256 = hashlib.sha256(content).hexdigest()
        (folder / f"{sha256}.pulidembd").write_bytes(content)
        request = with_extracted(request, number, EmbeddingIn(content, sha256))
        body = to_json(request)
        await work._runner.change(job.id, lambda job: replace(job, request=body))
        return request

    async def recognise(looks: FaceLooks, picture: Any, choice: Any = None) -> Any:
        asked.append(choice)
        seen = SeenFace(0, (0, 0, 9, 9), 1.0, ("largest",), {"net": np.ones(4, np.float32)})
        return LookedAt(64, 64, (seen,), chosen=0), Recognisers("net")

    monkeypatch.undo()
    monkeypatch.setenv("PULID_SDCPP_DATA", str(tmp_path / "empty"))
    monkeypatch.setattr(PictureWork, "_extract", extract)
    monkeypatch.setattr(FaceLooks, "recognise", recognise)

    async def test(client: Any, service: PictureService) -> None:
        photo = base64.b64encode(file_of(noise())).decode()
        grid = await ended(client, service, wish(person={"photo": photo, "face": "left"}))
        assert grid["status"] == "completed"
        assert len(extracted) == 1
        assert asked == ["left", *[None] * 4], "the photo, and the pictures"
        assert [row["similarity"] for row in grid["result"]["table"]] == [1.0] * 4
        jobs = [job for job in service.book.newest() if job.kind == "img_gen"]
        assert {len(job.request["people"][0]["embedding"]) for job in jobs} == {71}
        assert not list(tmp_path.rglob("inputs/*"))

    run_served(tmp_path, test)


def test_a_renamed_person_stays_in_a_grid(tmp_path: Path) -> None:
    async def test(client: Any, service: PictureService) -> None:
        service.queue.pause()
        answer = await client.post(GRIDS, json=wish())
        await asyncio.sleep(0.1)
        rename_person("Alice", "Rose")
        busy = await client.delete("/pulid/v1/identities/rose")
        assert (busy.status_code, busy.json()["error"]["code"]) == (409, "in_use")
        service.queue.resume()
        assert (await service.finished(answer.json()["id"])).status == "completed"
        picture = (await client.get("/pulid/v1/pictures?limit=1")).json()["pictures"][0]
        assert [(one["name"], one["known"]) for one in picture["people"]] == [("Rose", True)]

    run_served(tmp_path, test)


def test_a_cancelled_grid_cancels_its_pictures_and_keeps_those_that_are_there(
    tmp_path: Path,
) -> None:
    async def test(client: Any, service: PictureService) -> None:
        body = wish(prompts=["plain", "slow"], request={"steps": 150})
        grid = (await client.post(GRIDS, json=body)).json()["id"]
        while not (job := service.job(grid, None)).result:
            await asyncio.sleep(0.02)
        await client.post(f"/sdcpp/v1/jobs/{grid}/cancel")
        ended = await service.finished(grid)
        assert ended.status == "cancelled"
        view = (await client.get(f"{GRIDS}/{grid}")).json()
        assert view["result"]["pictures"]
        assert view["result"]["table"][-1]["picture_id"] is None
        while any(not job.is_finished for job in service.book.newest()):
            await asyncio.sleep(0.02)
        assert (await client.get(view["result"]["sheet_url"])).status_code == 200
        assert not job.is_finished

    run_served(tmp_path, test)


def test_a_grid_goes_on_after_the_server_was_stopped_or_killed(tmp_path: Path) -> None:
    stopped, killed = tmp_path / "stopped", tmp_path / "killed"

    async def begun() -> str:
        async with started(stopped) as service:
            files = RequestFiles(service.limits)
            body = wish(prompts=["plain", "slow"], request={"steps": 40})
            grid = (await submit_grid(service, body, files, owner="local")).id
            while not service.job(grid, None).result:
                await asyncio.sleep(0.02)
            service.queue.pause()
            while service.queue.running() or not service.queue.waiting():
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.2)
            shutil.copytree(stopped, killed)  # as a server that is killed at this moment leaves it
            return grid

    grid = asyncio.run(begun())

    async def test(service: PictureService) -> None:
        before = {job.id for job in service.book.newest() if job.kind == "img_gen"}
        job = await service.finished(grid)
        assert job.status == "completed"
        assert len(job.result["pictures"]) == len(set(job.result["pictures"])) == 4
        after = [job.id for job in service.book.newest() if job.kind == "img_gen"]
        assert len(after) == 4, "no picture is made twice"
        assert before <= set(after)

    run_service(stopped, test)
    run_service(killed, test)


def test_a_grid_goes_on_without_a_picture_that_fails_and_without_measurements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def score(work: ScoreWork, job: Job) -> Mapping[str, Any]:
        scores.append(job.id)
        if len(scores) == 1:
            return {"faces": 0, "people": [], "none": True}
        raise MissingDependencyError("not installed")

    scores: list[str] = []
    monkeypatch.setattr(ScoreWork, "score", score)

    async def test(client: Any, service: PictureService) -> None:
        grid = await ended(client, service, wish(prompts=["a", "b <lora:nothing:1>"]))
        rows = grid["result"]["table"]
        assert grid["status"] == "completed"
        assert [row["similarity"] for row in rows] == [0.0, None, None, None]
        assert ["nothing" in row.get("error", "") for row in rows] == [False, False, True, True]
        assert str(tmp_path) not in str(rows)
        assert len(grid["result"]["pictures"]) == len(scores) == 2

    run_served(tmp_path, test)


def test_a_full_queue_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulid_sdcpp.server.service.grid_work._FULL_S", 0.01)

    async def test(client: Any, service: PictureService) -> None:
        refused: list[str] = []

        def full(what: str) -> Any:
            real = getattr(service, what)

            async def submit(*given: Any, **how: Any) -> Job:
                if given[0] != "grid" and refused.count(what) < 3:
                    refused.append(what)
                    raise ApiError("queue_full", "full")
                job: Job = await real(*given, **how)
                return job

            return submit

        for what in ("submit", "submit_other"):
            monkeypatch.setattr(service, what, full(what))
        grid = await ended(client, service, wish())
        assert (grid["status"], len(refused)) == ("completed", 6)
        assert {row["similarity"] for row in grid["result"]["table"]} == {0.5}

    run_served(tmp_path, test)


def test_a_server_that_stops_puts_a_grid_off_between_two_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulid_sdcpp.server.service.grid_work._FULL_S", 0.01)

    async def test() -> None:
        async with started(tmp_path) as service:
            grid = (
                await submit_grid(service, wish(), RequestFiles(service.limits), owner="local")
            ).id
            while not service.job(grid, None).result or not service.queue.running():
                await asyncio.sleep(0.01)
            service.queue.close()  # as a stop begins; what runs may end
            while service.queue.running():
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.3)
        job = service.job(grid, None)
        assert (job.status, job.error) == ("queued", None)
        async with started(tmp_path) as service:
            job = await service.finished(grid)
        assert (job.status, len(job.result["pictures"])) == ("completed", 4)

    asyncio.run(asyncio.wait_for(test(), 60))


def test_what_is_refused_at_once(tmp_path: Path) -> None:
    async def test(client: Any, service: PictureService) -> None:
        for body, status, code, param in (
            (wish(person="nobody"), 404, "identity_not_found", "people[0].identity"),
            (wish(prompts=[""]), 400, "invalid_value", "prompts[0]"),
            (wish(request={"steps": 10_000}), 400, "invalid_value", "steps"),
            (wish(request={"colour": 1}), 400, "unknown_field", "colour"),
            (wish(request={"model": "nothing"}), 404, "model_not_found", "model"),
            (wish(request={"n": 2}), 400, "invalid_value", "request"),
            (wish(request={"batch_size": 2}), 400, "invalid_value", "request"),
            (wish(request={"identity": "bob"}), 400, "identity_conflict", "identity"),
            (wish(person={"photo": "!"}), 400, "bad_base64", "people[0].photo"),
        ):
            answer = await client.post(GRIDS, json=body)
            error = answer.json()["error"]
            assert (answer.status_code, error["code"], error["param"]) == (status, code, param)
        assert service.book.newest() == []
        job = (await client.post("/sdcpp/v1/img_gen", json={"prompt": "plain"})).json()["id"]
        for path in (f"{GRIDS}/{job}", f"{GRIDS}/x", f"{GRIDS}/x/sheet", f"{GRIDS}/x/csv"):
            assert (await client.get(path)).status_code == 404

    run_served(tmp_path, test)
