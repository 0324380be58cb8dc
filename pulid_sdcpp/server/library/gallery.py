"""The finished pictures of all jobs, as their owners look through them.

    gallery = Gallery(book, names)
    page = gallery.pictures("local", q="beach", limit=50)
    more = gallery.pictures("local", q="beach", limit=50, before=page[-1].id)

There is no list of pictures beside the jobs, so none can be wrong.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import ApiError
from ..jobs.job_book import JobBook
from ..jobs.job_ids import picture_id, picture_of_id
from ..jobs.jobs import Job, MadePicture
from .picture_facts import PictureFacts, PictureFactsCache
from .thumbnails import thumbnail_path

__all__ = ["Gallery", "GalleryPicture", "Names", "PicturedPerson"]

Names = Callable[[str], Mapping[str, str]]
"""Gives the names of an owner's kept people, by id (`Identity.short_hash`)."""

_MIN_ID_CHARS = 10
"""Of a person's id; it may be longer."""


@dataclass(frozen=True)
class PicturedPerson:
    """Somebody in a picture.

    Attributes:
        id: `Identity.short_hash`.
        name: Of the kept person; of others as the request named them, or "".
        known: Whether the person is kept.
    """

    id: str
    name: str = ""
    known: bool = False


@dataclass(frozen=True)
class GalleryPicture:
    """A finished picture.

    Attributes:
        id: Its name, `picture_id` of its job and index.
        job: Its job.
        made: The picture as its job knows it.
        path: Its file.
        prompt, preset: What it was made with.
        people: Who is in it.
        scores: What the last measurement found; None: there was none.
    """

    id: str
    job: Job
    made: MadePicture
    path: Path
    prompt: str
    preset: str
    people: tuple[PicturedPerson, ...] = ()
    scores: Mapping[str, Any] | None = None


class Gallery:
    """The finished pictures of all jobs. Reads and writes the disk: not for a loop of asyncio.

    Args:
        book: All jobs.
        names: Gives the names of people.
    """

    def __init__(self, book: JobBook, names: Names) -> None:
        self._book = book
        self._names = names
        self._facts = PictureFactsCache()

    def pictures(
        self,
        owner: str | None,
        *,
        before: str = "",
        limit: int = 50,
        q: str = "",
        person: str = "",
        favourite: bool | None = None,
    ) -> list[GalleryPicture]:
        """Pictures, the newest first.

        Args:
            owner: Whose; None: everybody's.
            before: A picture's id, for the next page: only older ones.
            limit: How many at most.
            q: Words that all stand in the prompt, the people's names, the preset, the job's title
                or the seed, in any case and order.
            person: The id of somebody who is in it, or a name.
            favourite: Only those that are marked, or that are not.

        Raises:
            ApiError: "invalid_value": `before` is no picture's id.
        """
        start = None
        if before:
            start = picture_of_id(before)
            if start is None:
                raise ApiError("invalid_value", "before must be the id of a picture", "before")
        names = functools.lru_cache(maxsize=None)(self._names)
        scores = self._scores(owner)
        words = q.casefold().split()
        found = (
            self._described(job, made, names(job.owner), scores)
            for job, made in _newest_first(self._book.newest(owner, limit=None))
            if (start is None or (job.id, made.index) < start)
            and favourite in (None, made.favourite)
        )
        fit = (one for one in found if _has_words(one, words) and _shows(one, person))
        return list(itertools.islice(fit, limit))

    def picture(self, picture: str, owner: str | None) -> GalleryPicture:
        """One picture.

        Raises:
            ApiError: "not_found": there is none of this id, or it is somebody else's.
        """
        job, made = self._found(picture, owner)
        return self._described(job, made, self._names(job.owner), self._scores(job.owner))

    def mark(self, picture: str, owner: str | None, *, favourite: bool) -> GalleryPicture:
        """Mark a picture, so that it stays whatever its age, or no longer.

        Raises:
            ApiError: As `picture`.
            OutputFileError: It cannot be written.
        """
        job, made = self._found(picture, owner)

        def marked(job: Job) -> Job:
            pictures = (
                replace(one, favourite=favourite) if one.index == made.index else one
                for one in job.pictures
            )
            return replace(job, pictures=tuple(pictures))

        try:
            self._book.change(job.id, marked)
        except KeyError:
            raise _not_found() from None
        return self.picture(picture, owner)

    def remove(self, picture: str, owner: str | None) -> None:
        """Remove a picture, and with its last one the job, which has nothing to show any more.

        Raises:
            ApiError: As `picture`; "not_finished": its job still makes others.
            OutputFileError: The file cannot be removed.
        """
        job, made = self._found(picture, owner)
        try:
            is_gone = self._book.remove_picture(job.id, made.index)
        except KeyError:
            raise _not_found() from None
        if not is_gone:
            if (now := self._book.get(job.id)) is not None and not now.is_finished:
                raise ApiError(
                    "not_finished", "the picture's job is not finished; cancel it, or wait"
                )
            raise _not_found()
        self._facts.forget(picture)
        with contextlib.suppress(OSError):
            thumbnail_path(self._book.store.picture_path(job.id, made.index)).unlink()
        rest = self._book.get(job.id)
        if rest is not None and not rest.pictures:
            self._book.remove(job.id)

    def _found(self, picture: str, owner: str | None) -> tuple[Job, MadePicture]:
        place = picture_of_id(picture)
        job = None if place is None else self._book.get(place[0], owner)
        if place is not None and job is not None:
            for made in job.pictures:
                if made.index == place[1]:
                    return job, made
        raise _not_found()

    def _described(
        self,
        job: Job,
        made: MadePicture,
        names: Mapping[str, str],
        scores: Mapping[str, Mapping[str, Any]],
    ) -> GalleryPicture:
        its_id = picture_id(job.id, made.index)
        path = self._book.store.picture_path(job.id, made.index)
        facts = self._facts.facts(its_id, path)
        if facts is None:
            facts = PictureFacts(str(job.request.get("prompt", "")))
        return GalleryPicture(
            id=its_id,
            job=job,
            made=made,
            path=path,
            prompt=facts.prompt,
            preset=facts.preset or str(job.request.get("model", "")),
            people=tuple(_people(facts.people, job.request, names)),
            scores=scores.get(its_id),
        )

    def _scores(self, owner: str | None) -> dict[str, Mapping[str, Any]]:
        """What was measured of pictures, by their ids; of several times, the last."""
        found: dict[str, Mapping[str, Any]] = {}
        for job in self._book.newest(owner, status="completed", limit=None):
            if job.kind == "score":
                found.setdefault(str(job.request.get("picture", "")), job.result)
        return found


def _not_found() -> ApiError:
    return ApiError("not_found", "there is no such picture")


def _newest_first(jobs: Iterable[Job]) -> Iterator[tuple[Job, MadePicture]]:
    return ((job, made) for job in jobs for made in reversed(job.pictures))


def _people(
    ids: tuple[str, ...], request: Mapping[str, Any], names: Mapping[str, str]
) -> Iterator[PicturedPerson]:
    """Who is in a picture. Whom the owner has forgotten has no name; what a request calls the owner
    of a photo stays."""
    asked = request.get("people")
    # Somebody with a weight of 0 is in the request, and not in the picture.
    said = asked if isinstance(asked, list) and len(asked) == len(ids) else [{}] * len(ids)
    for its_id, person in zip(ids, said, strict=True):
        if its_id in names:
            yield PicturedPerson(its_id, names[its_id], known=True)
        else:
            was_kept = not isinstance(person, Mapping) or person.get("identity")
            yield PicturedPerson(its_id, "" if was_kept else str(person.get("name", "")))


def _has_words(picture: GalleryPicture, words: list[str]) -> bool:
    if not words:
        return True
    names = [person.name for person in picture.people]
    texts = (picture.prompt, picture.preset, picture.job.title, str(picture.made.seed), *names)
    text = "\n".join(texts).casefold()
    return all(word in text for word in words)


def _shows(picture: GalleryPicture, person: str) -> bool:
    if not person:
        return True
    wanted = person.casefold()
    return any(
        one.name.casefold() == wanted
        or (len(wanted) >= _MIN_ID_CHARS and wanted.startswith(one.id))
        for one in picture.people
    )
