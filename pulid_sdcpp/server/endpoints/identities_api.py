"""Kept people over HTTP: enrolled, listed, renamed, downloaded, forgotten.

Everybody has people of their own, administrators too.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ...identity.identity_file import Identity
from ...terminal_text import alternatives, shown
from ..access.call import call_of
from ..bodies.safe_names import name_of_person
from ..bodies.typed_values import invalid
from ..calls.enrolment import EnrolmentWork, begin_enrolment, keep_embedding, kept_already
from ..calls.forgotten_person import forget_person
from ..calls.identity_view import identity_view
from ..calls.sync_answer import answered_when_finished, job_headers
from ..errors import ApiError
from ..jobs.jobs import Job
from ..library.library_person import IdentityOfPerson, LibraryPerson
from ..request.aliases import PERSON_NAMES
from ..request.given_body import GivenBody, body_of_request
from ..request.own_fields import check_fields
from ..request.people_fields import people_in
from ..request.person_fields import PersonFields, is_said
from ..service.service import PictureService

__all__ = ["identities_router"]

_PREFIX = "/pulid/v1/identities"
_FIELDS = {
    name: option
    for name, option in PERSON_NAMES.items()
    if option in ("embedding", "photo", "photos", "face", "fusion")
}


def identities_router(service: PictureService) -> APIRouter:
    """The endpoints under /pulid/v1/identities, and who does their jobs."""
    router = APIRouter(prefix=_PREFIX, tags=["people"])
    service.do("extract", EnrolmentWork(service).keep)

    def find(request: Request, name_or_id: str) -> LibraryPerson:
        return service.people.find(call_of(request).owner, name_or_id, param="id")

    @router.post("", status_code=201)
    async def enrol(request: Request) -> Response:
        """Keep the person on some photos, or in an identity file.

        201, or 200 where the same person is kept already; with `Prefer: respond-async` 202 and the
        job.
        """
        call = call_of(request)
        given = await body_of_request(request, service)
        name, model, person = await asyncio.to_thread(_person, given, service)
        if person.embedding is not None:
            content = given.files.contents[person.embedding.sha256]
            kept, is_new = await asyncio.to_thread(
                keep_embedding, service, call.owner, content, name
            )
            service.changed("identity", call.owner, id=kept.id)
            view = identity_view(kept)
            view["warnings"] += kept_already(kept, is_new, name)
            return JSONResponse(view, 201 if is_new else 200)
        is_async = prefers_async(request)
        job = await begin_enrolment(
            service,
            call.owner,
            person,
            given.files.contents,
            name=name,
            model=model,
            synchronous=not is_async,
        )
        if is_async:
            return accepted_job(job)
        response = await answered_when_finished(service, job, request, _answer(service))
        finished = service.book.get(job.id)
        if finished is not None and finished.result.get("new"):
            response.status_code = 201
        return response

    @router.get("")
    async def identities(request: Request) -> Response:
        """The caller's people, by name; with `q`, those whose names have these words."""
        words = request.query_params.get("q", "").casefold().split()
        people = await asyncio.to_thread(service.people.people, call_of(request).owner)
        found = [one for one in people if all(word in one.name.casefold() for word in words)]
        return JSONResponse({"identities": [identity_view(one) for one in found]})

    @router.get("/{identity_id}")
    async def identity(identity_id: str, request: Request) -> Response:
        """One of the caller's people, by id or name."""
        return JSONResponse(identity_view(await asyncio.to_thread(find, request, identity_id)))

    @router.get("/{identity_id}/thumbnail")
    async def identity_thumbnail(identity_id: str, request: Request) -> Response:
        """The person's face, a small JPEG."""
        owner = call_of(request).owner
        content = await asyncio.to_thread(service.people.preview, owner, identity_id)
        if not content:
            raise ApiError("not_found", "there is no picture of this person's face")
        return _file(request, content, "image/jpeg")

    @router.get("/{identity_id}/file")
    async def identity_file(identity_id: str, request: Request) -> Response:
        """The person as an identity file, without photos and names; of several identities the first
        one, that of `encoder`, or that of the id."""
        person = await asyncio.to_thread(find, request, identity_id)
        one = _wanted(person, identity_id, request.query_params.get("encoder", ""))
        content = await asyncio.to_thread(_plain_file, one)
        response = _file(request, content, "application/octet-stream")
        response.headers["Content-Disposition"] = f'attachment; filename="{one.id}.pulidembd"'
        return response

    @router.patch("/{identity_id}")
    async def rename(identity_id: str, request: Request) -> Response:
        """Give a person another name."""
        owner = call_of(request).owner
        values = (await body_of_request(request, service)).values
        check_fields(values, ("name",))
        name = name_of_person(values.get("name"), param="name")
        person = await asyncio.to_thread(service.people.rename, owner, identity_id, name)
        service.changed("identity", owner, id=person.id)
        return JSONResponse(identity_view(person))

    @router.delete("/{identity_id}", status_code=204)
    async def forget(identity_id: str, request: Request) -> Response:
        """Forget a person; pictures stay."""
        owner = call_of(request).owner
        await forget_person(service, owner, identity_id)
        return Response(status_code=204)

    return router


def prefers_async(request: Request) -> bool:
    """Whether a client wants a job, and not to wait (RFC 7240)."""
    wishes = request.headers.get("prefer", "").lower().split(",")
    return any(wish.split(";")[0].strip() == "respond-async" for wish in wishes)


def accepted_job(job: Job) -> Response:
    """The answer of who does not wait: the job."""
    path = f"/sdcpp/v1/jobs/{job.id}"
    content = {
        "id": job.id,
        "kind": job.kind,
        "status": job.status,
        "created": int(job.created),
        "poll_url": path,
        "events_url": f"{path}/events",
    }
    headers = {"Location": path, "Preference-Applied": "respond-async", **job_headers(job)}
    return JSONResponse(content, 202, headers)


def _answer(service: PictureService) -> Any:
    def answer(job: Job) -> Mapping[str, Any]:
        person = service.people.find(job.owner, str(job.result["id"]), param="id")
        view = identity_view(person)
        view["warnings"] += kept_already(person, bool(job.result["new"]), job.title)
        return view

    return answer


def _wanted(person: LibraryPerson, its_id: str, encoder: str) -> IdentityOfPerson:
    for one in person.identities:
        if one.encoder == encoder if encoder else one.sha256.startswith(its_id.lower()):
            return one
    if encoder:
        known = alternatives(person.encoders)
        raise ApiError(
            "not_found", f"the person has no identity of encoder {shown(encoder)}, but of {known}"
        )
    return person.identities[0]


def _person(given: GivenBody, service: PictureService) -> tuple[str, str, PersonFields]:
    """The name, the model, and the photos or the identity file, of a body."""
    values = {name: value for name, value in given.values.items() if is_said(value)}
    check_fields(values, (*_FIELDS, "name", "model"))
    name, model = values.pop("name", ""), values.pop("model", "")
    if not isinstance(model, str):
        raise invalid("model", model, "text")
    if name:
        name = name_of_person(name.strip() if isinstance(name, str) else name, param="name")
    if not values:
        raise ApiError("invalid_value", "photos are missing, or an embedding", "photos")
    for option in ("face", "fusion", "model"):
        if (option in values or (option == "model" and model)) and any(
            _FIELDS[one] == "embedding" for one in values
        ):
            text = f"{option} is of photos, and {'embedding'} is given"
            raise ApiError("invalid_value", text, option)
    people, _ = people_in(values, given.files.readers, service.limits)
    return name, model, people[0]


def _plain_file(one: IdentityOfPerson) -> bytes:
    identity = Identity.load(one.path)
    return identity.to_bytes("f32" if identity.dtype == "f32" else "f16")


def _file(request: Request, content: bytes, media_type: str) -> Response:
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=media_type, headers=headers)
