"""Whether a picture fits, and where its models would be, over HTTP; nothing is loaded."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from PIL import Image
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ...errors import PulidError
from ...identity.fusion import DEFAULT_FUSION
from ...identity.identity_file import Identity
from ...people.id_tokens import photo_tokens
from ..access.call import call_of
from ..errors import ApiError
from ..library.plan_process import PlanRequest
from ..request.body_fields import body_fields
from ..request.given_body import body_of_request
from ..request.normal_request import NormalRequest, normalised_fields
from ..request.person_fields import is_said
from ..request.request_files import RequestFiles
from ..request.request_forms import given_of
from ..service.service import PictureService

__all__ = ["plan_router", "planned"]


def plan_router(service: PictureService) -> APIRouter:
    """POST /pulid/v1/plan."""
    router = APIRouter(prefix="/pulid/v1", tags=["models"])

    @router.post("/plan")
    async def plan(request: Request) -> Response:
        """Whether the pictures of an img_gen body fit this computer; `model` may be any preset,
        and the prompt may be left out."""
        given = await body_of_request(request, service)
        owner = call_of(request).owner
        return JSONResponse(await planned(service, given.values, given.files, owner))

    return router


async def planned(
    service: PictureService, values: Mapping[str, Any], files: RequestFiles, owner: str
) -> dict[str, Any]:
    """The answer.

    Args:
        values: As of POST /sdcpp/v1/img_gen.
        files: What came along.
        owner: Whose kept people may be named.

    Raises:
        ApiError: As `normalised`.
        DeviceError: The driver does not say how much memory is free.
        ModelFileError: What is in a file that is not here is not known.
    """
    normal, given = await asyncio.to_thread(_given, service, values, files)
    question = PlanRequest(
        service.models.choice(normal.model),
        given,
        people=len(normal.people),
        id_tokens=await asyncio.to_thread(_id_tokens, service, normal, files, owner),
        is_loaded=any(engine.model is not None for engine in service.engines),
    )
    found: dict[str, Any] = await service.planner.ask(question)
    each_s = service.queue.mean_picture_s
    eta_s = round(each_s * len(normal.seeds), 1) if each_s else None
    return {**found, "eta_s": eta_s, "warnings": [dict(one) for one in normal.warnings]}


def _id_tokens(
    service: PictureService, request: NormalRequest, files: RequestFiles, owner: str
) -> int:
    """Of the largest identity; one that cannot be read, which a picture's job refuses, is none."""
    encoders = service.models.encoders(request.model)
    most = 0
    for person in request.people:
        fusion = person.options.get("fusion", DEFAULT_FUSION)
        most = max(most, photo_tokens(len(person.photos), fusion, encoders))
        with contextlib.suppress(PulidError, ApiError):
            identity = None
            if person.embedding is not None:
                identity = Identity.from_bytes(files.contents[person.embedding.sha256])
            elif person.identity:
                _, kept = service.people.identity_for(
                    owner, person.identity, encoders, model=request.model
                )
                identity = Identity.load(kept.path)
            if identity is not None:
                most = max(most, len(identity.tokens))
    return most


def _given(
    service: PictureService, values: Mapping[str, Any], files: RequestFiles
) -> tuple[NormalRequest, dict[str, Any]]:
    """The request, and what of it decides about memory; in a thread, as pictures are decoded."""
    said = dict(values)
    if not is_said(said.get("prompt")):
        said["prompt"] = "a picture"
    models = service.models.settings()
    if not service.models.is_single:  # a preset may be planned before it is downloaded
        models = {info.name: info.settings for info in service.models.infos()}
    normal = normalised_fields(
        body_fields(said, own=True),
        models=models,
        default_model=service.models.default,
        readers=files.readers,
        limits=service.limits,
        encoders=service.models.encoders,
        size_multiple=service.models.size_multiple,
    )
    pictures = {}
    for several in normal.pictures.values():
        for one in several:
            with Image.open(io.BytesIO(files.contents[one.sha256])) as opened:
                pictures[one.sha256] = opened.copy()
    without_people = NormalRequest(normal.model, normal.options, normal.pictures)
    return normal, given_of(without_people, pictures)
