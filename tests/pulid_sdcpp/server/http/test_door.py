"""The door: who comes in, from where, with how much; and what every answer has."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, Request
from starlette.responses import StreamingResponse

from pulid_sdcpp.errors import FaceNotFoundError, GenerationError
from pulid_sdcpp.server.access.access import Access, access_of
from pulid_sdcpp.server.access.api_keys import ApiKeys, keys_in_text
from pulid_sdcpp.server.access.call import call_of
from pulid_sdcpp.server.access.signing import picture_query
from pulid_sdcpp.server.calls.error_answers import family_of_path
from pulid_sdcpp.server.errors import ApiError
from pulid_sdcpp.server.http import app as app_module
from pulid_sdcpp.server.http.door import Door
from pulid_sdcpp.server.limits import Limits
from pulid_sdcpp.server.request.given_body import body_of_request
from pulid_sdcpp.server.settings import ServerSettings

KEY, OTHER = "k" * 16, "o" * 20
SECRET = bytes(32)
PICTURE = "/pulid/v1/pictures/job_1-0"


def service_of(**settings: Any) -> Any:
    made = ServerSettings(**{"limits": Limits(max_body_mib=1), **settings})
    return SimpleNamespace(
        settings=made,
        limits=made.limits,
        secret=SECRET,
        book=SimpleNamespace(
            is_loaded=True, store=SimpleNamespace(root="."), newest=lambda limit: []
        ),
        runner=SimpleNamespace(),
        queue=SimpleNamespace(waiting=list, running=list),
        models=SimpleNamespace(default="pocket", is_complete=lambda name: True),
        people=SimpleNamespace(count=lambda: 2),
        engines=(),
        is_stopping=False,
    )


def endpoints(service: Any) -> APIRouter:
    router = APIRouter()

    @router.get("/sdcpp/v1/who")
    async def who(request: Request) -> dict[str, Any]:
        call = call_of(request)
        return {"owner": call.owner, "sees": call.sees, "base": call.base_url}

    @router.get("/pulid/v1/pictures/{picture_id}")
    async def picture(picture_id: str, request: Request) -> dict[str, Any]:
        return {"sees": call_of(request).sees}

    @router.post("/sdcpp/v1/body")
    @router.post("/v1/images/generations")
    @router.post("/sdapi/v1/body")
    async def body(request: Request) -> dict[str, Any]:
        lenient = request.url.path.startswith("/sdapi")
        given = await body_of_request(request, service, check_type=not lenient)
        shown = {
            k: v if not isinstance(v, bytes) else f"{len(v)} B" for k, v in given.values.items()
        }
        return {**shown, "sha256": given.sha256}

    @router.get("/{family}/raise/{what}")
    async def fail(what: str) -> None:
        raise {
            "face": FaceNotFoundError("photo: no face was found"),
            "generation": GenerationError("it failed"),
            "defect": KeyError("a prompt of somebody"),
            "api": ApiError("queue_full", "full", headers={"Retry-After": "7"}),
        }[what]

    @router.get("/pulid/v1/broken")
    async def broken() -> StreamingResponse:
        async def chunks() -> Any:
            yield b"one"
            raise KeyError("a prompt of somebody")

        return StreamingResponse(chunks())

    @router.get("/pulid/v1/stream/{kind}")
    async def stream(kind: str) -> StreamingResponse:
        async def chunks() -> Any:
            while True:
                yield b": still here\n\n"
                await asyncio.sleep(0.01)

        return StreamingResponse(chunks(), media_type=f"text/{kind}")

    @router.get("/pulid/v1/jobs/{job_id}")
    async def number(job_id: str, limit: int = 1) -> dict[str, Any]:
        return {"limit": limit}

    return router


def calls(
    steps: Callable[[httpx.AsyncClient], Coroutine[Any, Any, None]],
    *,
    keys: str = "",
    host: str = "127.0.0.1:7860",
    client: str = "127.0.0.1",
    monkeypatch: pytest.MonkeyPatch,
    **settings: Any,
) -> Any:
    """Run a test's requests against an application with the endpoints above; returns it."""
    service = service_of(**settings)
    monkeypatch.setattr(app_module, "_routers", lambda service: [endpoints(service)])
    access = access_of(service.settings, {})
    access = Access(
        access.addresses, keys_in_text(keys, "keys") if keys else ApiKeys(), access.rules, False,
        frozenset(),
    )  # fmt: skip
    made = app_module.create_app(service, access)

    async def run() -> None:
        transport = httpx.ASGITransport(app=made, client=(client, 1), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as http:
            await steps(http)

    asyncio.run(run())
    return made


@pytest.mark.parametrize(
    ("path", "family"),
    [("/v1/models", "openai"), ("/images/generations", "openai"), ("/sdapi/v1/x", "sdapi"),
     ("/sdcpp/v1/jobs", "sdcpp"), ("/pulid/v1/x", "own"), ("/", "own"), ("/v1x", "own"),
     ("/internal/ping", "own"), ("//sdapi/x", "sdapi")],
)  # fmt: skip
def test_the_family_of_a_path(path: str, family: str) -> None:
    assert family_of_path(path) == family


def test_every_answer_has_the_headers_and_the_client_s_id(monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(http: httpx.AsyncClient) -> None:
        for path in ("/health", "/nowhere", "/sdapi/raise/defect", "/sdcpp/v1/who"):
            got = await http.get(path, headers={"X-Request-ID": "mine.1"})
            assert got.headers["x-request-id"] == "mine.1"
            assert got.headers["x-content-type-options"] == "nosniff"
            assert got.headers["referrer-policy"] == "no-referrer"
            assert got.headers["cross-origin-resource-policy"] == "same-origin"
        got = await http.get("/health", headers={"X-Request-ID": "a b"})
        assert got.headers["x-request-id"].startswith("req_")
        assert got.json() == {
            "status": "ok",
            "server": "pulid-sdcpp",
            "version": got.json()["version"],
        }
        head = await http.head("/health")
        assert (head.status_code, head.content) == (200, b"")

    calls(steps, monkeypatch=monkeypatch)


def test_other_hosts_and_origins_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(http: httpx.AsyncClient) -> None:
        for host in ("evil.example", "localhost.evil.example", "192.168.1.5"):
            got = await http.get("/health", headers={"Host": host})
            assert (got.status_code, got.json()["error"]["code"]) == (421, "wrong_host")
        for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
            for method, path in (
                ("POST", "/sdcpp/v1/body"),
                ("OPTIONS", "/v1/models"),
                ("GET", "/health"),
            ):
                got = await http.request(method, path, headers={"Origin": origin})
                assert got.status_code == 403
                assert "access-control-allow-origin" not in got.headers
        got = await http.get("/health", headers={"Origin": "http://127.0.0.1:7860"})
        assert got.status_code == 200
        got = await http.get("/health", headers={"Origin": "https://friend.example"})
        assert got.headers["access-control-allow-origin"] == "https://friend.example"
        assert got.headers["vary"] == "Origin"

    calls(steps, monkeypatch=monkeypatch, cors_origin=("https://friend.example",))


def test_options_is_204_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(http: httpx.AsyncClient) -> None:
        for path in ("/v1/images/generations", "/nowhere", "/sdapi/v1/x"):
            got = await http.options(path)
            assert (got.status_code, got.content) == (204, b"")
        got = await http.options(
            "/v1/x",
            headers={
                "Origin": "https://friend.example",
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization, x-stainless-os",
            },
        )
        assert got.headers["access-control-allow-headers"] == "authorization, x-stainless-os"

    calls(steps, keys=KEY, monkeypatch=monkeypatch, cors_origin=("https://friend.example",))


def test_keys_in_every_form(monkeypatch: pytest.MonkeyPatch) -> None:
    def basic(text: str) -> str:
        return "Basic " + base64.b64encode(text.encode()).decode()

    async def steps(http: httpx.AsyncClient) -> None:
        who = "/sdcpp/v1/who"
        for headers in (
            {"Authorization": f"Bearer {KEY}"},
            {"X-Api-Key": KEY},
            {"Authorization": basic(f"any:{KEY}")},
        ):
            got = await http.get(who, headers=headers)
            assert got.json() == {"owner": "rose", "sees": "rose", "base": "http://127.0.0.1:7860"}
        got = await http.get(who, headers={"X-Api-Key": OTHER})
        assert (got.json()["owner"], got.json()["sees"]) == ("tom", None)
        for path, wanted in (
            ("/sdcpp/v1/who", "Bearer"),
            ("/sdapi/v1/x", "Basic"),
            ("/v1/x", "Bearer"),
        ):
            got = await http.get(path)
            assert got.status_code == 401
            assert got.headers["www-authenticate"].startswith(wanted)
        assert (await http.get("/sdapi/v1/x")).json()["errors"] == "unauthorized"
        for path in ("/health", "/openapi.json"):
            assert (await http.get(path)).status_code == 200
        for path in ("/ready", "/metrics", "/"):
            assert (await http.get(path)).status_code == 401

    calls(steps, keys=f"rose {KEY}\ntom! {OTHER}", monkeypatch=monkeypatch)


def test_who_guesses_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(http: httpx.AsyncClient) -> None:
        codes = [
            (await http.get("/sdcpp/v1/who", headers={"X-Api-Key": f"wrong{n:016}"})).status_code
            for n in range(12)
        ]
        assert codes == [401] * 10 + [429] * 2
        got = await http.get("/sdcpp/v1/who", headers={"X-Api-Key": KEY})
        assert got.status_code == 429
        assert int(got.headers["retry-after"]) > 50
        assert (await http.get("/health", headers={"X-Api-Key": "w" * 16})).status_code == 200

    calls(steps, keys=KEY, monkeypatch=monkeypatch)


def test_the_page_s_session(monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(http: httpx.AsyncClient) -> None:
        assert (await http.post("/ui/login", json={"key": "w" * 16})).status_code == 401
        assert (await http.post("/ui/login", json={})).status_code == 400
        much = {"key": "w" * 70_000}
        assert (await http.post("/ui/login", json=much)).status_code == 413
        own = {"Origin": "http://127.0.0.1:7860"}
        for how in ({"json": {"key": f" {KEY} "}}, {"data": {"key": KEY}}):
            got = await http.post("/ui/login", headers=own, **how)
            assert got.json() == {"owner": "rose", "is_admin": False}
        cookie = got.headers["set-cookie"]
        assert "HttpOnly; SameSite=Strict" in cookie
        assert "Secure" not in cookie
        assert (await http.get("/sdcpp/v1/who")).json()["owner"] == "rose"
        # A change needs our own page.
        assert (await http.post("/sdcpp/v1/body", json={})).status_code == 403
        assert (await http.post("/sdcpp/v1/body", json={}, headers=own)).status_code == 200
        got = await http.post("/ui/logout", headers=own)
        assert "Max-Age=0" in got.headers["set-cookie"]
        http.cookies.clear()
        assert (await http.get("/sdcpp/v1/who")).status_code == 401

    calls(steps, keys=f"rose {KEY}", monkeypatch=monkeypatch)


def test_a_link_logs_in_once(monkeypatch: pytest.MonkeyPatch) -> None:
    service = service_of(root_path="/pulid")
    monkeypatch.setattr(app_module, "_routers", lambda service: [endpoints(service)])
    access = access_of(service.settings, {"PULID_SDCPP_API_KEY": KEY})
    made = app_module.create_app(service, access)

    async def run() -> None:
        transport = httpx.ASGITransport(app=made)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            link = made.state.auth.new_link(time.monotonic())
            got = await http.get(f"/ui/login?link={link}")
            assert (got.status_code, got.headers["location"]) == (303, "/pulid/")
            assert "Path=/pulid;" in got.headers["set-cookie"]
            assert (await http.get(f"/ui/login?link={link}")).status_code == 404
            made.state.login_page = lambda request, problem: StreamingResponse([problem.encode()])
            assert "was used" in (await http.get(f"/ui/login?link={link}")).text

    asyncio.run(run())


def test_a_proxy_s_prefix_may_be_there_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(http: httpx.AsyncClient) -> None:
        for path in ("/sdcpp/v1/who", "/pre/fix/sdcpp/v1/who"):
            assert (await http.get(path)).json()["base"] == "http://127.0.0.1:7860/pre/fix"
        got = await http.get("/pre/fix/sdapi/v1/nothing")
        assert (got.status_code, got.json()["errors"]) == (404, "not_found")
        assert (await http.get("/pre/fixsdcpp/v1/who")).status_code == 404

    calls(steps, monkeypatch=monkeypatch, root_path="/pre/fix")


def test_a_signed_address_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(http: httpx.AsyncClient) -> None:
        query = picture_query(SECRET, "job_1-0", time.time())
        assert (await http.get(f"{PICTURE}?{query}")).json() == {"sees": None}
        old = picture_query(SECRET, "job_1-0", time.time() - 4000)
        for path in (
            f"{PICTURE}?{old}", f"{PICTURE[:-1]}1?{query}", f"{PICTURE}/x?{query}", PICTURE,
            f"/sdcpp/v1/who?{query}",
        ):  # fmt: skip
            assert (await http.get(path)).status_code == 401
        assert (await http.delete(f"{PICTURE}?{query}")).status_code == 401

    calls(steps, keys=KEY, monkeypatch=monkeypatch)


def test_errors_are_in_the_family_s_shape(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def steps(http: httpx.AsyncClient) -> None:
        got = await http.get("/v1/raise/face")
        assert got.status_code == 400
        assert got.json()["error"]["code"] == "no_face"
        got = await http.get("/sdapi/raise/generation")
        assert (got.status_code, got.headers["x-should-retry"]) == (500, "false")
        assert got.json() == {
            "error": "server_error", "detail": "it failed", "body": "",
            "errors": "generation_failed",
        }  # fmt: skip
        got = await http.get("/sdcpp/raise/api")
        assert (got.status_code, got.headers["retry-after"]) == (429, "7")
        assert got.json()["error"] == "queue full"
        got = await http.get("/pulid/raise/defect")
        assert (got.status_code, got.json()["error"]["code"]) == (500, "defect")
        got = await http.get("/pulid/v1/jobs/1?limit=many")
        assert (got.status_code, got.json()["error"]["param"]) == (400, "limit")
        got = await http.post("/sdcpp/v1/who")
        assert (got.status_code, got.json()["code"]) == (405, "method_not_allowed")
        assert got.headers["allow"] == "GET"
        for path in ("/v1/nothing", "/nothing"):
            got = await http.get(path)
            assert (got.status_code, got.json()["error"]["code"]) == (404, "not_found")
            assert "/sdapi/v1" in got.json()["error"]["message"]

    calls(steps, monkeypatch=monkeypatch)
    assert "prompt" not in caplog.text
    assert "KeyError" in caplog.text


def test_an_answer_that_fails_half_way_is_not_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(http: httpx.AsyncClient) -> None:
        await http.get("/pulid/v1/broken")

    service = service_of()
    monkeypatch.setattr(app_module, "_routers", lambda service: [endpoints(service)])
    made = app_module.create_app(service, access_of(service.settings, {}))

    async def run() -> None:
        transport = httpx.ASGITransport(app=made)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            with pytest.raises(KeyError):
                await steps(http)

    asyncio.run(run())


def test_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(http: httpx.AsyncClient) -> None:
        assert (await http.post("/sdcpp/v1/body")).status_code == 200
        got = await http.post("/sdcpp/v1/body", json={"a": 1})
        assert got.json()["a"] == 1
        assert len(got.json()["sha256"]) == 64
        plain = {"Content-Type": "text/plain"}
        got = await http.post("/sdcpp/v1/body", content=b"{}", headers=plain)
        assert (got.status_code, got.json()["code"]) == (415, "wrong_type")
        assert (await http.post("/sdapi/v1/body", content=b"{}", headers=plain)).status_code == 200
        got = await http.post("/v1/images/generations", content=b"[")
        assert got.status_code == 415
        got = await http.post(
            "/sdcpp/v1/body",
            data={"people": '[{"photo": "file:face"}]', "seed": "7"},
            files={"face": ("a.png", b"123"), "init_image": ("b.png", b"4")},
        )
        found = got.json()
        assert found["people"] == [{"photo": "file:face"}]
        assert (found["seed"], found["init_image"], "face" in found) == ("7", "1 B", False)
        got = await http.post("/sdcpp/v1/body", data={"people": "[{"}, files={"x": ("x", b"1")})
        assert (got.status_code, got.json()["param"]) == (400, "people")
        got = await http.post("/sdcpp/v1/body", files={"people": ("x", b"1")})
        assert (got.status_code, got.json()["code"]) == (400, "invalid_value")

    calls(steps, monkeypatch=monkeypatch)


@pytest.mark.parametrize("is_announced", [True, False])
@pytest.mark.parametrize(("extra", "status"), [(0, 200), (1, 413)])
def test_a_body_s_bytes_are_counted(
    is_announced: bool, extra: int, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"{}" + b" " * ((1 << 20) - 2 + extra)

    async def pieces() -> Any:
        for start in range(0, len(content), 1 << 16):
            yield content[start : start + (1 << 16)]

    async def steps(http: httpx.AsyncClient) -> None:
        body: Any = content if is_announced else pieces()
        got = await http.post("/sdapi/v1/body", content=body)
        assert got.status_code == status

    calls(steps, monkeypatch=monkeypatch)


def test_a_line_for_each_request_without_secrets(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pulid_sdcpp.server.requests")
    job = "job_01kb0000000000000000000000"

    async def steps(http: httpx.AsyncClient) -> None:
        await http.get(f"/pulid/v1/jobs/{job}?limit=3&secret=yes", headers={"X-Api-Key": KEY})
        await http.get("/sdcpp/v1/who", headers={"X-Api-Key": "w" * 16})
        await http.get("/etc/passwd", headers={"X-Api-Key": KEY})

    calls(steps, keys=f"rose {KEY}", monkeypatch=monkeypatch)
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].startswith("GET /pulid/v1/jobs/{job_id} 200 ")
    assert "owner=rose" in lines[0]
    assert lines[1].startswith("GET (other) 401 ")
    assert "owner" not in lines[1]
    assert lines[2].startswith("GET (other) 404 ")
    for secret in (KEY, "w" * 16, "yes", "passwd"):
        assert secret not in caplog.text


def test_metrics_and_the_index(monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(http: httpx.AsyncClient) -> None:
        await http.get("/sdcpp/v1/who")
        await http.get("/nothing")
        await http.request("BREW", "/nothing")
        text = made_text(await http.get("/metrics"))
        labels = 'family="sdcpp",method="GET",route="/sdcpp/v1/who",status="200"'
        assert f"pulid_http_requests_total{{{labels}}} 1.0" in text
        assert 'pulid_rejected_total{code="not_found"} 2.0' in text
        assert "BREW" not in text
        for name in ("pulid_identities 2.0", "pulid_queue_jobs 0.0", "pulid_gallery_bytes 0.0"):
            assert name in text
        assert "pulid_disk_free_bytes " in text
        got = (await http.get("/")).json()
        assert "http://127.0.0.1:7860/v1" in got["api"]
        assert (await http.get("/ready")).json() == {"status": "ready"}

    def made_text(got: httpx.Response) -> str:
        assert got.headers["content-type"].startswith("text/plain; version=0.0.4")
        return got.text

    calls(steps, monkeypatch=monkeypatch)


def test_nothing_speaks_websocket() -> None:
    said: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        said.append(message["type"])

    async def run() -> None:
        service = service_of()
        door = Door(
            None,  # type: ignore[arg-type]
            service=service, access=access_of(service.settings, {}), auth=None, count=None,
            closing=asyncio.Event(),  # type: ignore[arg-type]
        )  # fmt: skip
        await door({"type": "websocket"}, receive, send)

    asyncio.run(run())
    assert said == ["websocket.close"]


@pytest.mark.parametrize(("kind", "is_whole"), [("event-stream", True), ("plain", False)])
def test_streams_end_with_the_server_and_other_answers_stay_half(
    kind: str, is_whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = service_of()
    monkeypatch.setattr(app_module, "_routers", lambda service: [endpoints(service)])
    made = app_module.create_app(service, access_of(service.settings, {}))
    sent: list[Any] = []
    asked = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        return asked.pop() if asked else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)
        if len(sent) == 3:
            made.state.closing.set()

    async def run() -> None:
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1", "method": "GET", "scheme": "http",
            "path": f"/pulid/v1/stream/{kind}", "query_string": b"",
            "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1),
        }  # fmt: skip
        await asyncio.wait_for(made(scope, receive, send), 5)

    asyncio.run(run())
    assert sent[1]["body"] == b": still here\n\n"
    assert (not sent[-1].get("more_body", False)) is is_whole
