"""What clients and the page do with grids: ask for one, see how far it is."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...evaluation.pocket_prompts import pocket_prompts
from ..errors import ApiError
from ..jobs.job_ids import picture_of_id
from ..jobs.jobs import Job
from ..request.body_fields import body_fields
from ..request.normal_request import NormalRequest
from ..request.request_files import RequestFiles
from ..request.request_forms import to_json
from ..service.grid_results import entries_of_grid, grid_csv, grid_result, grid_sheet
from ..service.grids import DEFAULT_PROMPTS, check_base, grid_wish
from ..service.job_request import files_of_request
from .job_view import job_view

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..service.service import PictureService

__all__ = [
    "default_prompts_of",
    "grid_csv_of",
    "grid_job",
    "grid_sheet_png",
    "grid_view",
    "submit_grid",
]

_POCKET = ("pocket", "pocket-sdxl")


def default_prompts_of(model: str) -> tuple[str, ...]:
    """Eight prompts that differ in pose, expression, clothing, background and style.

    Args:
        model: The preset; the pocket models know few words.
    """
    if model in _POCKET:
        return tuple(prompt.text for prompt in pocket_prompts())
    return DEFAULT_PROMPTS


async def submit_grid(
    service: PictureService, body: Mapping[str, Any], files: RequestFiles, *, owner: str
) -> Job:
    """Accept a grid, as `POST /pulid/v1/grids` takes it.

    Args:
        service: The server.
        body: What is wanted.
        files: What came along.
        owner: Whose it is.

    Raises:
        ApiError: Says what is wrong; or as `PictureService.submit_other`.
    """
    shared = body.get("request")
    model = shared.get("model") if isinstance(shared, dict) else None
    wish = grid_wish(body, default_prompts=default_prompts_of(str(model or service.models.default)))
    base = await service.read(body_fields(wish.base_body(), own=True), files)
    check_base(base)
    base = await asyncio.to_thread(_with_ids, service, base, owner)
    kept, photos = files_of_request(base, files.contents)
    request = {
        "prompts": list(wish.prompts),
        "seeds": list(wish.seeds),
        "weights": list(wish.weights),
        "request": to_json(base),
    }
    return await service.submit_other(
        "grid", owner, request, files=kept, photos=photos, title=base.delivery.title
    )


def grid_job(service: PictureService, job_id: str, sees: str | None) -> Job:
    """A grid's job.

    Args:
        service: The server.
        job_id: Any text.
        sees: Who asks; None: an administrator.

    Raises:
        ApiError: not_found, expired.
    """
    job = service.job(job_id, sees)
    if job.kind != "grid":
        raise ApiError("not_found", "there is no such grid")
    return job


def grid_view(service: PictureService, job: Job) -> dict[str, Any]:
    """A grid as JSON: its job, and in `result` its table, as far as it is filled.

    `eta_s` is about how long it still takes; None: nothing is known.
    """
    entries = entries_of_grid(job)
    view = job_view(service, job)
    view["result"] = grid_result(job.id, entries)
    left = sum(not (entry.picture_id or entry.error) for entry in entries)
    view["eta_s"] = None
    if not job.is_finished and service.queue.mean_picture_s:
        view["eta_s"] = round(left * service.queue.mean_picture_s, 1)
    return view


def grid_csv_of(job: Job) -> bytes:
    """A grid's table as CSV in UTF-8, marked as such: spreadsheets take it for another encoding
    otherwise."""
    return grid_csv(entries_of_grid(job)).encode("utf-8-sig")


async def grid_sheet_png(service: PictureService, job: Job) -> bytes:
    """A grid's pictures on one, as PNG.

    Raises:
        ApiError: "not_finished": there is no picture yet.
    """

    def path_of(name: str) -> Path | None:
        place = picture_of_id(name)
        return None if place is None else service.book.store.picture_path(*place)

    def drawn() -> bytes:
        sheet = grid_sheet(entries_of_grid(job), path_of)
        if sheet is None:
            raise ApiError("not_finished", "the grid has no picture yet; wait for the first")
        file = io.BytesIO()
        sheet.save(file, "PNG")
        return file.getvalue()

    return await asyncio.to_thread(drawn)


def _with_ids(service: PictureService, request: NormalRequest, owner: str) -> NormalRequest:
    """The request with kept people by the ids of the identities that the model takes: they may be
    renamed before the last picture."""
    people = []
    encoders = service.models.encoders(request.model)
    for number, person in enumerate(request.people):
        if person.identity:
            someone, found = service.people.identity_for(
                owner,
                person.identity,
                encoders,
                model=request.model,
                param=f"people[{number}].identity",
            )
            person = replace(person, identity=found.id, name=person.name or someone.name)
        people.append(person)
    return replace(request, people=tuple(people))
