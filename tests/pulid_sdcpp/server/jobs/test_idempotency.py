"""A request that is sent twice is done once."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest

from pulid_sdcpp.server.errors import ApiError
from pulid_sdcpp.server.jobs.idempotency import KEPT_S, MAX_KEY_CHARS, IdempotencyKeys
from pulid_sdcpp.server.jobs.jobs import Job


def claim(keys: IdempotencyKeys, owner: str, key: str, body: str, job: str, now: float) -> str:
    with keys.claimed(owner, key, body, job, now) as found:
        return found


def test_the_same_key_and_request_are_the_same_job_for_a_day() -> None:
    keys = IdempotencyKeys()
    assert claim(keys, "a", "key", "body", "first", 100) == "first"
    assert claim(keys, "a", "key", "body", "second", 100 + KEPT_S - 1) == "first"
    assert claim(keys, "a", "key", "body", "second", 100 + KEPT_S) == "second"


def test_another_owner_s_key_is_another_and_another_request_a_mistake() -> None:
    keys = IdempotencyKeys()
    assert claim(keys, "a", "key", "body", "first", 100) == "first"
    assert claim(keys, "b", "key", "body", "second", 100) == "second"
    with pytest.raises(ApiError, match="another request") as error:
        claim(keys, "a", "key", "other", "third", 100)
    assert (error.value.code, error.value.param) == ("invalid_value", "Idempotency-Key")


def test_a_job_that_failed_to_be_accepted_gives_its_key_back() -> None:
    keys = IdempotencyKeys()
    for _ in range(2):
        with pytest.raises(OSError, match="full"), keys.claimed("a", "key", "body", "first", 100):
            raise OSError("full")
    assert claim(keys, "a", "key", "body", "second", 100) == "second"
    with contextlib.suppress(OSError), keys.claimed("a", "key", "body", "third", 100) as found:
        assert found == "second"
        raise OSError("full")
    assert claim(keys, "a", "key", "body", "third", 100) == "second"


@pytest.mark.parametrize(("fails", "answers"), [(False, {"first"}), (True, {"second", "third"})])
def test_who_comes_meanwhile_waits_until_the_job_is_accepted(
    fails: bool, answers: set[str]
) -> None:
    keys = IdempotencyKeys()
    found: list[str] = []

    def again(job: str) -> None:
        with keys.claimed("a", "key", "body", job, 100) as one:
            found.append(one)

    threads = [threading.Thread(target=again, args=(job,)) for job in ("second", "third")]
    with (
        contextlib.suppress(OSError),
        keys.claimed("a", "key", "body", "first", 100) as first,
    ):
        assert first == "first"
        for thread in threads:
            thread.start()
        time.sleep(0.02)
        assert found == []
        if fails:
            raise OSError
    for thread in threads:
        thread.join(10)
    assert len(found) == 2
    assert len(set(found)) == 1
    assert set(found) <= answers


def test_keys_are_known_after_a_restart_until_their_job_is_removed() -> None:
    jobs = [
        Job(name, "img_gen", "a", created, 1, {}, idempotency_key=key, body_sha256="body")
        for name, created, key in [("new", 90, "key"), ("old", 10, "key"), ("none", 95, "")]
    ]
    keys = IdempotencyKeys(jobs)
    keys.forget(jobs[1])
    keys.forget(jobs[2])
    assert claim(keys, "a", "key", "body", "again", 100) == "new"
    keys.forget(jobs[0])
    assert claim(keys, "a", "key", "body", "again", 100) == "again"


@pytest.mark.parametrize("key", ["", "x" * (MAX_KEY_CHARS + 1), "é", "a\n", "\0"])
def test_what_is_no_key(key: str) -> None:
    with pytest.raises(ApiError, match="printable"):
        claim(IdempotencyKeys(), "a", key, "body", "job", 0)
