"""OpenAI's own Python package with the real server and the pocket model."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Iterator

import httpx
import openai
import pytest
from PIL import Image

from pulid_sdcpp.pocket.pack import pocket_files

from .running import RunningServer

pytestmark = [pytest.mark.engine, pytest.mark.extract]

PROMPT = "portrait of a person, happy, on a red background, blue shirt, color photo"
LONG = {"steps": 150}
WAIT_S = 60.0


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="none", base_url=f"{server.url}/v1", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def photos() -> list[bytes]:
    return [path.read_bytes() for path in pocket_files().portraits[:2]]


def opened(b64_json: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(b64_json)))


def newest_job(server: RunningServer) -> dict:
    return httpx.get(f"{server.url}/sdcpp/v1/jobs", params={"limit": 1}).json()["jobs"][0]


def wait_for(server: RunningServer, status: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while (found := newest_job(server))["status"] != status:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


def test_photos_become_a_picture_of_their_person(
    client: openai.OpenAI, photos: list[bytes]
) -> None:
    answer = client.images.edit(image=photos, prompt=PROMPT, input_fidelity="low")
    (person,) = answer.pulid["people"]
    text = opened(answer.data[0].b64_json).info["parameters"]
    assert f"PuLID identity: {person['id']}" in text
    assert "PuLID weight: 0.8" in text


def test_without_a_face_the_error_says_what_else_the_picture_may_be(client: openai.OpenAI) -> None:
    plain = io.BytesIO()
    Image.new("RGB", (128, 128), "blue").save(plain, "PNG")
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.edit(image=plain.getvalue(), prompt=PROMPT)
    assert (caught.value.code, caught.value.param) == ("no_face", "image")
    assert caught.value.body["message"].startswith("image: no face found")
    assert "image_role" in caught.value.body["message"]


def test_unfinished_pictures_come_while_it_is_made(client: openai.OpenAI) -> None:
    times_s: list[float] = []
    indexes = []
    with client.images.generate(
        prompt=PROMPT, stream=True, partial_images=3, extra_body={"steps": 24}
    ) as events:
        for event in events:
            times_s.append(time.monotonic())
            assert opened(event.b64_json).size == (128, 128)
            indexes.append(getattr(event, "partial_image_index", "completed"))
    assert indexes == [*range(len(indexes) - 1), "completed"]
    assert len(indexes) >= 2
    assert times_s[-1] - times_s[0] > 0.1


def test_whoever_leaves_cancels_the_picture(client: openai.OpenAI, server: RunningServer) -> None:
    with pytest.raises(openai.APITimeoutError):
        client.images.generate(prompt=PROMPT, extra_body=LONG, timeout=0.5)
    wait_for(server, "cancelled")
    with client.images.generate(
        prompt=PROMPT, stream=True, partial_images=3, extra_body=LONG
    ) as events:
        next(iter(events))
    wait_for(server, "cancelled")
