"""A1111's endpoints: pictures, progress, interrupting."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from pathlib import Path
from typing import Any

from PIL import Image

from pulid_sdcpp.identity.identity_file import Identity
from pulid_sdcpp.pictures.png_text import encoded_picture, read_picture_text
from served import run_served

TXT2IMG = "/sdapi/v1/txt2img"
IMG2IMG = "/sdapi/v1/img2img"
PROGRESS = "/sdapi/v1/progress"


def png(width: int = 16, height: int = 16, white_px: int = 16) -> str:
    """A grey picture that is white on the left and black on the right."""
    file = io.BytesIO()
    image = Image.new("L", (width, height))
    image.paste(255, (0, 0, white_px, height))
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


async def running(client: Any, **seen: Any) -> dict[str, Any]:
    """What `progress` says as soon as a step is done."""
    while True:
        answer = (await client.get(PROGRESS)).json()
        if answer["state"]["sampling_step"] and answer["state"]["job_no"] >= seen.get("job_no", 0):
            return dict(answer)
        await asyncio.sleep(0.01)


def test_pictures_with_all_that_is_said_of_them(tmp_path: Path) -> None:
    async def test(client: Any, service: Any) -> None:
        body = {"prompt": "a cat", "seed": 41, "batch_size": 2, "steps": 3, "cfg_scale": 7}
        response = await client.post(TXT2IMG, json=body)
        assert response.status_code == 200
        answer = response.json()
        info = json.loads(answer["info"])
        assert answer["parameters"] == body
        assert (info["all_seeds"], info["steps"], info["cfg_scale"]) == ([41, 42], 3, 1.0)
        assert (info["sd_model_name"], info["interrupted"]) == ("pocket", False)
        assert [one["code"] for one in info["warnings"]] == ["cfg_scale_ignored"]
        assert response.headers["X-Pulid-Warning"] == "cfg_scale_ignored"
        job = service.job(response.headers["X-Pulid-Job"], "local")
        assert (job.client, job.synchronous, job.status) == ("sdapi", True, "completed")
        for index, content in enumerate(map(base64.b64decode, answer["images"])):
            path = service.picture(f"{job.id}-{index}", "local")[2]
            assert content == path.read_bytes()
            assert read_picture_text(content) == info["infotexts"][index]

        told = (await client.post("/sdapi/v1/png-info", json={"image": answer["images"][1]})).json()
        assert told["info"] == info["infotexts"][1]
        assert told["parameters"]["Seed"] == "42"

        body |= {"send_images": False, "batch_size": 1}
        answer = (await client.post(TXT2IMG, json=body)).json()
        assert (answer["images"], len(json.loads(answer["info"])["infotexts"])) == ([], 1)

    run_served(tmp_path, test)


def test_clients_forget_what_type_their_body_has(tmp_path: Path) -> None:
    async def test(client: Any, service: Any) -> None:
        response = await client.post(TXT2IMG, content=b'{"prompt": "a cat"}')
        assert response.status_code == 200

    run_served(tmp_path, test)


ERRORS: list[tuple[str, dict[str, Any], int, str]] = [
    (TXT2IMG, {}, 400, "invalid_value"),
    (TXT2IMG, {"prompt": "x", "steps": 151}, 400, "invalid_value"),
    (TXT2IMG, {"prompt": "x", "override_settings": {"sd_model_checkpoint": "sdxl"}}, 404,
     "model_not_found"),
    (TXT2IMG, {"prompt": "x", "sampler_name": "UniPC"}, 404, "not_found"),  # strict
    (TXT2IMG, {"prompt": "x", "alwayson_scripts": {"pulid": {"args": [{"identity": "eve"}]}}},
     404, "identity_not_found"),
    (TXT2IMG, {"prompt": "x", "id_weight": 1}, 400, "identity_without_person"),
    (IMG2IMG, {"prompt": "x"}, 400, "invalid_value"),
    (IMG2IMG, {"prompt": "x", "init_images": ["?"]}, 400, "bad_base64"),
    (IMG2IMG, {"prompt": "x", "init_images": ["http://a/b.png"]}, 400, "url_not_allowed"),
    ("/sdapi/v1/png-info", {"image": "AAAA"}, 400, "bad_image"),
    ("/sdapi/v1/options", {"sd_model_checkpoint": 5}, 400, "invalid_value"),
    ("/sdapi/v1/options", {"sd_model_checkpoint": "sdxl"}, 404, "model_not_found"),
    ("/sdapi/v1/interrogate", {}, 404, "not_found"),
    ("/sdapi/v1/extra-single-image", {}, 404, "not_found"),
    ("/sdapi/v1/server-kill", {}, 404, "not_found"),
    ("/controlnet/detect", {}, 404, "not_found"),
    ("/sdapi/v1/progress", {}, 405, "method_not_allowed"),
]  # fmt: skip


def test_errors_have_a1111s_shape(tmp_path: Path) -> None:
    async def test(client: Any, service: Any) -> None:
        for path, body, status, code in ERRORS:
            response = await client.post(path, json=body)
            answer = response.json()
            assert (response.status_code, answer["errors"]) == (status, code), (path, body)
            assert set(answer) == {"error", "detail", "body", "errors"}
            assert answer["detail"]
        assert service.book.newest() == []

    run_served(tmp_path, test, strict=True)


def test_progress_and_interrupting(tmp_path: Path) -> None:
    async def test(client: Any, service: Any) -> None:
        idle = (await client.get(PROGRESS)).json()
        assert (idle["progress"], idle["state"]["job_count"]) == (0.0, 0)
        await client.post("/sdapi/v1/interrupt")  # there is nothing to interrupt

        body = {
            "prompt": "slow",
            "steps": 50,
            "batch_size": 3,
            "seed": 5,
            "force_task_id": "task(7)",
        }
        made = asyncio.create_task(client.post(TXT2IMG, json=body))
        seen = await running(client, job_no=1)
        assert 1 / 3 < seen["progress"] < 2 / 3
        assert (seen["current_task"], seen["state"]["job_count"]) == ("task(7)", 3)
        assert seen["state"]["sampling_steps"] == 50
        assert seen["eta_relative"] > 0
        asked = {"id_task": "task(7)", "id_live_preview": -1}
        task = (await client.post("/internal/progress", json=asked)).json()
        assert (task["active"], task["queued"], task["completed"]) == (True, False, False)
        assert task["progress"] >= seen["progress"]
        assert (await client.post("/sdapi/v1/interrupt")).json() == {}
        response = await made
        info = json.loads(response.json()["info"])
        assert response.status_code == 200
        assert (len(response.json()["images"]), info["all_seeds"]) == (1, [5])
        assert info["interrupted"]
        task = (await client.post("/internal/progress", json=asked)).json()
        assert (task["active"], task["completed"], task["progress"]) == (False, True, None)
        after = (await client.get(PROGRESS)).json()
        assert (after["progress"], after["state"]["job_count"]) == (0.0, 0)

    run_served(tmp_path, test)


def test_interrupting_before_there_is_a_picture_and_while_waiting(tmp_path: Path) -> None:
    async def test(client: Any, service: Any) -> None:
        service.queue.pause()
        made = asyncio.create_task(client.post(TXT2IMG, json={"prompt": "x", "seed": 5}))
        while not service.queue.waiting():
            await asyncio.sleep(0.01)
        seen = (await client.get(PROGRESS)).json()
        assert (seen["progress"], seen["textinfo"]) == (0.0, "Waiting: place 1")
        await client.post("/sdapi/v1/interrupt")
        answer = (await made).json()
        assert answer["images"] == []
        assert json.loads(answer["info"])["all_seeds"] == [5]

    run_served(tmp_path, test)


def test_skipping_goes_on_with_the_next_seed(tmp_path: Path) -> None:
    async def test(client: Any, service: Any) -> None:
        body = {"prompt": "slow", "steps": 30, "n_iter": 2, "seed": 5}
        made = asyncio.create_task(client.post(TXT2IMG, json=body))
        await running(client)
        assert (await client.post("/sdapi/v1/skip")).json() == {}
        info = json.loads((await made).json()["info"])
        assert (info["all_seeds"], info["interrupted"]) == ([6], False)

    run_served(tmp_path, test)


def test_a_person_by_our_script_and_a_mask(tmp_path: Path) -> None:
    embedding = base64.b64encode(Identity.from_array([[1.0] * 2048] * 32).to_bytes()).decode()

    async def test(client: Any, service: Any) -> None:
        body = {
            "prompt": "x",
            "init_images": ["data:image/png;base64," + png(32, 32)],
            "mask": png(32, 32),
            "inpainting_mask_invert": 1,
            "mask_blur": 0,
            "denoising_strength": 0.5,
            "alwayson_scripts": {"pulid": {"args": [{"embedding": embedding, "weight": 0.5}]}},
        }
        response = await client.post(IMG2IMG, json=body)
        answer = response.json()
        assert response.status_code == 200, answer
        assert (answer["parameters"]["init_images"], answer["parameters"]["mask"]) == (None, None)
        info = json.loads(answer["info"])
        assert info["denoising_strength"] == 0.5
        (person,) = info["extra_generation_params"]["pulid"]
        assert person["weight"] == 0.5
        job = service.job(response.headers["X-Pulid-Job"], "local")
        name = job.request["mask_image"].removeprefix("sha256:")
        with Image.open(service.book.store.folder(job.id) / f"{name}.png") as mask:
            assert (mask.getpixel((0, 0)), mask.getpixel((31, 0))) == (0, 255)

    run_served(tmp_path, test)


def test_png_info_of_pictures_of_others(tmp_path: Path) -> None:
    text = "a dog\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 3, Size: 64x64"
    foreign = base64.b64encode(encoded_picture(Image.new("RGB", (8, 8)), ".png", text)).decode()

    async def test(client: Any, service: Any) -> None:
        for image, info in ((foreign, text), (png(), ""), ("", ""), (None, "")):
            response = await client.post("/sdapi/v1/png-info", json={"image": image})
            assert (response.status_code, response.json()["info"]) == (200, info)

    run_served(tmp_path, test)


def test_an_answer_that_takes_long_begins_with_spaces(tmp_path: Path) -> None:
    async def test(client: Any, service: Any) -> None:
        body = {"prompt": "slow", "steps": 40, "n_iter": 2, "seed": 5}
        made = asyncio.create_task(client.post(TXT2IMG, json=body))
        await running(client, job_no=1)
        await client.post("/sdapi/v1/interrupt")
        response = await made
        assert response.text.startswith(" ")
        assert json.loads(response.json()["info"])["all_seeds"] == [5]

    run_served(tmp_path, test, sync_keepalive_s=0.2)
