"""OpenAI's own Python package, and Open WebUI's requests, with an engine that computes nothing."""

from __future__ import annotations

import asyncio
import base64
import io
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from PIL import Image

from client_bodies import OPENAI_EDITS, OPENAI_GENERATIONS
from fake_engine_process import ScriptedEngine
from pulid_sdcpp import GenerationError
from pulid_sdcpp.identity.identity_file import Identity
from pulid_sdcpp.server.errors import BrokenOffError
from pulid_sdcpp.server.limits import Limits
from served import run_served

KEY = "0123456789abcdef"

Test = Callable[[Any, Any, list[str]], Awaitable[object]]


class BreakingTransport(httpx2.ASGITransport):
    """As a connection does, when the server breaks an answer off."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            return await super().handle_async_request(request)
        except BrokenOffError as error:
            raise httpx2.RemoteProtocolError("incomplete chunked read") from error


def run_with_openai(folder: Path, test: Test, *, options: Any = None, **settings: Any) -> None:
    """Run a test with `openai.AsyncOpenAI`, the server, and the requests that were sent."""

    async def with_client(client: Any, service: Any) -> None:
        sent: list[str] = []

        async def note(request: Any) -> None:
            sent.append(f"{request.method} {request.url.path}")

        transport = BreakingTransport(app=client._transport.app, client=("127.0.0.1", 1))
        http = httpx2.AsyncClient(transport=transport, event_hooks={"request": [note]})
        given = {"api_key": KEY, "base_url": "http://localhost/v1", **(options or {})}
        async with openai.AsyncOpenAI(http_client=http, **given) as of_openai:
            await test(of_openai, service, sent)

    run_served(folder, with_client, **settings)


def opened(b64_json: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(b64_json)))


def png(size: tuple[int, int] = (64, 64)) -> bytes:
    encoded = io.BytesIO()
    Image.new("RGB", size, "red").save(encoded, "PNG")
    return encoded.getvalue()


def embedding() -> tuple[str, Identity]:
    import numpy as np

    from pulid_sdcpp.identity.identity_file import identity_bytes

    numbers = np.random.default_rng(1).standard_normal((32, 2048), dtype=np.float32)
    identity = Identity(numbers)
    content = identity_bytes(identity, identity.dtype)
    return base64.b64encode(content).decode("ascii"), identity


def test_pictures_and_what_else_the_answer_says(tmp_path: Path) -> None:
    async def test(client: Any, service: Any, sent: list[str]) -> None:
        text, identity = embedding()
        answer = await client.images.generate(
            prompt="a portrait",
            model="pocket",
            n=2,
            size="64x32",
            quality="hd",
            user="somebody",
            extra_body={"embedding": text, "id_weight": 0.9, "seed": 7, "steps": 2},
        )
        assert [opened(one.b64_json).size for one in answer.data] == [(64, 32)] * 2
        assert [one.seed for one in answer.data] == [7, 8]
        assert (answer.size, answer.output_format, answer.usage.total_tokens) == ("64x32", "png", 0)
        assert answer.pulid["people"] == [{"id": identity.short_hash}]
        assert answer.pulid["warnings"] == []
        picture = opened(answer.data[0].b64_json)
        assert picture.getpixel((0, 0))[0] == 100  # darker: the engine had the person
        assert f"PuLID identity: {identity.short_hash}" in picture.info["parameters"]

    run_with_openai(tmp_path, test)


def test_people_in_a_form(tmp_path: Path) -> None:
    async def test(client: Any, service: Any, sent: list[str]) -> None:
        text, identity = embedding()
        for more in (
            {"people": [{"embedding": text, "weight": 0.5, "name": "Rose"}]},
            {"pulid": {"embedding": text, "weight": 0.5, "id_image_name": "Rose.jpg"}},
            {"embedding": text, "id_weight": 0.5, "id_image_name": "Rose.jpg"},
        ):
            answer = await client.images.edit(
                image=png(), prompt="a portrait", extra_body={"image_role": "init", **more}
            )
            assert answer.pulid["people"] == [{"id": identity.short_hash, "name": "Rose"}]
            (person,) = service.job(answer.pulid["job_id"], None).request["people"]
            assert person["weight"] == 0.5

    run_with_openai(tmp_path, test)


def test_a_stream(tmp_path: Path) -> None:
    async def test(client: Any, service: Any, sent: list[str]) -> None:
        start = {"image": png(), "extra_body": {"image_role": "init"}}
        for make, more, kind, size in (
            (client.images.generate, {}, "image_generation", (32, 16)),
            (client.images.edit, start, "image_edit", (64, 64)),  # of the picture it starts from
        ):
            events = await make(prompt="a cat", stream=True, partial_images=2, n=2, **more)
            found = [event async for event in events]
            completed = [event for event in found if event.type == f"{kind}.completed"]
            assert [opened(event.b64_json).size for event in completed] == [size] * 2
            assert completed[0].usage.total_tokens == 0
            assert {event.type for event in found} <= {f"{kind}.completed", f"{kind}.partial_image"}

    run_with_openai(tmp_path, test)


def test_a_stream_that_breaks(tmp_path: Path) -> None:
    async def test(client: Any, service: Any, sent: list[str]) -> None:
        events = await client.images.generate(
            prompt="a cat", stream=True, extra_body={"timeout_s": 0.01, "prompt": "slow"}
        )
        with pytest.raises(openai.APIError, match="took longer") as caught:
            async for _ in events:
                pass
        assert caught.value.code == "timed_out"
        assert len(sent) == 1

    run_with_openai(tmp_path, test)


MISTAKES: list[tuple[dict[str, Any], dict[str, Any], type[Exception], str]] = [
    ({"size": "1x1x1"}, {}, openai.BadRequestError, "invalid_value"),
    ({"n": 11}, {}, openai.BadRequestError, "invalid_value"),
    ({"background": "transparent"}, {}, openai.BadRequestError, "unsupported"),
    ({"extra_body": {"id_weight": 1}}, {}, openai.BadRequestError, "identity_without_person"),
    ({}, {"api_key": "0123456789abcdeX"}, openai.AuthenticationError, "unauthorized"),
    ({"extra_headers": {"Origin": "https://example.org"}}, {}, openai.PermissionDeniedError,
     "forbidden"),
    ({"model": "sdxl"}, {}, openai.NotFoundError, "model_not_found"),
    ({"extra_body": {"identity": "nobody"}}, {}, openai.NotFoundError, "identity_not_found"),
    ({}, {"base_url": "http://localhost/v2"}, openai.NotFoundError, "not_found"),
    ({"extra_body": {"steps_": 1}}, {}, openai.BadRequestError, "unknown_field"),
    ({"extra_body": {"a": "x" * (1 << 20)}}, {}, openai.APIStatusError, "too_large"),
    ({"extra_headers": {"Content-Type": "text/plain"}}, {}, openai.APIStatusError, "wrong_type"),
    ({}, {"base_url": "http://other.example/v1"}, openai.APIStatusError, "wrong_host"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "options", "kind", "code"), MISTAKES)
def test_mistakes_are_the_errors_of_the_package(
    tmp_path: Path, call: dict[str, Any], options: dict[str, Any], kind: type[Any], code: str
) -> None:
    key_file = tmp_path / "keys"
    key_file.write_text(f"rose {KEY}\n", "utf-8")
    key_file.chmod(0o600)

    async def test(client: Any, service: Any, sent: list[str]) -> None:
        with pytest.raises(kind) as caught:
            await client.images.generate(**{"prompt": "a cat", **call})
        assert caught.value.code == code
        assert caught.value.type is not None
        assert len(sent) == 1  # none of these gets better by another try

    run_with_openai(
        tmp_path / "data",
        test,
        options=options,
        strict=True,
        limits=Limits(max_body_mib=1),
        api_key_file=key_file,
    )


def test_no_picture_is_made_three_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise GenerationError("the engine could not decode")

    async def test(client: Any, service: Any, sent: list[str]) -> None:
        answering = asyncio.ensure_future(client.images.generate(prompt="slow", extra_body=STEPS))
        while not (running := service.book.newest(status="generating")):
            await asyncio.sleep(0.01)
        await service.cancel(running[0].id)
        with pytest.raises(openai.APIStatusError) as caught:
            await answering
        assert (caught.value.status_code, caught.value.code) == (499, "cancelled")
        monkeypatch.setattr(ScriptedEngine, "step", fail)
        with pytest.raises(openai.InternalServerError, match="could not decode") as caught:
            await client.images.generate(prompt="a cat")
        assert (caught.value.status_code, caught.value.code) == (500, "generation_failed")
        assert len(sent) == 2

    run_with_openai(tmp_path, test)


def test_an_answer_that_was_broken_off_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Any, call: Any, step: int) -> None:
        time.sleep(0.7)  # the answer has begun by then
        raise GenerationError("the engine could not decode")

    async def test(client: Any, service: Any, sent: list[str]) -> None:
        monkeypatch.setattr(ScriptedEngine, "step", fail)
        start = {"image": png(), "extra_body": {"image_role": "init"}}
        for number, make in enumerate((client.images.generate, client.images.edit), start=1):
            with pytest.raises(openai.InternalServerError, match="could not decode"):
                await make(prompt="a cat", **(start if number == 2 else {}))
            assert (len(sent), len(service.book.newest())) == (2 * number, number)
        assert "defect" not in caplog.text

    run_with_openai(tmp_path, test, sync_keepalive_s=0.1)


STEPS = {"steps": 150}


def test_a_full_queue_is_tried_again(tmp_path: Path) -> None:
    async def test(client: Any, service: Any, sent: list[str]) -> None:
        first = asyncio.ensure_future(client.images.generate(prompt="slow", extra_body=STEPS))
        while not (running := service.book.newest(status="generating")):
            await asyncio.sleep(0.01)
        with pytest.raises(openai.RateLimitError) as caught:
            await client.with_options(max_retries=0).images.generate(prompt="a cat")
        assert caught.value.code == "queue_full"
        second = asyncio.ensure_future(client.images.generate(prompt="a cat"))
        while len(sent) < 3:
            await asyncio.sleep(0.01)
        await service.cancel(running[0].id)
        assert (await second).data
        assert len(sent) == 4
        with pytest.raises(openai.APIStatusError):
            await first

    run_with_openai(tmp_path, test, limits=Limits(queue_size=1))


def test_a_key_of_the_caller_s_makes_one_job_of_two_calls(tmp_path: Path) -> None:
    async def test(client: Any, service: Any, sent: list[str]) -> None:
        start = {"image": png(), "extra_body": {"image_role": "init"}}
        for name, make, more in (
            ("one", client.images.generate, {}),
            ("other", client.images.edit, start),  # a form, with a new boundary each time
        ):
            named = {**more, "prompt": "a cat", "extra_headers": {"Idempotency-Key": name}}
            assert (await make(**named)).pulid == (await make(**named)).pulid

    run_with_openai(tmp_path, test)


def test_models(tmp_path: Path) -> None:
    async def test(client: Any, service: Any, sent: list[str]) -> None:
        names = [model.id async for model in client.models.list()]
        assert names[0] == "pocket"
        assert (await client.models.retrieve("pocket")).owned_by == "pulid-sdcpp"

    run_with_openai(tmp_path, test)


@pytest.mark.parametrize("name", OPENAI_GENERATIONS)
def test_open_webui_makes_pictures(tmp_path: Path, name: str) -> None:
    body = {**OPENAI_GENERATIONS[name]}
    body = {key: "pocket" if value == "flux-dev" else value for key, value in body.items()}
    if body.pop("identity", None):
        body["embedding"] = embedding()[0]

    async def test(client: Any, service: Any) -> None:
        headers = {"Authorization": "Bearer ", "Content-Type": "application/json"}
        for query in ("", "?api-version=2025-04-01-preview"):
            url = f"/v1/images/generations{query}"
            answer = await client.post(url, json=body, headers=headers)
            assert answer.status_code == 200, answer.text
            (picture,) = answer.json()["data"]
            assert "url" not in picture  # which it would take first
            assert opened(picture["b64_json"]).format == "PNG"

    run_served(tmp_path, test)


@pytest.mark.parametrize("name", OPENAI_EDITS)
def test_open_webui_edits_pictures(tmp_path: Path, name: str) -> None:
    """As the server takes them: a person of photos is another test's, with a model."""
    body = OPENAI_EDITS[name]
    texts = {
        key: "pocket" if value == "flux-dev" else value
        for key, value in body.items()
        if not key.startswith("image")
    }
    param = next(key for key in body if key.startswith("image"))
    count = len(body[param]) if isinstance(body[param], list) else 1
    files = [(param, (f"{uuid.uuid4()}.png", png(), "image/png"))] * count

    async def test(client: Any, service: Any) -> None:
        answer = await client.post("/v1/images/edits", data=texts, files=files)
        (job,) = service.book.newest()
        (person,) = job.request["people"]
        assert len(person["photos"]) == count
        # The pipeline of this test has no networks to extract with.
        assert answer.status_code in (501, 503), answer.text
        assert job.status == "failed"

    run_served(tmp_path, test)
