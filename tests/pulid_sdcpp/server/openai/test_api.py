"""OpenAI's endpoints over HTTP, with an engine that computes nothing."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pulid_sdcpp.server.access.signing import is_signed_picture
from pulid_sdcpp.server.calls.delivered import delivery_of
from pulid_sdcpp.server.jobs.jobs import Job
from pulid_sdcpp.server.limits import Limits
from pulid_sdcpp.server.openai.events import GENERATION_EVENTS, OpenaiEvents
from pulid_sdcpp.server.openai.pictures import OpenaiPictures
from pulid_sdcpp.server.openai.stream import OpenaiStream
from pulid_sdcpp.server.request.body_fields import body_fields
from pulid_sdcpp.server.request.request_files import RequestFiles
from served import run_served

GENERATIONS, EDITS = "/v1/images/generations", "/v1/images/edits"


def png(colour: str = "red", size: tuple[int, int] = (64, 64)) -> bytes:
    encoded = io.BytesIO()
    Image.new("RGB", size, colour).save(encoded, "PNG")
    return encoded.getvalue()


def opened(b64_json: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(b64_json)))


async def submitted(service: Any, key: str = "", **body: Any) -> Job:
    """A job that takes long."""
    fields = body_fields({"prompt": "slow", "steps": 150, **body})
    request = await service.read(fields, RequestFiles(service.limits))
    return await service.submit(request, {}, owner="local", synchronous=True, idempotency_key=key)


def events_in(text: str) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for block in text.split("\n\n"):
        if block.strip(":\n"):
            name, data = block.split("\n")
            found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_pictures_in_the_answer(tmp_path: Path) -> None:
    async def test(client: Any, service: Any) -> None:
        body = {"prompt": "a cat", "n": 2, "size": "40x32", "seed": 7, "quality": "hd"}
        for path in (GENERATIONS, "/images/generations"):
            answer = await client.post(path, json=body, params={"api-version": "x"})
            found = answer.json()
            assert answer.status_code == 200, found
            assert [one["seed"] for one in found["data"]] == [7, 8]
            assert {opened(one["b64_json"]).size for one in found["data"]} == {(48, 32)}
            assert (found["size"], found["output_format"]) == ("48x32", "png")
            job = service.job(answer.headers["x-pulid-job"], "local")
            assert (job.client, job.synchronous, job.status) == ("openai", True, "completed")
            assert found["pulid"]["job_id"] == job.id
            assert answer.headers["x-pulid-warning"] == "size_rounded"
            assert "parameters" in opened(found["data"][0]["b64_json"]).info

    run_served(tmp_path, test)


def test_formats_and_texts_are_as_asked_for(tmp_path: Path) -> None:
    async def test(client: Any, _: Any) -> None:
        body = {"prompt": "a cat", "output_format": "webp", "embed_image_metadata": False}
        found = (await client.post(GENERATIONS, json=body)).json()
        picture = opened(found["data"][0]["b64_json"])
        assert (picture.format, found["output_format"]) == ("WEBP", "webp")
        assert not picture.getexif()

    run_served(tmp_path, test)


def test_addresses_of_pictures_are_signed_and_good_even_where_nothing_is_kept(
    tmp_path: Path,
) -> None:
    async def test(client: Any, service: Any) -> None:
        body = {"prompt": "a cat", "response_format": "url"}
        found = (await client.post(GENERATIONS, json=body)).json()
        (url,) = [one["url"] for one in found["data"]]
        address, _, query = url.partition("?")
        name = address.rpartition("/")[2]
        assert address == f"http://localhost/pulid/v1/pictures/{name}"
        said = dict(one.split("=") for one in query.split("&"))
        now = service.clock()
        assert is_signed_picture(service.secret, name, said["expires"], said["signature"], now)
        await asyncio.sleep(0.05)
        assert service.job(found["pulid"]["job_id"], None).pictures
        found = (await client.post(GENERATIONS, json={"prompt": "a cat"})).json()
        while service.book.get(found["pulid"]["job_id"]) is not None:
            await asyncio.sleep(0.01)

    run_served(tmp_path, test, gallery="none")


def test_a_stream_of_pictures(tmp_path: Path) -> None:
    async def test(client: Any, service: Any) -> None:
        body = {"prompt": "a cat", "n": 2, "steps": 4, "stream": True, "partial_images": 1,
                "output_format": "jpeg"}  # fmt: skip
        answer = await client.post(GENERATIONS, json=body)
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        job = service.job(answer.headers["x-pulid-job"], "local")
        found = events_in(answer.text)
        completed = [data for name, data in found if name == "image_generation.completed"]
        assert [data["seed"] for data in completed] == list(job.seeds)
        assert {opened(data["b64_json"]).format for _, data in found} == {"JPEG"}
        # The engine shows one at most in 0.3 s; its pictures are 2 x 2, an eighth of a side.
        partial = [data for name, data in found if name == "image_generation.partial_image"]
        assert all(data["size"] == "16x16" for data in partial)
        assert {data["partial_image_index"] for data in partial} <= {0}
        assert found[-1][0] == "image_generation.completed"

    run_served(tmp_path, test)


def test_a_stream_that_fails_says_so_in_its_last_event(tmp_path: Path) -> None:
    async def test(client: Any, service: Any) -> None:
        answering = asyncio.ensure_future(
            client.post(GENERATIONS, json={"prompt": "slow", "steps": 150, "stream": True})
        )
        while not (running := service.book.newest(status="generating")):
            await asyncio.sleep(0.01)
        await service.cancel(running[0].id)
        ((name, data),) = events_in((await answering).text)
        assert (name, data["error"]["code"]) == ("error", "cancelled")

    run_served(tmp_path, test)


def test_pictures_that_were_removed_meanwhile(tmp_path: Path) -> None:
    async def test(client: Any, service: Any) -> None:
        for stream in (False, True):
            body = {"prompt": "a cat", "stream": stream}
            headers = {"Idempotency-Key": f"key {stream}"}
            made = await client.post(GENERATIONS, json=body, headers=headers)
            assert made.status_code == 200
            service.book.store.picture_path(made.headers["x-pulid-job"], 0).unlink()
            again = await client.post(GENERATIONS, json=body, headers=headers)
            error = events_in(again.text)[-1][1] if stream else again.json()
            assert error["error"]["code"] == "expired"
            assert (again.status_code == 200) is stream

    run_served(tmp_path, test)


def test_a_stream_in_which_nothing_happens_keeps_its_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulid_sdcpp.server.openai.stream.KEEP_ALIVE_S", 0.05)

    async def test(client: Any, service: Any) -> None:
        body = {"prompt": "slow", "steps": 20, "stream": True}
        text = (await client.post(GENERATIONS, json=body)).text
        assert text.startswith(":\n\n")
        assert [name for name, _ in events_in(text)] == ["image_generation.completed"]

    run_served(tmp_path, test)


@pytest.mark.parametrize(
    ("key", "on_disconnect", "status"),
    [("", "cancel", "cancelled"), ("", "finish", "completed"), ("mine", "cancel", "completed")],
)
def test_whoever_leaves_a_stream_cancels_its_job_unless_its_answer_can_be_asked_for_again(
    tmp_path: Path, key: str, on_disconnect: str, status: str
) -> None:
    async def test(_: Any, service: Any) -> None:
        job = await submitted(service, key, preview="proj", steps=20)
        stream = OpenaiStream(
            service,
            job,
            OpenaiEvents(GENERATION_EVENTS, "png"),
            OpenaiPictures(service, delivery_of(job)),
            partial_images=3,
            in_words=lambda error: error,
        )
        chunks = stream.chunks()
        assert (await anext(chunks)).startswith(b"event: image_generation.partial_image")
        await chunks.aclose()
        assert (await service.finished(job.id)).status == status

    run_served(tmp_path, test, on_disconnect=on_disconnect)


def test_who_waits_for_a_picture_as_the_server_stops_is_told(tmp_path: Path) -> None:
    async def test(client: Any, service: Any) -> None:
        bodies = [{"prompt": "slow", "steps": 150, "stream": stream} for stream in (True, False)]
        waiting = [asyncio.ensure_future(client.post(GENERATIONS, json=body)) for body in bodies]
        while len(service.book.newest()) < 2 or not service.book.newest(status="generating"):
            await asyncio.sleep(0.01)
        await service.stop(0.0)
        streamed, whole = [await one for one in waiting]
        assert events_in(streamed.text)[-1][1]["error"]["code"] == "shutting_down"
        assert (whole.status_code, whole.json()["error"]["code"]) == (503, "shutting_down")

    run_served(tmp_path, test)


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "param"),
    [
        (GENERATIONS, {}, 400, "invalid_value", "prompt"),
        (GENERATIONS, {"prompt": "x", "n": 11}, 400, "invalid_value", "n"),
        (GENERATIONS, {"prompt": "x", "size": "big"}, 400, "invalid_value", "size"),
        (GENERATIONS, {"prompt": "x", "model": "sdxl"}, 404, "model_not_found", "model"),
        (GENERATIONS, {"prompt": "x", "background": "transparent"}, 400, "unsupported",
         "background"),
        (GENERATIONS, {"prompt": "x", "identity": "nobody"}, 404, "identity_not_found", None),
        (GENERATIONS, {"prompt": "x", "id_weight": 1}, 400, "identity_without_person",
         "id_weight"),
        (GENERATIONS, {"prompt": "x", "photo": "http://example.org/a.png"}, 400,
         "url_not_allowed", "photo"),
        (EDITS, {"prompt": "x"}, 400, "invalid_value", "image"),
        (EDITS, {"prompt": "x", "images": [{"image_url": "data:image/png;base64,AAAA"}]}, 400,
         "bad_image", "images"),
        (EDITS, {"prompt": "x", "images": [{"file_id": "job_01kb0000000000000000000000-0"}]}, 404,
         "not_found", "images[0]"),
    ],
)  # fmt: skip
def test_mistakes(
    tmp_path: Path, path: str, body: dict[str, Any], status: int, code: str, param: str | None
) -> None:
    async def test(client: Any, service: Any) -> None:
        for more in ({}, {"stream": True}):
            answer = await client.post(path, json={**body, **more})
            error = answer.json()["error"]
            assert (answer.status_code, error["code"]) == (status, code), error
            assert param is None or error["param"] == param
            assert error["type"] == "invalid_request_error"
        assert service.book.newest() == []

    run_served(tmp_path, test)


def test_an_edit_from_a_picture_that_was_made_before(tmp_path: Path) -> None:
    async def test(client: Any, service: Any) -> None:
        made = (await client.post(GENERATIONS, json={"prompt": "a cat"})).json()
        name = f"{made['pulid']['job_id']}-0"
        body = {"prompt": "a dog", "images": [{"file_id": name}], "image_role": "init"}
        answer = await client.post(EDITS, json=body)
        assert answer.status_code == 200, answer.text
        job = service.job(answer.headers["x-pulid-job"], None)
        assert job.request["init_image"].startswith("sha256:")
        assert answer.json()["pulid"]["people"] == []

    run_served(tmp_path, test)


def test_a_picture_of_somebody_else_is_none(tmp_path: Path) -> None:
    key_file = tmp_path / "keys"
    key_file.write_text("rose 0123456789abcdef\ntom 0123456789abcdeg\n", "utf-8")
    key_file.chmod(0o600)

    async def test(client: Any, service: Any) -> None:
        rose, tom = [{"Authorization": f"Bearer 0123456789abcde{end}"} for end in "fg"]
        made = await client.post(GENERATIONS, json={"prompt": "a cat"}, headers=rose)
        named = {"file_id": f"{made.json()['pulid']['job_id']}-0"}
        body = {"prompt": "a dog", "images": [named], "image_role": "init"}
        answer = await client.post(EDITS, json=body, headers=tom)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
        assert (await client.post(EDITS, json=body, headers=rose)).status_code == 200

    run_served(tmp_path / "data", test, api_key_file=key_file)


@pytest.mark.parametrize(
    ("model", "role"), [("flux-kontext-dev-q4", "ref_images"), ("pocket", "people")]
)
def test_what_a_model_does_with_the_picture_of_an_edit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, role: str
) -> None:
    async def test(client: Any, service: Any) -> None:
        monkeypatch.setattr(service.models, "settings", lambda: {model: {}, "other": {}})
        for said in ({"model": model}, {}):
            monkeypatch.setattr(service.models, "default", "other" if said else model)
            files = {"image": ("a.png", png())}
            await client.post(EDITS, data={"prompt": "a dog", **said}, files=files)
            (job, *_) = service.book.newest()
            assert {"ref_images", "people"} & set(job.request) == {role}

    run_served(tmp_path, test)


def test_a_mask_says_by_what_is_transparent_where_to_change(tmp_path: Path) -> None:
    async def test(client: Any, service: Any) -> None:
        mask = Image.new("RGBA", (64, 64), "white")
        mask.paste((0, 0, 0, 0), (0, 0, 32, 64))
        content = io.BytesIO()
        mask.save(content, "PNG")
        files = {"image": ("a.png", png()), "mask": ("mask.png", content.getvalue())}
        answer = await client.post(EDITS, data={"prompt": "a dog"}, files=files)
        assert answer.status_code == 200, answer.text
        job = service.job(answer.headers["x-pulid-job"], None)
        folder = service.book.store.folder(job.id)
        kept = job.request["mask_image"].removeprefix("sha256:")
        with Image.open(folder / f"{kept}.png") as image:
            assert (image.getpixel((5, 5)), image.getpixel((60, 5))) == (255, 0)

    run_served(tmp_path, test)


def test_a_request_that_is_sent_again_is_one_job(tmp_path: Path) -> None:
    async def test(client: Any, service: Any) -> None:
        headers = {"Idempotency-Key": "k1"}
        body = {"prompt": "a cat"}
        first, again = [
            (await client.post(GENERATIONS, json=body, headers=headers)).json() for _ in range(2)
        ]
        assert first == again
        assert len(service.book.newest()) == 1
        other = await client.post(GENERATIONS, json={"prompt": "a dog"}, headers=headers)
        assert (other.status_code, other.json()["error"]["param"]) == (400, "Idempotency-Key")

    run_served(tmp_path, test)


def test_models(tmp_path: Path) -> None:
    async def test(client: Any, service: Any) -> None:
        found = (await client.get("/v1/models")).json()
        assert found["object"] == "list"
        assert found["data"][0]["id"] == "pocket"
        one = await client.get("/v1/models/pocket")
        assert one.json() == found["data"][0]
        for name in ("dall-e-3", "a/b"):
            none = await client.get(f"/v1/models/{name}")
            assert (none.status_code, none.json()["error"]["code"]) == (404, "model_not_found")
        none = await client.post("/v1/images/variations", files={"image": png()})
        assert (none.status_code, none.json()["error"]["code"]) == (404, "not_found")

    run_served(tmp_path, test)


def test_the_ping_of_sillytavern(tmp_path: Path) -> None:
    async def test(client: Any, service: Any) -> None:
        assert (await client.options(GENERATIONS)).status_code == 204

    run_served(tmp_path, test)


def test_a_full_queue_says_when_to_come_again(tmp_path: Path) -> None:
    async def test(client: Any, service: Any) -> None:
        job = await submitted(service)
        answer = await client.post(GENERATIONS, json={"prompt": "x"})
        assert answer.status_code == 429
        assert answer.json()["error"]["type"] == "rate_limit_error"
        assert answer.headers["x-should-retry"] == "true"
        assert 1 <= int(answer.headers["retry-after"]) <= 120
        await service.cancel(job.id)

    run_served(tmp_path, test, limits=Limits(queue_size=1))
