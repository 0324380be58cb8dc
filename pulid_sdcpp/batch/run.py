"""Making a batch's pictures: identities first, then picture by picture, each saved at once.

There is no record of progress beside the pictures: each has its job's key in its own text, so a
run that was killed at any moment goes on where it stopped, and nothing can disagree.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import (
    FaceNotFoundError,
    GenerationCancelled,
    GenerationError,
    IdentityFileError,
    ImageFileError,
    MemoryPlanError,
    ModelMismatchError,
    OutputExistsError,
    OutputFileError,
)
from ..options.identity_mode import identity_weight
from ..people.person import Person
from ..pictures.formats import Quality
from ..pictures.png_text import PictureText, format_text, save_picture
from ..pipeline.enroll_people import enroll_each
from ..request.generate_request import settle
from ..store.model_store import PresetFiles
from ..system.atomic_file import atomic_file
from .job import Batch, BatchJob
from .plan import (
    KEY_NAME,
    SUMMARY_NAME,
    PlannedPicture,
    is_of_a_batch,
    make_folders,
    picture_problem,
    remove_unfinished,
    working_order,
)
from .sheet import write_contact_sheets

if TYPE_CHECKING:
    from ..pictures.result import Result
    from ..pipeline.pulid_pipeline import PulidPipeline
    from ..request.generate_request import GenerateRequest

__all__ = ["SUMMARY_NAME", "BatchResult", "Outcome", "run_batch"]

# What is wrong with a photo or an identity, and with one picture; anything else ends the batch.
_OF_A_PERSON = (FaceNotFoundError, IdentityFileError, ImageFileError, ValueError)
_OF_A_PICTURE = (*_OF_A_PERSON, GenerationError, MemoryPlanError, ModelMismatchError)

Status = Literal["made", "there", "failed", "waiting"]
_AT_FIRST: Mapping[str, Status] = {"new": "waiting", "there": "there", "taken": "failed"}


@dataclass(frozen=True)
class Outcome:
    """What became of one picture.

    Attributes:
        picture: As planned.
        status: "made" in this run; "there" before; "failed"; "waiting": the run ended before.
        problem: Why it failed, one line.
        time_s: Seconds that making and saving it took.
    """

    picture: PlannedPicture
    status: Status
    problem: str = ""
    time_s: float = 0.0


@dataclass(frozen=True)
class BatchResult:
    """What became of a batch.

    Attributes:
        outcomes: In the batch's order.
        time_s: Seconds that the run took.
        sheets: The contact sheets, when it came to an end.
    """

    outcomes: tuple[Outcome, ...]
    time_s: float
    sheets: tuple[Path, ...] = ()

    def count(self, status: Status) -> int:
        return sum(outcome.status == status for outcome in self.outcomes)

    @property
    def failures(self) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.status == "failed")


def run_batch(
    batch: Batch,
    pictures: Sequence[PlannedPicture],
    pipeline: PulidPipeline,
    settings: Mapping[str, Any],
    *,
    overwrite: bool = False,
    write_sheets: Callable[..., list[Path]] = write_contact_sheets,
    on_begin: Callable[[PlannedPicture, int, int], object] = lambda picture, index, count: None,
    on_end: Callable[[Outcome, Result | None], object] = lambda outcome, result: None,
    on_stop: Callable[[BatchResult], object] = lambda result: None,
) -> BatchResult:
    """Make what is not there; then the contact sheets and the summary.

    Args:
        batch: The jobs.
        pictures: As `plan_batch` gives them.
        pipeline: Makes identities and pictures; anything with `enroll`, `make` and a `context`.
        settings: The preset's, as `plan_batch` had them.
        overwrite: As `plan_batch` had it.
        write_sheets: Makes the sheets, as `write_contact_sheets` does.
        on_begin: Told of each picture that is begun, with its number from 0 of so many.
        on_end: Told of each that is made (with it) or failed.
        on_stop: Told what there is when the run does not come to its end.

    Returns:
        What became of every picture.

    Raises:
        OutputFileError: Nothing can be written, so that going on is in vain.
        GenerationCancelled, KeyboardInterrupt: It was stopped; what is finished is kept.
        PulidError: Models that cannot be loaded; nothing of the batch can be made.
    """
    run = _Run(pictures, pipeline, settings, batch.quality, on_begin, on_end)
    new = [picture.path.parent for picture in pictures if picture.state == "new"]
    make_folders({batch.output_dir, *new})
    remove_unfinished(batch.output_dir, [picture.path for picture in pictures])
    try:
        # 1. Everybody once, before the model takes the memory.
        everybody = run.enroll()
        # 2. The pictures.
        run.generate(everybody)
    except BaseException:
        stopped = run.result()
        with contextlib.suppress(OutputFileError):
            _write_summary(batch, stopped, overwrite)
        on_stop(stopped)
        raise
    # 3. What shows them together.
    finished = {
        outcome.picture.job.file_name: outcome.picture.path
        for outcome in run.outcomes()
        if outcome.status in ("made", "there")
    }
    sheets = write_sheets(batch.jobs, finished, batch.output_dir, overwrite=overwrite)
    result = replace(run.result(), sheets=tuple(sheets))
    _write_summary(batch, result, overwrite)
    return result


class _Run:
    """The state of one run."""

    def __init__(
        self,
        pictures: Sequence[PlannedPicture],
        pipeline: PulidPipeline,
        settings: Mapping[str, Any],
        quality: Quality,
        on_begin: Callable[[PlannedPicture, int, int], object],
        on_end: Callable[[Outcome, Result | None], object],
    ) -> None:
        self._started_s = time.monotonic()
        self._pictures = pictures
        self._pipeline = pipeline
        self._settings = settings
        self._quality = quality
        self._on_begin = on_begin
        self._on_end = on_end
        self._waiting = working_order(pictures, settings)
        self._outcomes = {
            picture.job.file_name: Outcome(picture, _AT_FIRST[picture.state], picture.problem)
            for picture in pictures
        }

    def outcomes(self) -> tuple[Outcome, ...]:
        return tuple(self._outcomes[picture.job.file_name] for picture in self._pictures)

    def result(self) -> BatchResult:
        return BatchResult(self.outcomes(), time.monotonic() - self._started_s)

    def enroll(self) -> dict[str, tuple[Person | Exception, ...]]:
        """The people of each picture by its file's name, or what is wrong with their photos."""
        specs = (person for picture in self._waiting for person in picture.job.people)
        everybody = enroll_each(self._pipeline, specs, kept=_OF_A_PERSON)
        return {
            picture.job.file_name: tuple(itertools.islice(everybody, len(picture.job.people)))
            for picture in self._waiting
        }

    def generate(self, everybody: Mapping[str, tuple[Person | Exception, ...]]) -> None:
        for outcome in self.outcomes():
            if outcome.status == "failed":
                self._end(outcome)
        ready = []
        for picture in self._waiting:
            found = everybody[picture.job.file_name]
            people = tuple(one for one in found if isinstance(one, Person))
            problem = next((one for one in found if isinstance(one, Exception)), None)
            if problem is not None:
                self._end(Outcome(picture, "failed", _line(problem)))
            else:
                ready.append((picture, people))
        for index, (picture, people) in enumerate(ready):
            self._on_begin(picture, index, len(ready))
            started_s = time.monotonic()
            outcome, result = self._made(picture, people)
            self._end(replace(outcome, time_s=time.monotonic() - started_s), result)

    def _made(
        self, picture: PlannedPicture, people: Sequence[Person]
    ) -> tuple[Outcome, Result | None]:
        """Make and save a picture; without it, when that failed."""
        if (path := picture.changed_file) is not None:
            return Outcome(picture, "failed", _changed(path)), None
        try:
            result = self._pipeline.make(self._settled(picture.job), people)
        except GenerationCancelled:
            raise
        except _OF_A_PICTURE as error:
            return Outcome(picture, "failed", _line(error)), None
        # The key says what the picture is made of: it must not say what was there before.
        if (path := picture.changed_file) is not None:
            return Outcome(picture, "failed", _changed(path)), None
        try:
            _save(result, picture, self._quality)
        except OutputExistsError as error:
            if picture_problem(picture.path, picture.key) is None:  # another run made it
                return Outcome(picture, "there"), None
            return Outcome(picture, "failed", _line(error)), None
        return Outcome(picture, "made"), result

    def _settled(self, job: BatchJob) -> GenerateRequest:
        settings = dict(self._settings)
        return settle(job.given, preset=PresetFiles("", settings), context=self._pipeline.context)

    def _end(self, outcome: Outcome, result: Result | None = None) -> None:
        self._outcomes[outcome.picture.job.file_name] = outcome
        self._on_end(outcome, result)


def _save(result: Result, picture: PlannedPicture, quality: Quality) -> None:
    """The picture with its job's key in its text, whole or not at all."""
    text = result.metadata
    values = {**text.values, KEY_NAME: picture.key.now}
    written = format_text(PictureText(text.prompt, text.negative_prompt, values))
    save_picture(result.image, picture.path, written, overwrite=picture.replaces, quality=quality)


def _changed(path: Path) -> str:
    return f"{path} changed while the batch ran; run it again"


def _write_summary(batch: Batch, result: BatchResult, overwrite: bool) -> None:
    summary = {
        "batch": batch.path.name,
        "preset": batch.preset,
        "made": result.count("made"),
        "already_there": result.count("there"),
        "failed": result.count("failed"),
        "waiting": result.count("waiting"),
        "time_s": round(result.time_s, 3),
        "contact_sheets": [sheet.name for sheet in result.sheets],
        "pictures": [_described(outcome) for outcome in result.outcomes],
    }
    path = batch.output_dir / SUMMARY_NAME
    with atomic_file(path, overwrite=overwrite or is_of_a_batch(path)) as file:
        file.write(json.dumps(summary, indent=1, ensure_ascii=False).encode("utf-8", "replace"))


def _described(outcome: Outcome) -> dict[str, Any]:
    job = outcome.picture.job
    described = {
        "file": job.file_name,
        "status": outcome.status,
        "people": [person.name for person in job.people],
        "weights": [identity_weight((), person.weight) for person in job.people],
        "prompt": job.prompt,
        "seed": job.seed,
        "key": outcome.picture.key.now,
    }
    if outcome.status == "made":
        described["time_s"] = round(outcome.time_s, 3)
    if outcome.problem:
        described |= {"job": job.where, "problem": outcome.problem}
    return described


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
