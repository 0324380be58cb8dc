"""Looking through pictures: whose, in which order, who is in them, marking and removing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pulid_sdcpp.server.errors import ApiError
from pulid_sdcpp.server.jobs.job_book import JobBook
from pulid_sdcpp.server.jobs.job_ids import new_job_id, picture_id
from pulid_sdcpp.server.jobs.jobs import Job
from pulid_sdcpp.server.library.gallery import Gallery
from pulid_sdcpp.server.library.thumbnails import thumbnail, thumbnail_path

from ..gallery_jobs import ALICE, BOB, book_in, finished_job

NAMES = {"local": {ALICE: "Alice"}, "eve": {BOB: "Somebody"}}


@pytest.fixture
def book(tmp_path: Path) -> JobBook:
    return book_in(tmp_path)


@pytest.fixture
def gallery(book: JobBook) -> Gallery:
    return Gallery(book, lambda owner: NAMES.get(owner, {}))


def ids(gallery: Gallery, owner: str | None = "local", **how: Any) -> list[str]:
    return [one.id for one in gallery.pictures(owner, **how)]


def test_the_newest_first_page_by_page(book: JobBook, gallery: Gallery) -> None:
    old = finished_job(book, "old", pictures=2)
    new = finished_job(book, "new", pictures=3)
    expected = [picture_id(new.id, n) for n in (2, 1, 0)] + [picture_id(old.id, n) for n in (1, 0)]
    assert ids(gallery) == expected
    assert ids(gallery, limit=2) == expected[:2]
    assert ids(gallery, limit=2, before=expected[1]) == expected[2:4]
    assert ids(gallery, before=expected[-1]) == []
    with pytest.raises(ApiError, match="before"):
        gallery.pictures("local", before="job_1-0")


def test_each_owner_has_their_own_and_an_administrator_all(book: JobBook, gallery: Gallery) -> None:
    mine = picture_id(finished_job(book, "mine").id, 0)
    theirs = picture_id(finished_job(book, "theirs", owner="eve").id, 0)
    assert ids(gallery) == [mine]
    assert ids(gallery, "eve") == [theirs]
    assert ids(gallery, None) == [theirs, mine]
    for change in (
        lambda: gallery.picture(theirs, "local"),
        lambda: gallery.mark(theirs, "local", favourite=True),
        lambda: gallery.remove(theirs, "local"),
    ):
        with pytest.raises(ApiError) as error:
            change()
        assert (error.value.code, error.value.status) == ("not_found", 404)
    assert gallery.picture(theirs, None).prompt == "theirs"


@pytest.mark.parametrize(
    ("how", "found"),
    [
        ({}, ["chess", "beach"]),
        ({"q": "BEACH photo"}, ["beach"]),
        ({"q": "photo chess"}, []),
        ({"q": "alice"}, ["beach"]),
        ({"q": "pocket 7"}, ["chess", "beach"]),
        ({"q": "thursday"}, ["chess"]),
        ({"person": "ALICE"}, ["beach"]),
        ({"person": ALICE}, ["beach"]),
        ({"person": f"{BOB}0123"}, ["chess"]),
        ({"person": "bbbb"}, []),
        ({"person": "Rose"}, ["chess"]),
        ({"person": "Ali"}, []),
        ({"favourite": True}, ["chess"]),
        ({"favourite": False}, ["beach"]),
    ],
)
def test_search(book: JobBook, gallery: Gallery, how: Mapping[str, Any], found: list[str]) -> None:
    finished_job(book, "photo at the beach", people=[ALICE])
    chess = finished_job(book, "a game of chess", people=[BOB], people_said=1)
    book.change(
        chess.id,
        lambda job: Job(**{**vars(job), "title": "Thursday", "request": {
            **job.request, "people": [{"name": "Rose", "photos": ["sha256:1"]}]}}),
    )  # fmt: skip
    gallery.mark(picture_id(chess.id, 0), "local", favourite=True)
    words = {"photo at the beach": "beach", "a game of chess": "chess"}
    assert [words[one.prompt] for one in gallery.pictures("local", **how)] == found


def test_who_is_in_a_picture(book: JobBook, gallery: Gallery) -> None:
    """A forgotten person has an id and no name; what a request calls the owner of a photo stays."""
    said = [
        {"identity": ALICE, "name": "Alice"},
        {"identity": "cccc33dddd", "name": "Gone"},
        {"name": "Rose", "photos": ["sha256:1"]},
    ]
    gone, rose = "cccc33dddd", "dddd44eeee"
    job = finished_job(book, "three", people=[ALICE, gone, rose])
    book.change(
        job.id, lambda job: Job(**{**vars(job), "request": {**job.request, "people": said}})
    )
    people = gallery.picture(picture_id(job.id, 0), "local").people
    assert [(one.id, one.name, one.known) for one in people] == [
        (ALICE, "Alice", True), (gone, "", False), (rose, "Rose", False),
    ]  # fmt: skip
    NAMES["local"] = {}
    try:
        assert gallery.picture(picture_id(job.id, 0), "local").people[0].known is False
    finally:
        NAMES["local"] = {ALICE: "Alice"}


def test_a_mark_is_kept_and_a_removed_picture_takes_its_job_along_at_last(
    book: JobBook, gallery: Gallery
) -> None:
    job = finished_job(book, "two", pictures=2)
    first, second = (picture_id(job.id, index) for index in (0, 1))
    assert gallery.mark(first, "local", favourite=True).made.favourite
    again = book_in(book.store.root.parent)
    assert [one.made.favourite for one in Gallery(again, lambda owner: {}).pictures(None)] == [
        False, True,
    ]  # fmt: skip
    path = book.store.picture_path(job.id, 1)
    thumbnail(path)
    gallery.remove(second, "local")
    assert not path.exists()
    assert not thumbnail_path(path).exists()
    assert ids(gallery) == [first]
    gallery.remove(first, "local")
    assert ids(gallery) == []
    assert not book.store.folder(job.id).exists()
    with pytest.raises(ApiError, match="no such picture"):
        gallery.remove(first, "local")


def test_a_picture_of_a_job_that_goes_on_is_there_and_stays(
    book: JobBook, gallery: Gallery
) -> None:
    job = finished_job(book, "half", pictures=2, finish=False)
    assert len(ids(gallery)) == 2
    with pytest.raises(ApiError) as error:
        gallery.remove(picture_id(job.id, 0), "local")
    assert error.value.code == "not_finished"


def test_the_last_measurement_of_a_picture(book: JobBook, gallery: Gallery) -> None:
    its_id = picture_id(finished_job(book, "measured").id, 0)
    assert gallery.picture(its_id, "local").scores is None
    for faces in (1, 2):
        job = Job(new_job_id(), "score", "local", 100.0, 1, {"picture": its_id})
        book.accept(job)
        book.change(job.id, lambda job, n=faces: job.ended("completed", 1.0, result={"faces": n}))  # type: ignore[misc]
    assert gallery.picture(its_id, "local").scores == {"faces": 2}
    assert gallery.pictures("local")[0].scores == {"faces": 2}


def test_a_damaged_file_still_has_what_its_job_says(book: JobBook, gallery: Gallery) -> None:
    job = finished_job(book, "torn")
    book.store.picture_path(job.id, 0).write_bytes(b"\x89PNG")
    picture = gallery.picture(picture_id(job.id, 0), "local")
    assert (picture.prompt, picture.preset, picture.people) == ("torn", "pocket", ())
    with pytest.raises(ApiError) as error:
        thumbnail(picture.path)
    assert error.value.code == "not_found"
    assert str(picture.path.parent) not in error.value.message
