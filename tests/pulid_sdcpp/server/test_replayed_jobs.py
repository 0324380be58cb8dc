"""What sdcpp-webui, mold, fal and Replicate send for jobs, sent to the real server.

The bodies have every field of theirs (`tests/client_bodies.py`); pictures are the pocket model's,
and so are the model's name, the size and the number of steps.
"""

from __future__ import annotations

import base64
import io
import os
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from client_bodies import IMG_GEN
from pulid_sdcpp.pocket.pack import pocket_files

from .running import RunningServer

pytestmark = [pytest.mark.engine, pytest.mark.extract, pytest.mark.server]
SIDE_PX = 128
STEPS = 6  # Replicate begins with the fifth
MAX_POLL_S = 0.005
WAIT_S = 300.0
SIZES = {"width": SIDE_PX, "height": SIDE_PX, "steps": STEPS, "num_steps": STEPS,
         "num_inference_steps": STEPS, "sample_steps": STEPS, "model": "pocket"}  # fmt: skip
CODES = {"sdcpp-webui": set(), "mold": set(), "fal": set(), "replicate": set()}


@pytest.fixture(scope="module")
def photo() -> str:
    return base64.b64encode(pocket_files().portraits[0].read_bytes()).decode("ascii")


def small(body: Any, photo: str) -> Any:
    """The body for the pocket model, with real photos."""
    if isinstance(body, dict):
        return {
            name: SIZES[name] if name in SIZES else small(value, photo)
            for name, value in body.items()
            if name != "lora"
        }
    if isinstance(body, list):
        return [small(value, photo) for value in body]
    # Of what the drafts have in the place of pictures; two alike are one person.
    return (
        {"p": photo, "q": photo, "data:image/png;base64,p": f"data:image/png;base64,{photo}"}.get(
            body, body
        )
        if isinstance(body, str)
        else body
    )


def ended(client: httpx.Client, job: str) -> dict[str, Any]:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        state = client.get(f"/sdcpp/v1/jobs/{job}").json()
        if state["status"] in ("completed", "failed", "cancelled"):
            return dict(state)
        time.sleep(0.1)  # as sdcpp-webui does
    raise AssertionError("the job does not end")


@pytest.mark.parametrize("name", IMG_GEN)
def test_a_client_gets_its_picture(server: RunningServer, name: str, photo: str) -> None:
    with server.client() as client:
        capabilities = client.get("/sdcpp/v1/capabilities").json()
        assert capabilities["features"]["cancel_generating"] is True
        answer = client.post("/sdcpp/v1/img_gen", json=small(IMG_GEN[name], photo))
        assert answer.status_code == 202, answer.text
        job = answer.json()
        assert job["status"] == "queued"
        assert {one["code"] for one in job["warnings"]} == CODES[name], job["warnings"]
        state = ended(client, job["id"])
        assert state["status"] == "completed", state["error"]
        (image,) = state["result"]["images"]
        kind = "WEBP" if IMG_GEN[name].get("output_format") == "webp" else "PNG"
        with Image.open(io.BytesIO(base64.b64decode(image["b64_json"]))) as picture:
            assert (picture.format, picture.size) == (kind, (SIDE_PX, SIDE_PX))


def test_the_page_of_sd_server_sees_previews_and_cancels(server: RunningServer) -> None:
    body = small(IMG_GEN["sdcpp-webui"], "")
    body["sample_params"]["sample_steps"] = 50
    with server.client() as client:
        for content in ({"json": {}}, {}):
            job = client.post("/sdcpp/v1/img_gen", json=body).json()["id"]
            preview = None
            while preview is None:
                state = client.get(f"/sdcpp/v1/jobs/{job}").json()
                assert state["status"] in ("queued", "generating"), state
                preview = state["preview"]
                time.sleep(0.1)
            with Image.open(io.BytesIO(base64.b64decode(preview["b64_json"]))) as shown:
                assert shown.format == "PNG"
            assert 1 <= preview["step"] <= preview["total_steps"] == 50
            answer = client.post(f"/sdcpp/v1/jobs/{job}/cancel", **content)
            assert answer.status_code == 200, answer.text
            assert ended(client, job)["status"] == "cancelled"


def test_its_page_reads_why_a_request_is_wrong(server: RunningServer) -> None:
    with server.client() as client:
        body = {**small(IMG_GEN["sdcpp-webui"], ""), "prompt": ""}
        answer = client.post("/sdcpp/v1/img_gen", json=body)
        assert answer.status_code == 400
        assert isinstance(answer.json()["error"], str)
        assert "prompt" in answer.json()["message"]
        failed = client.post(
            "/sdcpp/v1/img_gen", json={"prompt": "a", "photo": grey_picture(), "steps": 1}
        ).json()["id"]
        error = ended(client, failed)["error"]
        assert error["code"] == "no_face"
        assert "face" in error["message"]


def grey_picture() -> str:
    made = io.BytesIO()
    Image.new("RGB", (256, 256), "grey").save(made, "PNG")
    return base64.b64encode(made.getvalue()).decode("ascii")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="the time is in /proc")
def test_a_poll_costs_the_server_little(server: RunningServer) -> None:
    """sdcpp-webui asks ten times a second, of every open page."""
    count = 200
    with server.client() as client:
        body = {"prompt": "a", "steps": 150, "preview": "proj"}
        job = client.post("/sdcpp/v1/img_gen", json=body).json()["id"]
        used = cpu_s(server.process.pid)
        for _ in range(count):
            assert client.get(f"/sdcpp/v1/jobs/{job}").status_code == 200
        each_s = (cpu_s(server.process.pid) - used) / count
        client.post(f"/sdcpp/v1/jobs/{job}/cancel")
    print(f"a poll of a running job takes the server {1e3 * each_s:.2f} ms of processor time")
    assert each_s < MAX_POLL_S


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
