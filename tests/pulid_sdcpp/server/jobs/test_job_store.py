"""Jobs on the disk: what is written, and what a start makes of what it finds."""

from __future__ import annotations

import json
import os
import shutil
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pulid_sdcpp.errors import OutputFileError
from pulid_sdcpp.pictures.png_text import PictureText, format_text, save_picture
from pulid_sdcpp.server.jobs import job_store
from pulid_sdcpp.server.jobs.job_book import JobBook
from pulid_sdcpp.server.jobs.job_ids import new_job_id
from pulid_sdcpp.server.jobs.job_store import JobStore
from pulid_sdcpp.server.jobs.jobs import Job, MadePicture


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / "data" / "server")


def a_job(sequence: int = 1, seeds: tuple[int, ...] = (7, 8)) -> Job:
    return Job(new_job_id(), "img_gen", "local", 100.0, sequence, {"prompt": "a cat"}, seeds)


def save(store: JobStore, job: Job, index: int, seed: object, size: int = 16) -> Path:
    path = store.picture_path(job.id, index)
    values = {"Steps": "4", "Seed": str(seed), "Size": "1x1"}
    save_picture(Image.new("RGB", (size, 8)), path, format_text(PictureText("a", "", values)))
    return path


def loaded_book(store: JobStore) -> JobBook:
    book = JobBook(store)
    book.load()
    return book


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_an_accepted_job_is_whole_and_only_the_user_s(store: JobStore) -> None:
    job = a_job()
    store.accept(job, {"abcd.png": b"start"}, {"photo.jpg": b"photo"})
    folder = store.folder(job.id)
    assert files(folder) == {"job.json", "abcd.png", "inputs/photo.jpg"}
    assert store.load_all() == [job]
    assert store.size_bytes(job.id) == 10 + (folder / "job.json").stat().st_size
    if os.name != "nt":
        for path in (store.root, *store.root.rglob("*")):
            assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
    store.remove_photos(job.id)
    assert files(folder) == {"job.json", "abcd.png"}


def test_inputs_are_on_the_disk_before_the_job_is(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = []
    monkeypatch.setattr(job_store, "_write", lambda path, content: order.append(path.name))
    monkeypatch.setattr(job_store, "write_job", lambda folder, job: order.append("job.json"))
    monkeypatch.setattr(job_store, "_sync", lambda folder: order.append("sync"))
    store.accept(a_job(), {"abcd.png": b""}, {"photo.jpg": b""})
    assert order == ["abcd.png", "photo.jpg", "sync", "job.json", "sync", "sync", "sync"]


@pytest.mark.parametrize(
    "name",
    ["job.json", "000.png", "1234.png", "../abcd.png", "a/bcde.png", "abcd", ".abcd.png", "",
     "a\0b", "abcd.png\n", "c:abcd.png", "job.json.bad"],
)  # fmt: skip
def test_no_file_gets_a_name_of_ours_or_one_that_leads_elsewhere(
    store: JobStore, name: str
) -> None:
    for given in ({"files": {name: b""}}, {"photos": {name: b""}}):
        with pytest.raises(ValueError, match="cannot be the name"):
            store.accept(a_job(), **given)
    assert files(store.root) == set()


def test_a_job_that_cannot_be_written_leaves_nothing(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path, job: Job) -> None:
        raise OutputFileError("no space left")

    monkeypatch.setattr(job_store, "write_job", full)
    with pytest.raises(OutputFileError, match="no space left"):
        store.accept(a_job(), {"abcd.png": b"start"})
    assert list((store.root / "jobs").iterdir()) == []


def test_a_job_is_accepted_while_the_last_one_of_its_month_is_removed(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, removed = Path.mkdir, []

    def mkdir(folder: Path, *how: Any, **options: Any) -> None:
        if folder.name.startswith("job_") and not removed:
            folder.parent.rmdir()
            removed.append(folder.parent)
        real(folder, *how, **options)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    job = a_job()
    store.accept(job)
    assert removed
    assert store.load_all() == [job]


def test_a_nearly_full_disk_takes_no_job(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(store.root)._replace(free=job_store.MIN_FREE_BYTES - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OutputFileError, match="nearly full"):
        store.accept(a_job())


def test_a_removed_job_is_not_written_again(store: JobStore) -> None:
    job = a_job()
    store.accept(job, {"abcd.png": b"start"})
    store.remove(job.id)
    store.remove(job.id)
    assert list((store.root / "jobs").iterdir()) == []
    with pytest.raises(OutputFileError):
        store.update(job)


def test_a_server_killed_while_it_removes_a_job_has_removed_it(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = a_job()
    store.accept(job, {"abcd.png": b"start"})
    monkeypatch.setattr(shutil, "rmtree", lambda folder, ignore_errors: None)
    store.remove(job.id)
    monkeypatch.undo()
    assert files(store.folder(job.id)) == {"abcd.png"}
    assert store.load_all() == []
    assert list((store.root / "jobs").iterdir()) == []


def test_one_server_only(store: JobStore) -> None:
    with store.only_server():
        other = JobStore(store.root)
        with pytest.raises(OutputFileError, match="another server"), other.only_server():
            pass
    with store.only_server():
        pass


def test_pictures_are_adopted_by_their_own_text_and_others_are_removed(store: JobStore) -> None:
    job = a_job(seeds=(7, 8, 9, 10)).with_picture(MadePicture(0, 7, 16, 8))
    store.accept(job, {"0123abcd.png": b"start"})
    save(store, job, 0, 7)
    save(store, job, 1, 8, size=32)
    save(store, job, 2, 8)  # of another seed
    store.picture_path(job.id, 3).write_bytes(b"half a pict")
    save(store, job, 4, 11)  # nobody wanted it
    found = [job.with_picture(MadePicture(1, 8, 32, 8))]
    assert store.load_all() == found
    assert files(store.folder(job.id)) == {"job.json", "0123abcd.png", "000.png", "001.png"}
    record = json.loads((store.folder(job.id) / "job.json").read_bytes())
    assert [one["index"] for one in record["pictures"]] == [0, 1]
    assert store.load_all() == found


def test_a_picture_that_is_gone_is_missing(store: JobStore) -> None:
    job = a_job().with_picture(MadePicture(0, 7, 16, 8))
    store.accept(job)
    (found,) = store.load_all()
    assert found.missing == (0, 1)


def test_leftovers_are_removed(store: JobStore) -> None:
    job = a_job()
    store.accept(job, photos={"photo.jpg": b"photo"})
    folder = store.folder(job.id)
    (folder / ".000.png.12345678.part").write_bytes(b"half")
    (folder / "inputs" / ".photo.jpg.12345678.part").write_bytes(b"half")
    half = store.folder(new_job_id())  # killed while it was accepted
    half.mkdir()
    (half / "abcd.png").write_bytes(b"start")
    (store.root / "jobs" / "1999-01").mkdir()
    (store.root / "jobs" / "notes").mkdir()  # not ours
    (folder.parent / "mine").mkdir()
    assert store.load_all() == [job]
    assert files(store.root) == {
        path.relative_to(store.root).as_posix()
        for path in (folder / "job.json", folder / "inputs" / "photo.jpg")
    }
    assert not half.exists()
    assert {path.name for path in (store.root / "jobs").iterdir()} == {folder.parent.name, "notes"}
    assert (folder.parent / "mine").is_dir()


def test_photos_of_a_finished_job_are_removed(store: JobStore) -> None:
    job = a_job()
    store.accept(job, photos={"photo.jpg": b"photo"})
    store.update(job.ended("cancelled", 1))
    store.load_all()
    assert files(store.folder(job.id)) == {"job.json"}


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"id": "job_1"}', b"null"]
)
def test_a_damaged_job_is_set_aside_and_others_are_read(
    store: JobStore, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = a_job(1), a_job(2)
    for job in (good, bad):
        store.accept(job)
    path = store.folder(bad.id) / "job.json"
    path.write_bytes(content)
    for _ in range(2):
        assert store.load_all() == [good]
        assert files(store.folder(bad.id)) == {"job.json.bad"}
    assert path.with_name("job.json.bad").read_bytes() == content
    assert caplog.text.count("set aside") == 1


def test_a_job_in_another_s_folder_is_set_aside(store: JobStore) -> None:
    job, other = a_job(1), a_job(2)
    store.accept(job)
    store.accept(other)
    shutil.copy(store.folder(job.id) / "job.json", store.folder(other.id) / "job.json")
    assert store.load_all() == [job]


def test_the_book_starts_where_a_killed_server_ended(store: JobStore) -> None:
    book = JobBook(store, clock=lambda: 200.0)
    book.load()
    first, second, third, gone, done = (a_job(number) for number in range(1, 6))
    gone = replace(gone, synchronous=True)
    for job in (first, second, third, gone, done):
        book.accept(job, photos={"photo.jpg": b"photo"})
    book.change(second.id, lambda job: job.begun(150))
    save(store, second, 0, 7)
    book.change(done.id, lambda job: job.begun(150))
    for index, seed in enumerate(done.seeds):
        save(store, done, index, seed)

    book = JobBook(store, clock=lambda: 300.0)
    assert [job.id for job in book.load()] == [second.id, first.id, third.id]
    resumed = book.get(second.id)
    assert resumed is not None
    assert (resumed.missing, resumed.interruptions) == ((1,), 1)
    for job, status in ((gone, "cancelled"), (done, "completed")):
        found = book.get(job.id)
        assert found is not None
        assert (found.status, found.completed) == (status, 300)
        assert not (store.folder(job.id) / "inputs").exists()
    assert (store.folder(first.id) / "inputs").exists()
    again = JobBook(store)
    again.load()
    assert again.newest() == book.newest()


def test_the_book_shows_each_owner_its_own(store: JobStore) -> None:
    book = loaded_book(store)
    jobs = [replace(a_job(number), owner="ab"[number % 2]) for number in range(6)]
    for job in jobs:
        book.accept(job)
    book.change(jobs[0].id, lambda job: job.ended("cancelled", 1))
    mine = [jobs[4], jobs[2], book.get(jobs[0].id)]
    assert book.newest("a") == mine
    assert book.newest("a", limit=2) == mine[:2]
    assert book.newest("a", before=jobs[4].id) == mine[1:]
    assert book.newest("a", status="cancelled") == mine[2:]
    assert len(book.newest()) == 6
    assert book.get(jobs[2].id, "a") == jobs[2]
    assert book.get(jobs[2].id, "b") is None
    assert book.get("../..", None) is None


def test_nobody_who_reads_the_book_waits_for_the_disk(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = loaded_book(store)
    job = a_job()
    book.accept(job)
    writing, may_write = threading.Event(), threading.Event()

    def slow(job: Job) -> None:
        writing.set()
        may_write.wait(30)

    monkeypatch.setattr(store, "update", slow)
    with ThreadPoolExecutor(2) as threads:
        changing = threads.submit(book.change, job.id, lambda job: job.begun(1))
        writing.wait(30)
        try:
            assert threads.submit(book.newest).result(10) == [job]
        finally:
            may_write.set()
        assert changing.result() == book.get(job.id) != job


def test_the_book_removes_finished_jobs_only(store: JobStore) -> None:
    book = loaded_book(store)
    job = a_job()
    book.accept(job)
    assert not book.remove(job.id)
    book.change(job.id, lambda job: job.begun(1))
    assert not book.remove(job.id)
    favourite = MadePicture(0, 7, 16, 8, favourite=True)
    book.change(job.id, lambda job: job.with_picture(favourite).ended("completed", 2))
    assert not book.remove(job.id, unless_favourite=True)
    assert book.remove(job.id)
    assert not book.remove(job.id)
    assert book.get(job.id) is None
    assert files(store.root) == set()
    with pytest.raises(KeyError):
        book.change(job.id, lambda job: job)


def test_nothing_is_accepted_before_the_jobs_are_loaded(store: JobStore) -> None:
    book = JobBook(store)
    assert not book.is_loaded
    with pytest.raises(RuntimeError, match="before the jobs are loaded"):
        book.accept(a_job())
    book.load()
    assert book.is_loaded
    book.accept(a_job())


def test_a_removed_picture_does_not_come_back(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = loaded_book(store)
    job = a_job()
    book.accept(job)
    for index, seed in enumerate(job.seeds):
        save(store, job, index, seed)
        made = MadePicture(index, seed, 16, 8)
        book.change(job.id, lambda job, made=made: job.with_picture(made))
    assert not book.remove_picture(job.id, 0)
    book.change(job.id, lambda job: job.ended("completed", 1))
    assert not book.remove_picture(job.id, 2)
    assert book.remove_picture(job.id, 0)
    monkeypatch.setattr(store, "update", killed)
    with pytest.raises(OSError, match="killed"):
        book.remove_picture(job.id, 1)
    monkeypatch.undo()
    book = loaded_book(store)
    found = book.get(job.id)
    assert found is not None
    assert (found.status, found.pictures) == ("completed", ())
    assert files(store.folder(job.id)) == {"job.json"}


def killed(job: Job) -> None:
    raise OSError("killed")


def test_what_cannot_be_written_has_not_happened(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = loaded_book(store)
    job = a_job()
    book.accept(job)

    def full(job: Job) -> None:
        raise OutputFileError("no space left")

    monkeypatch.setattr(store, "update", full)
    with pytest.raises(OutputFileError):
        book.change(job.id, lambda job: job.begun(1))
    assert book.get(job.id) == job
