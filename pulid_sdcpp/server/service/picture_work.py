"""A job of pictures: its people are extracted first, then an engine makes what is missing."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from ...errors import FaceNotFoundError, GenerationCancelled, ImageFileError, OutputFileError
from ...identity.fusion import DEFAULT_FUSION
from ...terminal_text import reason_of
from ..engine.engine_messages import ExtractCommand, JobCommand, MakeCommand
from ..jobs.job_book import JobBook
from ..jobs.jobs import Job
from ..library.served_models import ServedModels
from ..request.normal_request import NormalRequest
from ..request.photo_error import photo_error
from ..request.request_forms import to_json
from .job_request import (
    IDENTITY_SUFFIX,
    folder_request,
    given_in_folder,
    photo_names,
    with_extracted,
)

__all__ = ["PictureWork"]


class _Runner(Protocol):
    """What is needed of the `JobRunner`."""

    async def run(self, job: Job, command: JobCommand, /) -> Mapping[str, Any]: ...

    async def change(self, job_id: str, changed: Callable[[Job], Job], /) -> Job: ...

    def note(self, job: Job, warning: Mapping[str, str], /) -> None: ...

    def skipped(self, job_id: str, /) -> int | None: ...


@dataclass(frozen=True)
class _Extracted:
    sha256: str


class PictureWork:
    """Makes the pictures of a job that are not there yet.

    Args:
        runner: Runs the commands.
        book: The jobs.
        models: The models there are.
    """

    def __init__(self, runner: _Runner, book: JobBook, models: ServedModels) -> None:
        self._runner = runner
        self._book = book
        self._models = models

    async def make(self, job: Job) -> Mapping[str, Any]:
        """Do the job.

        Raises:
            As it failed.
        """
        folder = self._book.store.folder(job.id)
        request = await asyncio.to_thread(self._request, job, folder)
        for number, person in enumerate(request.people):
            if person.photos:
                request = await self._extract(job, folder, request, number)
        given = given_in_folder(request)
        given["seed"] = job.seeds[0]
        command = MakeCommand(
            job=job.id,
            folder=str(folder),
            model=self._models.choice(request.model),
            request=given,
            pictures=job.missing,
            preview=request.delivery.preview,
            preview_interval=request.delivery.preview_interval,
        )
        while command.pictures:
            try:
                await self._runner.run(job, command)
                break
            except GenerationCancelled:
                skipped = self._runner.skipped(job.id)
                if skipped is None:
                    raise
                left = tuple(index for index in command.pictures if index > skipped)
                command = replace(command, pictures=left)
        return {}

    def _request(self, job: Job, folder: Path) -> NormalRequest:
        return folder_request(job.request, folder, self._models.settings(), self._models.default)

    async def _extract(
        self, job: Job, folder: Path, request: NormalRequest, number: int
    ) -> NormalRequest:
        """Make the identity of a person's photos; the job has it from then on, not the photos."""
        person = request.people[number]
        target = f"person-{number}{IDENTITY_SUFFIX}"
        face: Any = "largest" if person.face is None else person.face
        command = ExtractCommand(
            job=job.id,
            folder=str(folder),
            model=self._models.choice(request.model),
            files=photo_names(person),
            face=face,
            fusion=person.options.get("fusion", DEFAULT_FUSION),
            target=target,
        )
        try:
            found = await self._runner.run(job, command)
        except (FaceNotFoundError, ImageFileError) as error:
            people = len(request.people)
            raise photo_error(error, command.files, person=number, people=people) from error
        warnings = tuple(
            {"code": one["code"], "field": f"people[{number}]", "message": one["message"]}
            for one in found.get("photo_warnings", ())
        )
        for warning in warnings:
            self._runner.note(job, warning)
        sha256 = await asyncio.to_thread(_named_by_hash, folder / target)
        request = with_extracted(request, number, _Extracted(sha256))
        body = to_json(request)
        await self._runner.change(
            job.id, lambda job: replace(job, request=body, warnings=(*job.warnings, *warnings))
        )
        return request


def _named_by_hash(path: Path) -> str:
    """Give an identity file its hash as its name; returns that."""
    try:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        os.replace(path, path.with_name(f"{sha256}{IDENTITY_SUFFIX}"))
    except OSError as error:
        raise OutputFileError(f"cannot keep {path.name}: {reason_of(error)}") from error
    return sha256
