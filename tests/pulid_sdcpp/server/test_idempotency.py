"""A request that is sent twice is done once."""

from __future__ import annotations

import pytest

from pulid_sdcpp.server.errors import ApiError
from pulid_sdcpp.server.idempotency import KEPT_S, MAX_KEY_CHARS, IdempotencyKeys
from pulid_sdcpp.server.jobs import Job


def test_the_same_key_and_request_are_the_same_job_for_a_day() -> None:
    keys = IdempotencyKeys()
    assert keys.claim("a", "key", "body", "first", 100) == "first"
    assert keys.claim("a", "key", "body", "second", 100 + KEPT_S - 1) == "first"
    assert keys.claim("a", "key", "body", "second", 100 + KEPT_S) == "second"


def test_another_owner_s_key_is_another_and_another_request_a_mistake() -> None:
    keys = IdempotencyKeys()
    assert keys.claim("a", "key", "body", "first", 100) == "first"
    assert keys.claim("b", "key", "body", "second", 100) == "second"
    with pytest.raises(ApiError, match="another request") as error:
        keys.claim("a", "key", "other", "third", 100)
    assert (error.value.code, error.value.param) == ("invalid_value", "Idempotency-Key")


def test_a_job_that_failed_to_be_accepted_gives_its_key_back() -> None:
    keys = IdempotencyKeys()
    keys.claim("a", "key", "body", "first", 100)
    keys.give_up("a", "key", "other")
    keys.give_up("a", "no key", "first")
    assert keys.claim("a", "key", "body", "second", 100) == "first"
    keys.give_up("a", "key", "first")
    assert keys.claim("a", "key", "body", "second", 100) == "second"


def test_keys_are_known_after_a_restart() -> None:
    jobs = [
        Job(name, "img_gen", "a", created, 1, {}, idempotency_key=key, body_sha256="body")
        for name, created, key in [("new", 90, "key"), ("old", 10, "key"), ("none", 95, "")]
    ]
    keys = IdempotencyKeys(jobs)
    assert keys.claim("a", "key", "body", "again", 100) == "new"


@pytest.mark.parametrize("key", ["", "x" * (MAX_KEY_CHARS + 1), "é", "a\n", "\0"])
def test_what_is_no_key(key: str) -> None:
    with pytest.raises(ApiError, match="printable"):
        IdempotencyKeys().claim("a", key, "body", "job", 0)
