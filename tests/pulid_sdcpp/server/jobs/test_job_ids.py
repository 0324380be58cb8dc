"""Names of jobs sort by time, and only such names become folders."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from pulid_sdcpp.server.jobs.job_ids import (
    is_job_id,
    month_of_job,
    new_job_id,
    picture_id,
    picture_of_id,
)

FUTURE = datetime(2500, 1, 31, 23, 59, 59, tzinfo=timezone.utc).timestamp()


def test_names_of_one_millisecond_and_of_a_clock_set_back_sort_as_they_came() -> None:
    moments = [FUTURE, FUTURE, FUTURE, FUTURE - 1e6, FUTURE + 0.001, FUTURE + 5]
    names = [new_job_id(now) for now in moments for _ in range(100)]
    assert names == sorted(names)
    assert len(set(names)) == len(names)
    assert all(is_job_id(name) and len(name) == 4 + 26 for name in names)


def test_a_name_tells_its_month() -> None:
    assert month_of_job("job_" + "0" * 26) == "1970-01"
    assert month_of_job(new_job_id(FUTURE + 2 * 24 * 3600)) == "2500-02"


@pytest.mark.parametrize(
    "text",
    ["", "job_", "job_" + "0" * 25, "job_" + "0" * 27, "job_" + "8" + "0" * 25, "job_" + "i" * 26,
     "JOB_" + "0" * 26, "job_" + "A" * 26, "job_" + "0" * 26 + "\n", "job_../" + "0" * 23,
     "job_" + "7" + "z" * 25, "job_" + "\u0660" * 26],
)  # fmt: skip
def test_other_texts_are_no_names(text: str) -> None:
    assert not is_job_id(text)
    assert picture_of_id(f"{text}-0") is None
    with pytest.raises(ValueError, match="expected the id of a job"):
        month_of_job(text)


def test_a_picture_is_named_by_its_job() -> None:
    job = "job_" + "0" * 26
    assert picture_of_id(picture_id(job, 12)) == (job, 12)
    for text in (job, f"{job}-", f"{job}-01", f"{job}--1", f"{job}-0000000", f"{job}-1 "):
        assert picture_of_id(text) is None
