"""Kept people, faces and likeness over HTTP."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pulid_sdcpp.identity.identity_file import Identity
from pulid_sdcpp.identity.kept_people import keep_person, kept_names, kept_person
from pulid_sdcpp.pocket.pack import MANIFEST_NAME, PACK_FOLDER, pocket_files
from pulid_sdcpp.server.calls.identity_view import uses_identity
from pulid_sdcpp.server.jobs.jobs import Job
from pulid_sdcpp.server.library.library_person import IdentityOfPerson, LibraryPerson
from pulid_sdcpp.server.service.service import PictureService
from served import run_served

PEOPLE = "/pulid/v1/identities"
pocket = pytest.mark.skipif(
    not (PACK_FOLDER / MANIFEST_NAME).is_file(), reason="the pocket model is not in this folder"
)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULID_SDCPP_DATA", str(tmp_path / "data"))


def identity_of(number: float) -> Identity:
    return Identity.from_array(np.full((4, 8), number, np.float32))


def embedding(number: float) -> str:
    return base64.b64encode(identity_of(number).to_bytes()).decode()


async def keep(client: Any, status: int = 201, **body: Any) -> dict[str, Any]:
    answer = await client.post(PEOPLE, json=body)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def refused(client: Any, method: str, path: str, body: Any = None, **how: Any) -> Any:
    answer = await client.request(method, path, json=body, **how)
    assert answer.status_code >= 400, answer.text
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["param"]


def test_a_person_of_an_identity_file_from_keeping_to_forgetting(tmp_path: Path) -> None:
    async def test(client: Any, service: PictureService) -> None:
        rose = await keep(client, embedding=embedding(0.5), name="Rose")
        assert rose == await keep(client, 200, embedding=embedding(0.5), name="rose")
        other = await keep(client, 200, embedding=embedding(0.5), name="Bob")
        assert other.pop("warnings") == [
            {
                "code": "kept_already",
                "field": "name",
                "message": "this person is kept already, as 'Rose'",
            }
        ]
        assert other == {name: value for name, value in rose.items() if name != "warnings"}
        assert rose["id"] == identity_of(0.5).short_hash
        assert (rose["name"], rose["photos"], rose["thumbnail_url"]) == ("Rose", [], None)
        assert kept_names() == ("Rose",)
        assert (await client.get(f"{PEOPLE}/{rose['id']}")).json() == rose
        await keep(client, embedding=embedding(0.7))
        listed = (await client.get(PEOPLE, params={"q": "ros"})).json()["identities"]
        assert listed == [rose]
        assert len((await client.get(PEOPLE)).json()["identities"]) == 2
        file = await client.get(f"{PEOPLE}/Rose/file")
        assert Identity.from_bytes(file.content).sha256 == identity_of(0.5).sha256
        assert f"{rose['id']}.pulidembd" in file.headers["content-disposition"]
        tag = {"If-None-Match": file.headers["etag"]}
        assert (await client.get(f"{PEOPLE}/Rose/file", headers=tag)).status_code == 304
        renamed = await client.patch(f"{PEOPLE}/{rose['id']}", json={"name": "Zoë B."})
        assert renamed.json() == {**rose, "name": "Zoë B."}
        assert kept_person("zoë b.").name == "Zoë B."
        assert (await client.delete(f"{PEOPLE}/{rose['id']}")).status_code == 204
        assert (await client.get(f"{PEOPLE}/{rose['id']}")).status_code == 404

    run_served(tmp_path, test)


def test_a_person_of_several_models(tmp_path: Path) -> None:
    both = {
        encoder: Identity.from_array(
            np.full((4, 8), number, np.float32), encoder=encoder, source_sha256="ab" * 32
        )
        for encoder, number in (("sdxl-v1", 0.5), ("flux", 0.7))
    }

    async def test(client: Any, service: PictureService) -> None:
        for identity in both.values():
            content = base64.b64encode(identity.to_bytes()).decode()
            kept = await keep(client, embedding=content, name="Rose")
        said = [(one["encoder"], one["models"], one["id"]) for one in kept["identities"]]
        assert said == [
            ("sdxl-v1", "SDXL v1", both["sdxl-v1"].short_hash),
            ("flux", "Flux", both["flux"].short_hash),
        ]
        for path, encoder in (
            ("Rose/file", "sdxl-v1"),
            ("Rose/file?encoder=flux", "flux"),
            (f"{both['flux'].short_hash}/file", "flux"),
        ):
            file = await client.get(f"{PEOPLE}/{path}")
            assert Identity.from_bytes(file.content).encoder == encoder
        none = await refused(client, "GET", f"{PEOPLE}/Rose/file?encoder=sdxl-v1.1")
        assert none == (404, "not_found", None)
        cases = {"model": 3, "name": "x"}, {"model": "pocket", "name": "x"}
        for case in cases:
            body = {"embedding": embedding(0.9), **case}
            assert await refused(client, "POST", PEOPLE, body) == (400, "invalid_value", "model")

    run_served(tmp_path, test)


def test_what_is_refused(tmp_path: Path) -> None:
    png = io.BytesIO()
    Image.new("RGB", (64, 64)).save(png, "PNG")
    photo = base64.b64encode(png.getvalue()).decode()

    async def test(client: Any, service: PictureService) -> None:
        await keep(client, embedding=embedding(0.5), name="Rose")
        cases: list[tuple[Any, tuple[int, str, str | None]]] = [
            ({}, (400, "invalid_value", "photos")),
            ({"name": "x"}, (400, "invalid_value", "photos")),
            ({"photos": []}, (400, "invalid_value", "photos")),
            ({"photo": "AAAA"}, (400, "bad_image", "photo")),
            ({"photo": "http://x/y.png"}, (400, "url_not_allowed", "photo")),
            ({"photo": "/etc/passwd"}, (400, "bad_base64", "photo")),
            ({"embedding": "AAAA"}, (400, "bad_identity", "embedding")),
            ({"embedding": embedding(0.5), "photo": photo}, (400, "identity_conflict", "photo")),
            ({"embedding": embedding(0.5), "face": 0}, (400, "invalid_value", "face")),
            ({"embedding": embedding(0.7), "name": "ROSE"}, (409, "name_taken", "name")),
            ({"photo": photo, "name": "ROSE"}, (409, "name_taken", "name")),
            ({"photo": photo, "name": "../x"}, (400, "invalid_value", "name")),
            ({"photo": photo, "weight": 1}, (400, "unknown_field", "weight")),
            ({"photo": photo, "identity": "rose"}, (400, "unknown_field", "identity")),
            ({"photo": photo, "fusion": "sum"}, (400, "invalid_value", "fusion")),
            ({"photo": photo, "face": "top"}, (400, "invalid_value", "face")),
            ({"photos": [photo] * 9}, (400, "invalid_value", "photos")),
        ]
        for body, expected in cases:
            assert await refused(client, "POST", PEOPLE, body) == expected, body
        for method, path, body, expected in [
            ("PATCH", "/nobody", {"name": "x"}, (404, "identity_not_found", "identity")),
            ("PATCH", "/rose", {}, (400, "invalid_value", "name")),
            ("PATCH", "/rose", {"name": "x", "id": 1}, (400, "unknown_field", "id")),
            ("DELETE", "/nobody", None, (404, "identity_not_found", "id")),
            ("GET", "/%2e%2e%2fx", None, (404, "not_found", None)),
            ("GET", "/rose/thumbnail", None, (404, "not_found", None)),
        ]:
            assert await refused(client, method, PEOPLE + path, body) == expected, path
        assert await refused(client, "POST", "/pulid/v1/faces", {}) == (
            400,
            "invalid_value",
            "photo",
        )
        assert (await refused(client, "POST", "/pulid/v1/pictures/job_x-0/scores"))[0] == 404
        assert kept_names() == ("Rose",)

    run_served(tmp_path, test)


def test_each_key_has_its_own_people(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("rose! 0123456789abcdef\ntom fedcba9876543210\n")
    keys.chmod(0o600)
    rose, tom = ({"X-Api-Key": key} for key in ("0123456789abcdef", "fedcba9876543210"))

    async def test(client: Any, service: PictureService) -> None:
        keep_person("local person", identity_of(0.3))
        body = {"embedding": embedding(0.5), "name": "Ann"}
        answer = await client.post(PEOPLE, json=body, headers=rose)
        assert answer.status_code == 201
        its_id = answer.json()["id"]
        assert (await client.get(PEOPLE, headers=tom)).json() == {"identities": []}
        for name in (its_id, "Ann"):
            for method, path, change in [
                ("GET", "", None),
                ("GET", "/file", None),
                ("GET", "/thumbnail", None),
                ("PATCH", "", {"name": "x"}),
                ("DELETE", "", None),
            ]:
                place = f"{PEOPLE}/{name}{path}"
                found = await refused(client, method, place, change, headers=tom)
                assert found[:2] == (404, "identity_not_found")
                if name == its_id and method != "DELETE":
                    assert (await client.request(method, place, json=change)).status_code == 401
        assert (await client.get(f"{PEOPLE}/Ann", headers=rose)).status_code == 200
        use = {"prompt": "x", "identity": its_id}
        assert (await client.post("/sdcpp/v1/img_gen", json=use, headers=tom)).status_code == 404
        assert kept_names() == ("local person",)

    run_served(tmp_path, test, api_key_file=keys)


def test_nobody_is_forgotten_whom_a_waiting_job_needs(tmp_path: Path) -> None:
    async def test(client: Any, service: PictureService) -> None:
        rose = await keep(client, embedding=embedding(0.5), name="Rose")
        async with service.hub.subscribe(owner="local") as events:
            slow = {"prompt": "slow", "sample_params": {"sample_steps": 150}}
            first = (await client.post("/sdcpp/v1/img_gen", json=slow)).json()["id"]
            body = {"prompt": "plain", "identity": "rose"}
            second = (await client.post("/sdcpp/v1/img_gen", json=body)).json()["id"]
            place = f"{PEOPLE}/{rose['id']}"
            assert await refused(client, "DELETE", place) == (409, "in_use", "id")
            await service.cancel(second)
            assert (await client.delete(place)).status_code == 204
            await service.cancel(first)
            told = []
            while (event := await events.next(0)) is not None:
                told.append((event.name, event.data.get("id")))
        assert ("identity", rose["id"]) in told

    run_served(tmp_path, test)


@pytest.mark.parametrize(
    ("request_", "needed"),
    [
        ({"people": [{"identity": "{id}"}]}, True),
        ({"request": {"people": [{"identity": "ROSE"}]}}, True),
        ({"request": {"people": [{"photos": []}, {"identity": "{sha}"}]}}, True),
        ({"people": [{"identity": "rosemary"}, {"identity": "{short}"}, 1]}, False),
        ({"people": {"identity": "rose"}}, False),
        ({"people": [{"identity": "ffffffffffffffff"}]}, True),
        ({}, False),
    ],
)
def test_which_jobs_need_a_person(request_: dict[str, Any], needed: bool) -> None:
    identity = identity_of(0.5)
    one = IdentityOfPerson("flux", identity.short_hash, identity.sha256, Path())
    further = IdentityOfPerson("sdxl-v1", "f" * 16, "f" * 64, Path())
    person = LibraryPerson(one.id, "Rose", Path(), one.sha256, identities=(one, further))
    text = json.dumps(request_)
    for name, value in (("id", person.id), ("sha", person.sha256), ("short", person.id[:9])):
        text = text.replace(f"{{{name}}}", value)
    job = Job("job_1", "img_gen", "local", 0.0, 1, json.loads(text))
    assert uses_identity(job, person) is needed


def test_without_the_extra_and_without_the_model_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    png = io.BytesIO()
    Image.new("RGB", (64, 64)).save(png, "PNG")

    async def test(client: Any, service: PictureService) -> None:
        from pulid_sdcpp.errors import MissingDependencyError, ModelFileError

        for error, expected in (
            (MissingDependencyError("needs the extra [extract]"), (501, "extraction_unavailable")),
            (ModelFileError("no detector"), (503, "models_missing")),
        ):

            async def look(*_: Any, error: Exception = error) -> Any:
                raise error

            monkeypatch.setattr(service.looks, "find", look)
            answer = await client.post("/pulid/v1/faces", files={"photo": ("x", png.getvalue())})
            assert (answer.status_code, answer.json()["error"]["code"]) == expected

    run_served(tmp_path, test)


@pocket
@pytest.mark.extract
@pytest.mark.engine
def test_photos_become_a_person_and_a_picture_is_measured(tmp_path: Path) -> None:
    """A photo of two, by box; faces first; likeness above another's; nothing of a photo is left."""
    pytest.importorskip("insightface")
    portraits = pocket_files().portraits
    group = Image.new("RGB", (768, 384))
    for number, path in enumerate(portraits[:2]):
        with Image.open(path) as portrait:
            group.paste(portrait.convert("RGB"), (384 * number, 0))
    content = io.BytesIO()
    group.save(content, "PNG")

    async def test(client: Any, service: PictureService) -> None:
        form = {"photo": ("group.png", content.getvalue())}
        found = (await client.post("/pulid/v1/faces", files=form)).json()
        assert (found["width"], found["height"], len(found["faces"])) == (768, 384, 2)
        preview = await client.post("/pulid/v1/faces?preview=1", files=form)
        assert Image.open(io.BytesIO(preview.content)).size == (768, 384)
        empty = io.BytesIO()
        Image.new("RGB", (64, 64)).save(empty, "PNG")
        nobody = await client.post("/pulid/v1/faces", files={"photo": ("x", empty.getvalue())})
        assert nobody.json() == {"width": 64, "height": 64, "faces": []}

        box = found["faces"][1]["box"]
        body = {"name": "Tom", "face": str(box).replace(" ", "")[1:-1]}
        answer = await client.post(PEOPLE, data=body, files=form)
        assert answer.status_code == 201, answer.text
        tom = answer.json()
        assert tom["photos"][0]["face"]["number"] == 1
        assert tom["photos"][0]["face"]["of"] == 2
        thumbnail = await client.get(tom["thumbnail_url"])
        assert Image.open(io.BytesIO(thumbnail.content)).format == "JPEG"
        assert (await client.post(PEOPLE, data=body, files=form)).status_code == 200
        photos = [base64.b64encode(path.read_bytes()).decode() for path in portraits[2:4]]
        answer = await client.post(
            PEOPLE, json={"photos": photos, "name": "mix"}, headers={"Prefer": "respond-async"}
        )
        assert (answer.status_code, answer.json()["kind"]) == (202, "extract")
        ended = await service.finished(answer.json()["id"])
        mix = (await client.get(f"{PEOPLE}/{ended.result['id']}")).json()
        assert mix["agreement"] < 0.2
        assert {one["code"] for one in mix["warnings"]} >= {"different_people"}
        wrong = await client.post(PEOPLE, files={"photo": ("x", empty.getvalue())})
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, "no_face")
        beyond = await client.post(PEOPLE, data={"face": "7"}, files=form)
        assert beyond.json()["error"]["code"] == "face_not_there"

        # Somebody kept by a command, without reference numbers: only the preview is there.
        keep_person("cli", kept_person("mix").identity, preview=kept_person("mix").preview)
        body = {"prompt": "a face", "identity": "Tom", "seed": 3, "width": 128, "height": 128}
        job = (await client.post("/sdcpp/v1/img_gen", json=body)).json()["id"]
        assert (await service.finished(job)).status == "completed"
        answer = await client.post(f"/pulid/v1/pictures/{job}-0/scores")
        scores = answer.json()
        assert answer.status_code == 200, scores
        (row,) = scores["people"]
        assert (scores["faces"], row["id"]) == (1, tom["id"])
        assert row["similarity"] > 0.4 > row["best_other"]["similarity"]
        assert row["judge"] > 0.3
        assert row["best_other"]["id"] == mix["id"]

        left = [path.name for path in (tmp_path / "server" / "jobs").rglob("*") if path.is_file()]
        assert set(left) == {"000.png", "job.json", f"{tom['id']}.pulidembd"}
        answer = await client.delete(f"{PEOPLE}/{tom['id']}")
        assert answer.status_code == 204
        left = [path.name for path in (tmp_path / "server" / "jobs").rglob("*") if path.is_file()]
        assert set(left) == {"000.png", "job.json"}
        again = (await client.post(f"/pulid/v1/pictures/{job}-0/scores")).json()
        assert again["people"][0]["similarity"] is None

    run_served(tmp_path, test, pocket=True)


def test_an_enrolment_goes_on_after_a_restart(tmp_path: Path) -> None:
    """Accepted, stopped before it began; the next server does it, or says why not."""
    png = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(png, "PNG")

    async def first(client: Any, service: PictureService) -> None:
        slow = {"prompt": "slow", "sample_params": {"sample_steps": 150}}
        await client.post("/sdcpp/v1/img_gen", json=slow)
        form = {"photo": ("x", png.getvalue())}
        headers = {"Prefer": "respond-async"}
        answer = await client.post(PEOPLE, data={"name": "Ann"}, files=form, headers=headers)
        assert answer.status_code == 202

    async def second(client: Any, service: PictureService) -> None:
        (job,) = [one for one in service.book.newest(limit=None) if one.kind == "extract"]
        ended = await asyncio.wait_for(service.finished(job.id), 20)
        assert ended.status in ("completed", "failed")
        assert not (service.book.store.folder(job.id) / "inputs").exists()

    run_served(tmp_path, first)
    run_served(tmp_path, second)
