"""What A1111's clients ask for as they start, replayed; settings and models."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from client_bodies import SDAPI_TXT2IMG
from pulid_sdcpp.options.sampling_names import SAMPLING_METHODS
from served import run_served

# Each client's requests before its first picture, in order; "" is a POST's empty body.
STARTS: dict[str, list[tuple[str, Any]]] = {
    "open-webui": [
        ("GET /sdapi/v1/options", None),
        ("GET /sdapi/v1/sd-models", None),
        ("POST /sdapi/v1/options", "options"),
    ],
    "sillytavern": [
        ("GET /sdapi/v1/options", None),
        *(
            (f"GET /sdapi/v1/{name}", None)
            for name in (
                "upscalers",
                "latent-upscale-modes",
                "sd-vae",
                "sd-modules",
                "samplers",
                "schedulers",
                "sd-models",
            )
        ),
        ("POST /sdapi/v1/options", {"sd_model_checkpoint": "pocket"}),
        ("GET /sdapi/v1/progress", None),
        ("POST /sdapi/v1/interrupt", ""),
    ],
    "sd.next": [
        ("GET /sdapi/v1/options", None),
        ("POST /sdapi/v1/checkpoint?sd_model_checkpoint=pocket", ""),
    ],
    "stable-ui": [
        ("GET /internal/ping", None),
        ("GET /internal/sysinfo", None),
        ("GET /app_id", None),
        ("GET /queue/status", None),
        ("GET /sdapi/v1/memory", None),
        ("GET /sdapi/v1/loras", None),
        ("POST /sdapi/v1/refresh-loras", ""),
        ("GET /sdapi/v1/progress?skip_current_image=true", None),
        ("GET /sdapi/v1/progress?skip_current_image=false", None),
    ],
    "webuiapi": [
        *(
            (f"GET /sdapi/v1/{name}", None)
            for name in (
                "scripts",
                "script-info",
                "cmd-flags",
                "hypernetworks",
                "face-restorers",
                "realesrgan-models",
                "prompt-styles",
                "embeddings",
                "extensions",
            )
        ),
        ("POST /sdapi/v1/refresh-checkpoints", ""),
        ("POST /sdapi/v1/refresh-vae", ""),
        ("POST /sdapi/v1/reload-checkpoint", ""),
        ("POST /sdapi/v1/unload-checkpoint", ""),
    ],
}


def test_every_client_gets_through_its_start(tmp_path: Path) -> None:
    async def test(client: Any, service: Any) -> None:
        for requests in STARTS.values():
            options = (await client.get("/sdapi/v1/options")).json()
            for what, body in requests:
                method, path = what.split(" ")
                if body == "options":
                    body = options
                how = {"content": b""} if body in (None, "") else {"json": body}
                response = await client.request(method, path, **how)
                assert response.status_code == 200, (what, response.text)
                assert str(tmp_path) not in response.text
                assert os.path.expanduser("~") not in response.text

    run_served(tmp_path, test)


@pytest.mark.parametrize("client", [name for name in SDAPI_TXT2IMG if name != "webuiapi"])
def test_every_client_gets_its_pictures(tmp_path: Path, client: str) -> None:
    body = SDAPI_TXT2IMG[client]

    async def test(http: Any, service: Any) -> None:
        service.models.settings = lambda: {"pocket": {}, "flux-schnell": {"steps": 4}}
        response = await http.post("/sdapi/v1/txt2img", json=body)
        answer = response.json()
        assert response.status_code == 200, answer
        info = json.loads(answer["info"])
        assert len(answer["images"]) == body.get("batch_size", 1)
        asked = body.get("override_settings", {}).get("sd_model_checkpoint", "pocket")
        assert (info["sd_model_name"], info["width"]) == (asked, 512)

    run_served(tmp_path, test)


def test_what_the_lists_have(tmp_path: Path) -> None:
    async def test(client: Any, service: Any) -> None:
        async def get(name: str) -> Any:
            return (await client.get(f"/sdapi/v1/{name}")).json()

        model, other = await get("sd-models")
        assert other["title"] == "pocket-sdxl"
        options = await get("options")
        assert options["sd_model_checkpoint"] == model["title"] == "pocket"
        assert {"name", "aliases", "options"} == set((await get("samplers"))[0])
        assert len(await get("samplers")) == len(SAMPLING_METHODS)
        assert (await get("schedulers"))[0]["label"] == "Automatic"
        assert "Latent" in [one["name"] for one in await get("latent-upscale-modes")]
        assert [one["name"] for one in await get("upscalers")] == ["None", "Lanczos", "Nearest"]
        assert (await get("memory"))["ram"]["total"] > 0
        assert (await get("sd-vae"))[0]["filename"]

    run_served(tmp_path, test)


def test_loras_and_upscalers_of_the_servers_folders(tmp_path: Path) -> None:
    (tmp_path / "loras" / "style").mkdir(parents=True)
    (tmp_path / "loras" / "style" / "oil.safetensors").touch()
    (tmp_path / "esrgan").mkdir()
    (tmp_path / "esrgan" / "4x.pth").touch()

    async def test(client: Any, service: Any) -> None:
        service.models._context |= {
            "lora_model_dir": str(tmp_path / "loras"),
            "hires_upscalers_dir": str(tmp_path / "esrgan"),
        }
        (lora,) = (await client.get("/sdapi/v1/loras")).json()
        assert lora["name"] == lora["path"] == "style/oil"
        upscalers = (await client.get("/sdapi/v1/upscalers")).json()
        assert upscalers[-1]["name"] == "4x"

    run_served(tmp_path, test)


KEYS = "rose 3fJk9sLq0Zx7Yw2V\ntom! bN8vC1mK6tR4pQ0s\n"


def test_only_administrators_choose_the_model_of_all(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(KEYS)
    file.chmod(0o600)
    rose, tom = ("any", "3fJk9sLq0Zx7Yw2V"), ("any", "bN8vC1mK6tR4pQ0s")

    async def test(client: Any, service: Any) -> None:
        path = "/sdapi/v1/options"
        refused = await client.get(path)
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"].startswith("Basic")
        options = (await client.get(path, auth=rose)).json()
        service.models.settings = lambda: {"pocket": {}, "flux-dev": {}}

        async def choose(name: str, auth: Any) -> Any:
            return await client.post(path, json={"sd_model_checkpoint": name}, auth=auth)

        assert (await client.post(path, json=options, auth=rose)).json() is None
        assert (await choose("pocket [0123456789]", rose)).status_code == 200
        assert (await choose("flux-dev", rose)).status_code == 403
        assert service.models.default == "pocket"
        assert (await choose("flux-dev [0123456789]", tom)).status_code == 200
        assert service.models.default == "flux-dev"
        assert (await choose("sdxl", tom)).status_code == 404
        for name in ("unload-checkpoint", "reload-checkpoint"):
            assert (await client.post(f"/sdapi/v1/{name}", auth=rose)).status_code == 403

    run_served(tmp_path / "data", test, api_key_file=file)


def test_progress_and_interrupt_are_of_ones_own_jobs(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(KEYS)
    file.chmod(0o600)
    rose, tom = ("any", "3fJk9sLq0Zx7Yw2V"), ("any", "bN8vC1mK6tR4pQ0s")

    async def test(client: Any, service: Any) -> None:
        body = {"prompt": "slow", "steps": 30}
        made = asyncio.create_task(client.post("/sdapi/v1/txt2img", json=body, auth=rose))
        while not service.queue.running():
            await asyncio.sleep(0.01)
        seen = (await client.get("/sdapi/v1/progress", auth=tom)).json()
        assert seen["state"]["job_count"] == 0  # an administrator's own, too
        seen = (await client.get("/sdapi/v1/progress", auth=rose)).json()
        assert seen["state"]["job_count"] == 1
        await client.post("/sdapi/v1/interrupt", auth=tom)
        answer = (await made).json()
        assert len(answer["images"]) == 1
        assert not json.loads(answer["info"])["interrupted"]

    run_served(tmp_path / "data", test, api_key_file=file)


def test_switches_in_a_query(tmp_path: Path) -> None:
    async def test(client: Any, service: Any) -> None:
        for value, status in {"true": 200, "False": 200, "1": 200, "perhaps": 400}.items():
            response = await client.get(f"/sdapi/v1/progress?skip_current_image={value}")
            assert response.status_code == status
        assert response.json()["errors"] == "invalid_value"

    run_served(tmp_path, test)
