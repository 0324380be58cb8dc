"""What a job can become, how it is written, and what a restart makes of it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulid_sdcpp.server.errors import STATUSES as HTTP_STATUSES
from pulid_sdcpp.server.jobs.job_json import job_from_record, job_json
from pulid_sdcpp.server.jobs.jobs import KINDS, STATUSES, Job, JobFailure, MadePicture
from pulid_sdcpp.server.jobs.restart import (
    MAX_INTERRUPTIONS,
    after_restart,
    waiting_in_line,
)

ID = "job_" + "0" * 26
JOB = Job(ID, "img_gen", "local", 100.0, 1, {"prompt": "a cat"}, (7, 8))
FIRST = MadePicture(0, 7, 64, 64)
SECOND = MadePicture(1, 8, 64, 64)

NUMBERS = st.integers(-(2**63), 2**64)
TEXTS = st.text(max_size=20)
TIMES = st.floats(0, 1e12)
VALUES = st.recursive(st.none() | st.booleans() | NUMBERS | TEXTS, st.lists, max_leaves=5)
JOBS = st.builds(
    Job,
    id=st.just(ID), kind=st.sampled_from(KINDS), owner=TEXTS, created=TIMES, sequence=NUMBERS,
    request=st.dictionaries(TEXTS, VALUES), seeds=st.lists(NUMBERS).map(tuple),
    status=st.sampled_from(STATUSES), started=st.none() | TIMES, completed=st.none() | TIMES,
    pictures=st.sampled_from([(), (FIRST,), (replace(FIRST, favourite=True), SECOND)]),
    result=st.dictionaries(TEXTS, VALUES), attempts=NUMBERS, interruptions=NUMBERS,
    error=st.none() | st.builds(JobFailure, TEXTS, TEXTS, st.none() | TEXTS),
    cancel_requested=st.booleans(), synchronous=st.booleans(), client=TEXTS, title=TEXTS,
    warnings=st.lists(st.dictionaries(TEXTS, TEXTS), max_size=2).map(tuple),
    idempotency_key=TEXTS, body_sha256=TEXTS,
)  # fmt: skip


@given(JOBS)
def test_a_written_job_is_read_as_it_was(job: Job) -> None:
    assert job_from_record(json.loads(job_json(job))) == job


def test_a_prompt_of_half_a_character_can_be_written() -> None:
    job = replace(JOB, request={"prompt": "\ud800"})
    assert job_from_record(json.loads(job_json(job))) == job


def test_a_request_that_is_no_json_is_refused() -> None:
    for value in (float("nan"), object()):
        with pytest.raises(ValueError, match=r".+"):
            job_json(replace(JOB, request={"prompt": value}))


def test_keys_of_later_versions_are_left_out() -> None:
    record = {**json.loads(job_json(JOB)), "later": 1}
    assert job_from_record(record) == JOB


@pytest.mark.parametrize(
    "change",
    [
        {"id": "job_1"}, {"id": 1}, {"kind": "vid_gen"}, {"status": "done"}, {"created": None},
        {"created": float("inf")}, {"created": True}, {"sequence": 1.0}, {"sequence": True},
        {"request": []}, {"seeds": ["1"]}, {"seeds": [True]}, {"seeds": {}}, {"warnings": [1]},
        {"pictures": [1]}, {"pictures": [{"index": 0}]}, {"error": "no"}, {"error": {"code": "x"}},
        {"pictures": [{"index": 0, "seed": 1, "width": 1, "height": 1}] * 2},
        {"attempts": "1"}, {"cancel_requested": 1}, {"title": None},
    ],
)  # fmt: skip
def test_a_record_of_wrong_types_is_no_job(change: dict[str, object]) -> None:
    record = json.loads(job_json(JOB))
    with pytest.raises(ValueError, match=r".+"):
        job_from_record({**record, **change})
    (key,) = change
    if key in ("id", "kind", "created", "sequence", "request"):
        del record[key]
        with pytest.raises(ValueError, match=r".+"):
            job_from_record(record)


@pytest.mark.parametrize("record", [None, [], 1, "job", {}])
def test_other_json_is_no_job(record: object) -> None:
    with pytest.raises(ValueError, match=r".+"):
        job_from_record(record)


def test_a_job_from_its_beginning_to_its_end() -> None:
    job = JOB.begun(110)
    assert (job.status, job.started, job.attempts) == ("generating", 110, 1)
    job = replace(job, interruptions=3).with_picture(SECOND)
    assert (job.missing, job.interruptions) == ((0,), 0)
    job = job.put_back()
    assert job.status == "queued"
    job = job.begun(120)
    assert (job.started, job.attempts) == (110, 2)
    job = job.with_picture(FIRST).with_picture(FIRST)
    assert (job.pictures, job.missing) == ((FIRST, SECOND), ())
    job = job.ended("completed", 130)
    assert (job.is_finished, job.completed, job.error) == (True, 130, None)


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_a_finished_job_stays_as_it_is(status: str) -> None:
    job = JOB.ended(status, 1)
    assert job.is_finished
    for change in (
        lambda: job.begun(2),
        lambda: job.put_back(),
        lambda: job.ended("completed", 2),
        lambda: job.ended("cancelled", 2),
    ):
        with pytest.raises(ValueError, match="cannot become"):
            change()


def test_what_no_job_can_become() -> None:
    with pytest.raises(ValueError, match="cannot become queued"):
        JOB.put_back()
    with pytest.raises(ValueError, match="cannot become generating"):
        JOB.begun(1).begun(2)
    with pytest.raises(ValueError, match="does not end"):
        JOB.ended("queued", 1)
    with pytest.raises(ValueError, match="and none 2"):
        JOB.with_picture(MadePicture(2, 9, 64, 64))


@pytest.mark.parametrize(
    ("job", "status", "code"),
    [
        (JOB, "queued", None),
        (JOB.with_picture(FIRST), "queued", None),
        (JOB.begun(1), "queued", None),
        (JOB.begun(1).with_picture(FIRST).with_picture(SECOND), "completed", None),
        (replace(JOB, synchronous=True), "cancelled", "client_gone"),
        (replace(JOB.begun(1), synchronous=True), "cancelled", "client_gone"),
        (replace(JOB.begun(1), cancel_requested=True), "cancelled", "cancelled"),
        (replace(JOB.begun(1), interruptions=MAX_INTERRUPTIONS - 2), "queued", None),
        (replace(JOB.begun(1), interruptions=MAX_INTERRUPTIONS - 1), "failed", "interrupted"),
        (replace(JOB, seeds=(), kind="extract").begun(1), "queued", None),
    ],
)
def test_what_becomes_of_a_job_when_the_server_starts(
    job: Job, status: str, code: str | None
) -> None:
    found = after_restart(job, 200)
    assert found.status == status
    assert (found.error.code if found.error else None) == code
    assert code is None or code in HTTP_STATUSES
    assert found.completed == (200 if found.is_finished else None)
    assert found.pictures == job.pictures
    assert after_restart(found, 300) is found


def test_the_fifth_death_in_one_picture_ends_a_job_and_an_orderly_stop_counts_for_nothing() -> None:
    job = JOB
    for death in range(1, MAX_INTERRUPTIONS):
        job = after_restart(job.begun(1), 2)
        assert (job.status, job.interruptions) == ("queued", death)
        job = after_restart(job.begun(1).put_back(), 2)
        assert (job.status, job.interruptions) == ("queued", death)
    assert after_restart(job.begun(1), 2).status == "failed"
    other = after_restart(job.begun(1).with_picture(FIRST), 2)
    assert (other.status, other.interruptions) == ("queued", 1)


def test_begun_ones_are_first_then_extractions_then_others_in_sequence() -> None:
    jobs = [
        replace(JOB, sequence=1),
        replace(JOB, sequence=5, kind="extract"),
        replace(JOB, sequence=4, started=1.0),
        replace(JOB, sequence=3, kind="extract"),
        replace(JOB, sequence=2),
        replace(JOB, sequence=0).begun(1),
    ]
    assert [job.sequence for job in waiting_in_line(jobs)] == [4, 3, 5, 1, 2]
