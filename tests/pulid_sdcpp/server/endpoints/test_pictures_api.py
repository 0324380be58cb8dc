"""/pulid/v1/pictures: the list, files and their marks, thumbnails, changes; who may see them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pulid_sdcpp.pictures.png_text import parse_text, read_picture_text
from pulid_sdcpp.server.calls.delivered import signed_url
from pulid_sdcpp.server.service.service import PictureService
from served import run_served

from ..submitting import made, submitted

PICTURES = "/pulid/v1/pictures"
KEYS = "admin! " + "a" * 20 + "\nrose " + "r" * 20 + "\neve " + "e" * 20 + "\n"
ROSE, EVE, ADMIN = ({"X-Api-Key": letter * 20} for letter in "rea")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    file = tmp_path / "keys"
    file.write_text(KEYS)
    file.chmod(0o600)
    return file


def test_a_page_of_pictures(tmp_path: Path) -> None:
    async def test(client: Any, service: PictureService) -> None:
        job = await made(service, "a red house", batch_count=2, output_format="webp")
        await made(service, "a blue house")
        first = (await client.get(PICTURES, params={"limit": 2})).json()
        assert [one["prompt"] for one in first["pictures"]] == ["a blue house", "a red house"]
        assert first["next"] == f"{job.id}-1"
        last = (await client.get(PICTURES, params={"before": first["next"]})).json()
        assert last["next"] is None
        (picture,) = last["pictures"]
        assert picture == {
            "id": f"{job.id}-0",
            "job_id": job.id,
            "url": f"http://localhost{PICTURES}/{job.id}-0",
            "thumbnail_url": f"http://localhost{PICTURES}/{job.id}-0/thumbnail",
            "width": picture["width"],
            "height": picture["height"],
            "created": int(job.created),
            "seed": 7,
            "prompt": "a red house",
            "preset": "pocket",
            "people": [],
            "favourite": False,
            "scores": None,
        }
        found = (await client.get(PICTURES, params={"q": "RED 8"})).json()["pictures"]
        assert [one["seed"] for one in found] == [8]

    run_served(tmp_path, test)


def test_a_wrong_query_is_the_client_s(tmp_path: Path) -> None:
    async def test(client: Any, service: PictureService) -> None:
        for query in (
            "limit=0", "limit=201", "limit=x", "before=x", "favourite=perhaps", "q=" + "x" * 1001,
        ):  # fmt: skip
            answer = await client.get(f"{PICTURES}?{query}")
            assert answer.status_code == 400, query
            assert answer.json()["error"]["param"] == query.partition("=")[0]

    run_served(tmp_path, test)


def test_the_file_of_a_picture_in_each_format(tmp_path: Path) -> None:
    async def test(client: Any, service: PictureService) -> None:
        job = await made(service, "a secret house")
        url = f"{PICTURES}/{job.id}-0"
        kept = service.picture(f"{job.id}-0", None)[2].read_bytes()
        png = await client.get(url)
        assert png.content == kept
        assert png.headers["content-type"] == "image/png"
        assert png.headers["cache-control"] == "private, max-age=31536000, immutable"
        assert png.headers["content-disposition"] == f'inline; filename="{job.id}-000.png"'
        marks = {png.headers["etag"]}
        for query, kind in (("jpeg", "JPEG"), ("jpg", "JPEG"), ("webp&quality=30", "WEBP")):
            answer = await client.get(f"{url}?format={query}")
            with Image.open(io.BytesIO(answer.content)) as image:
                assert image.format == kind
            assert parse_text(read_picture_text(answer.content) or "").prompt == "a secret house"
            marks.add(answer.headers["etag"])
        assert len(marks) == 3
        plain = await client.get(f"{url}?metadata=false")
        assert b"secret" not in plain.content
        assert b"secret" in kept
        assert plain.headers["etag"] not in marks
        for known in (png.headers["etag"], f'"x", W/{png.headers["etag"]}', "*"):
            again = await client.get(url, headers={"If-None-Match": known})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["etag"] == png.headers["etag"]
        other = await client.get(
            f"{url}?format=jpeg", headers={"If-None-Match": png.headers["etag"]}
        )
        assert other.status_code == 200
        for query in ("format=gif", "quality=101", "quality=-1", "metadata=x"):
            answer = await client.get(f"{url}?{query}")
            assert answer.status_code == 400, query
        assert (await client.head(url)).content == b""

    run_served(tmp_path, test)


def test_the_format_that_the_request_asked_for(tmp_path: Path) -> None:
    async def test(client: Any, service: PictureService) -> None:
        job = await made(service, output_format="jpeg", output_compression=60)
        answer = await client.get(f"{PICTURES}/{job.id}-0")
        assert answer.headers["content-type"] == "image/jpeg"
        png = await client.get(f"{PICTURES}/{job.id}-0?format=png")
        assert png.headers["content-type"] == "image/png"

    run_served(tmp_path, test)


def test_a_thumbnail(tmp_path: Path) -> None:
    async def test(client: Any, service: PictureService) -> None:
        job = await made(service)
        url = f"{PICTURES}/{job.id}-0/thumbnail"
        answer = await client.get(url)
        assert answer.headers["content-type"] == "image/webp"
        with Image.open(io.BytesIO(answer.content)) as image:
            assert max(image.size) <= 384
        again = await client.get(url, headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304

    run_served(tmp_path, test)


def test_marking_and_removing_is_told_to_who_listens(tmp_path: Path) -> None:
    async def test(client: Any, service: PictureService) -> None:
        job = await made(service, batch_count=2)
        url = f"{PICTURES}/{job.id}-1"
        async with service.hub.subscribe(owner="local") as events:
            marked = await client.patch(url, json={"favourite": True})
            assert marked.json()["favourite"] is True
            assert (await client.delete(url)).status_code == 204
            told = [await events.next(1), await events.next(1)]
        assert [event and (event.name, dict(event.data)) for event in told] == [
            ("gallery", {"picture": f"{job.id}-1", "favourite": True}),
            ("gallery", {"removed": f"{job.id}-1"}),
        ]
        for answer in (
            await client.get(url), await client.get(f"{url}/thumbnail"), await client.delete(url),
            await client.patch(url, json={"favourite": True}), await client.get(f"{PICTURES}/x"),
        ):  # fmt: skip
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
        await client.delete(f"{PICTURES}/{job.id}-0")
        assert service.book.get(job.id) is None
        for body, param in (
            ({"favourite": 1}, "favourite"),
            ({"seed": 1}, "seed"),
            ({}, "favourite"),
        ):
            answer = await client.patch(url, json=body)
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)

    run_served(tmp_path, test)


def test_a_picture_of_a_running_job_stays(tmp_path: Path) -> None:
    async def test(client: Any, service: PictureService) -> None:
        job = await submitted(service, "slow", batch_count=4, steps=50)
        while not (now := service.book.get(job.id)) or not now.pictures:
            await service.hub.subscribe(job=job.id).next(0.02)
        answer = await client.delete(f"{PICTURES}/{job.id}-0")
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_finished")
        await service.cancel(job.id)
        assert (await client.delete(f"{PICTURES}/{job.id}-0")).status_code == 204

    run_served(tmp_path, test)


def test_only_the_owner_an_administrator_and_who_has_a_signed_address_see_a_picture(
    tmp_path: Path, keys: Path
) -> None:
    async def test(client: Any, service: PictureService) -> None:
        job = await made(service, owner="rose")
        name = f"{job.id}-0"
        url = f"{PICTURES}/{name}"
        for method, path, body in (
            ("GET", url, None), ("GET", f"{url}/thumbnail", None), ("DELETE", url, None),
            ("PATCH", url, {"favourite": True}),
        ):  # fmt: skip
            nobody = await client.request(method, path, json=body)
            assert (nobody.status_code, nobody.headers["www-authenticate"]) == (401, "Bearer")
            answer = await client.request(method, path, json=body, headers=EVE)
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
        lists = [
            len((await client.get(PICTURES, headers=who)).json()["pictures"])
            for who in (ROSE, EVE, ADMIN)
        ]
        assert lists == [1, 0, 1]
        for who in (ROSE, ADMIN):
            assert (await client.get(url, headers=who)).status_code == 200
        signed = signed_url(service, "", name)
        assert (await client.get(signed)).status_code == 200
        assert (await client.get(f"{signed}x")).status_code == 401
        assert (await client.delete(signed)).status_code == 401
        assert (await client.get(signed.replace("?", "/thumbnail?"))).status_code == 401

    run_served(tmp_path, test, api_key_file=keys)
