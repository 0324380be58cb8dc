"""How much of a body is taken, to the byte, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from pulid_sdcpp.server.bodies.read_body import check_body_length, read_body
from pulid_sdcpp.server.errors import ApiError

MOST = 1000


async def sent(*sizes: int, wait_s: float = 0) -> AsyncIterator[bytes]:
    for size in sizes:
        await asyncio.sleep(wait_s)
        yield b"x" * size


@pytest.mark.parametrize("length", [None, "0", "999", "1000", "0001000"])
def test_lengths_that_are_taken(length: str | None) -> None:
    check_body_length(length, MOST)


def test_a_byte_too_many_is_refused_by_its_header() -> None:
    with pytest.raises(ApiError, match="1,000 bytes at most") as caught:
        check_body_length("1001", MOST)
    assert (caught.value.code, caught.value.status) == ("too_large", 413)


@pytest.mark.parametrize(
    "length", ["", "-1", "+5", " 5", "5_0", "0x10", "1e3", "٣", "5, 5", "9" * 21]
)
def test_what_is_no_length(length: str) -> None:
    with pytest.raises(ApiError) as caught:
        check_body_length(length, MOST)
    assert caught.value.status == 400


@pytest.mark.parametrize("sizes", [(), (1000,), (999, 1), (500, 0, 500)])
def test_chunks_up_to_the_limit_are_taken(sizes: tuple[int, ...]) -> None:
    assert asyncio.run(read_body(sent(*sizes), MOST)) == b"x" * sum(sizes)


@pytest.mark.parametrize("sizes", [(1001,), (1000, 1), (500, 500, 1)])
def test_chunks_are_counted(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ApiError) as caught:
        asyncio.run(read_body(sent(*sizes), MOST))
    assert caught.value.code == "too_large"


def test_an_endless_body_ends_at_the_limit() -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 300
            yield b"x" * 300

    with pytest.raises(ApiError):
        asyncio.run(read_body(endless(), MOST))
    assert taken == 1200


def test_a_slow_body_is_given_up() -> None:
    with pytest.raises(ApiError, match=r"within 0\.1 s") as caught:
        asyncio.run(read_body(sent(*[1] * 100, wait_s=0.03), MOST, time_s=0.1))
    assert caught.value.code == "timed_out"
