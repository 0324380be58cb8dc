"""Every route without a key, with a wrong one, and with somebody else's; the table is made of the
application's own routes, so that a new one is in it."""

from __future__ import annotations

import asyncio
import base64
import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from pulid_sdcpp import Identity
from pulid_sdcpp.identity.identity_file import identity_bytes
from pulid_sdcpp.server.calls.error_answers import family_of_path
from served import run_served

ROSE, TOM, ANN = "r" * 20, "t" * 20, "a" * 20
OPEN = {"/openapi.json", "/health", "/docs", "/docs/start.js", "/docs/{name}", "/ui/login"}
# What somebody else may see, too, and what only an administrator does.
OF_NOBODY = {"/v1/models/{name:path}"}
OF_ADMINS = {
    "POST /sdapi/v1/unload-checkpoint", "POST /sdapi/v1/reload-checkpoint",
    "POST /pulid/v1/presets/{name}/pull", "POST /pulid/v1/presets/{name}/verify",
    "POST /pulid/v1/presets/{name}/load", "POST /pulid/v1/unload",
    "DELETE /pulid/v1/presets/{name}", "POST /pulid/v1/queue/pause",
    "POST /pulid/v1/queue/resume",
}  # fmt: skip
CHANGES = {"jobs": {"position": 1}, "pictures": {"favourite": True}, "identities": {"name": "Mine"}}


def routes_of(routes: Any) -> Iterator[tuple[str, str]]:
    """Methods and paths; FastAPI keeps a router that was included as it is, since 0.13x."""
    for route in routes:
        if hasattr(route, "original_router"):
            yield from routes_of(route.original_router.routes)
        else:
            for method in sorted(getattr(route, "methods", None) or ()):
                if method != "HEAD":
                    yield method, route.path


def test_every_route_knows_who_asks(
    tmp_path: Path, make_identity: Callable[[int], Identity]
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"rose {ROSE}\ntom {TOM}\nann! {ANN}\n")
    keys.chmod(0o600)
    addresses = (f"10.0.{n // 250}.{n % 250}" for n in itertools.count())
    tried = 0

    async def test(client: Any, service: Any) -> None:
        app = client._transport.app

        async def call(method: str, path: str, key: str, json: Any = None) -> httpx.Response:
            nonlocal tried
            tried += 1
            # Each from elsewhere: wrong keys are counted by address.
            transport = httpx.ASGITransport(app=app, client=(next(addresses), 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
                headers = {"X-Api-Key": key} if key else {}
                change = CHANGES[path.split("/")[3]] if method == "PATCH" else {}
                body = None if method == "GET" else change if json is None else json
                asked = http.request(method, path, headers=headers, json=body)
                return await asyncio.wait_for(asked, 20)

        made = await call("POST", "/sdcpp/v1/img_gen", ROSE, {"prompt": "plain", "title": "Rose's"})
        job = made.json()["id"]
        await service.finished(job)
        embedding = base64.b64encode(identity_bytes(make_identity(1), "f32")).decode()
        kept = await call(
            "POST", "/pulid/v1/identities", ROSE, {"embedding": embedding, "name": "Rosalind"}
        )
        person = kept.json()["id"]
        parts = {
            "job_id": job, "picture": f"{job}-0", "picture_id": f"{job}-0", "grid": job,
            "identity_id": person, "name": "pocket", "name:path": "pocket",
        }  # fmt: skip

        routes = sorted(set(routes_of(app.routes)))
        assert len(routes) > 70
        for method, template in routes:
            path = template
            for name, value in parts.items():
                path = path.replace(f"{{{name}}}", value)
            where = f"{method} {template}"
            assert "{" not in path, f"{where}: name its part in this test"
            if template in OPEN:
                assert (await call(method, path, "")).status_code not in (401, 403), where
                continue
            for key in ("", "w" * 20, ROSE[:-1]):
                got = await call(method, path, key)
                assert got.status_code == 401, where
                basic = family_of_path(path) == "sdapi"
                assert got.headers["www-authenticate"].startswith("Basic" if basic else "Bearer")
                assert "Rose" not in got.text
            if template.endswith("/events") and "{" not in template:
                continue  # it does not end
            got = await call(method, path, TOM)
            if where in OF_ADMINS:
                assert got.status_code == 403, where
            elif "{" in template and template not in OF_NOBODY:
                assert got.status_code == 404, where
            assert got.status_code not in (401, 500), where
            for secret in {job, person, "Rosalind", "Rose's"} - set(re.split("[/-]", path)):
                assert secret not in got.text, where

        # What a body names is the caller's own, too.
        for body in ({"identity": "Rosalind"}, {"identity": person}, {"people": [{"id": person}]}):
            got = await call("POST", "/sdcpp/v1/img_gen", TOM, {"prompt": "x", **body})
            assert (got.status_code, got.json()["code"]) == (404, "identity_not_found")
        got = await call("POST", "/sdapi/v1/options", TOM, {"sd_model_checkpoint": "pocket"})
        assert got.status_code in (200, 403)

        # All of it is still there, for Rose and for an administrator.
        for key in (ROSE, ANN):
            assert (await call("GET", f"/sdcpp/v1/jobs/{job}", key)).status_code == 200
            assert (await call("GET", f"/pulid/v1/pictures/{job}-0", key)).status_code == 200
        found = await call("GET", f"/pulid/v1/identities/{person}", ROSE)
        assert found.json()["name"] == "Rosalind"
        print(f"{len(routes)} routes, {tried} requests")

    run_served(tmp_path, test, api_key_file=keys)
