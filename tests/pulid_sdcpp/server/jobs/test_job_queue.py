"""The line of waiting jobs: its order, its bound, and that nobody in it is forgotten."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulid_sdcpp.server.errors import ApiError
from pulid_sdcpp.server.jobs.job_queue import JobQueue
from pulid_sdcpp.server.jobs.jobs import Job


def a_job(name: str, sequence: int, owner: str = "a", kind: str = "img_gen") -> Job:
    return Job(name, kind, owner, 0.0, sequence, {}, (1, 2))


def filled(*jobs: tuple[str, str]) -> JobQueue:
    """A queue of jobs, each a name and an owner."""
    queue = JobQueue(64)
    for number, (name, owner) in enumerate(jobs, 1):
        queue.add(a_job(name, number, owner))
    return queue


def test_first_come_first_served_but_extractions_and_begun_ones_before() -> None:
    queue = filled(("one", "a"), ("two", "b"))
    queue.add(a_job("face", 3, kind="extract"))
    queue.add(replace(a_job("again", 4), started=1.0))
    assert queue.waiting() == ["again", "face", "one", "two"]
    assert [queue.position(name) for name in ("again", "two", "other")] == [1, 4, 0]
    assert queue.take(0) == "again"
    assert [queue.position(name) for name in ("again", "face")] == [0, 1]
    assert queue.running() == ["again"]
    queue.add(a_job("face 2", 5, kind="extract"))
    assert [queue.take(0) for _ in range(5)] == ["face", "face 2", "one", "two", None]


def test_waiting_running_and_kept_room_count_together() -> None:
    queue = JobQueue(3)
    with queue.room() as sequence:
        queue.add(a_job("one", sequence))
        assert queue.take(0) == "one"
        with queue.room(), queue.room(), pytest.raises(ApiError, match="3 jobs wait") as error:
            queue.room().__enter__()
        assert error.value.code == "queue_full"
        assert 1 <= int(error.value.headers["Retry-After"]) <= 120
    with queue.room(), queue.room():  # what was kept and not used is free again
        pass
    queue.done("one")
    with queue.room(), queue.room(), queue.room():
        pass


def test_a_job_that_is_not_accepted_leaves_its_room() -> None:
    queue = JobQueue(1)
    for _ in range(3):
        with pytest.raises(OSError, match="full"), queue.room():
            raise OSError("full")
    with queue.room() as sequence:
        queue.add(a_job("one", sequence))
    assert queue.waiting() == ["one"]


def test_sequences_go_on_after_those_of_the_disk() -> None:
    queue = JobQueue(2)
    for number in (7, 3, 5):  # beyond the size
        queue.add(a_job(str(number), number))
    for _ in range(2):
        queue.done(queue.take(0) or "")
    with queue.room() as sequence:
        assert sequence == 8


def test_two_hundred_clients_at_once_and_sixty_four_are_accepted() -> None:
    queue = JobQueue(64)
    start = threading.Barrier(20)
    outcomes: list[str] = []

    def clients(number: int) -> None:
        start.wait()
        for one in range(10):
            try:
                with queue.room() as sequence:
                    queue.add(a_job(f"{number}-{one}", sequence))
                    time.sleep(0.001)
                outcomes.append("accepted")
            except ApiError as error:
                outcomes.append(error.code)

    threads = [threading.Thread(target=clients, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(outcomes) == {"accepted": 64, "queue_full": 136}
    assert len(set(queue.waiting())) == 64


def test_a_waiting_job_can_be_withdrawn_and_a_served_one_not() -> None:
    queue = filled(("one", "a"), ("two", "a"))
    assert queue.take(0) == "one"
    assert not queue.withdraw("one")
    assert queue.withdraw("two")
    assert not queue.withdraw("two")
    assert queue.take(0) is None


@pytest.mark.parametrize(
    ("name", "position", "order", "changed"),
    [
        ("a3", 1, "a3 b1 a1 b2 a2", {"a3": 1, "a1": 3, "a2": 5}),
        ("a1", 3, "a2 b1 a3 b2 a1", {"a2": 1, "a3": 3, "a1": 5}),
        ("a1", 99, "a2 b1 a3 b2 a1", {"a2": 1, "a3": 3, "a1": 5}),
        ("a1", 1, "a1 b1 a2 b2 a3", {}),
        ("b2", 1, "a1 b2 a2 b1 a3", {"b2": 2, "b1": 4}),
    ],
)
def test_own_jobs_exchange_their_places(
    name: str, position: int, order: str, changed: dict[str, int]
) -> None:
    queue = filled(("a1", "a"), ("b1", "b"), ("a2", "a"), ("b2", "b"), ("a3", "a"))
    assert queue.move(name, position) == changed
    assert queue.waiting() == order.split()
    again = JobQueue(64)  # as after a restart, by the sequences on the disk
    sequences = {"a1": 1, "b1": 2, "a2": 3, "b2": 4, "a3": 5} | changed
    for one, sequence in sequences.items():
        again.add(a_job(one, sequence, one[0]))
    assert again.waiting() == order.split()


def test_what_cannot_be_moved() -> None:
    queue = filled(("one", "a"), ("two", "a"))
    queue.take(0)
    with pytest.raises(ApiError, match="not waiting"):
        queue.move("one", 1)
    with pytest.raises(ValueError, match="expected 1 or more"):
        queue.move("two", 0)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 12))))
def test_moves_never_change_where_another_owner_stands(moves: list[tuple[int, int]]) -> None:
    names = [f"{'ab'[number % 3 == 0]}{number}" for number in range(10)]
    queue = filled(*((name, name[0]) for name in names))
    for number, position in moves:
        queue.move(names[number], position)
    assert sorted(queue.waiting()) == sorted(names)
    assert [name[0] for name in queue.waiting()] == [name[0] for name in names]


def test_paused_it_serves_nobody() -> None:
    queue = filled(("one", "a"))
    queue.pause()
    assert queue.is_paused
    assert queue.take(0) is None
    taken = in_thread(queue)
    time.sleep(0.02)
    assert taken == []
    queue.resume()
    joined(taken)
    assert taken == ["one"]


def test_closed_it_takes_and_gives_nothing() -> None:
    queue = JobQueue(4)
    taken = in_thread(queue)
    time.sleep(0.02)
    queue.close()
    joined(taken)
    assert taken == [None]
    with pytest.raises(ApiError) as error:
        queue.room().__enter__()
    assert error.value.code == "shutting_down"
    queue.add(a_job("one", 1))
    assert queue.take() is None


def test_times_say_when_to_come_again() -> None:
    queue = filled(("one", "a"), ("two", "a"))
    assert (queue.mean_picture_s, queue.eta_s(), queue.retry_after_s()) == (0, 0, 1)
    queue.picture_took(2)
    queue.picture_took(4)
    assert (queue.mean_picture_s, queue.eta_s(), queue.retry_after_s()) == (3, 12, 12)
    for _ in range(50):
        queue.picture_took(100)
    assert (queue.mean_picture_s, queue.retry_after_s()) == (100, 120)


def test_threads_and_a_loop_together_lose_no_job() -> None:
    queue = JobQueue(10_000)
    taken: list[str] = []
    wanted = 400

    def work() -> None:
        while (job_id := queue.take()) is not None:
            taken.append(job_id)
            queue.done(job_id)

    async def work_async() -> None:
        while (job_id := await queue.take_async()) is not None:
            taken.append(job_id)
            queue.done(job_id)

    async def main() -> None:
        await asyncio.gather(*(work_async() for _ in range(3)))

    def give() -> None:
        for _ in range(wanted // 4):
            with queue.room() as sequence:
                queue.add(a_job(str(sequence), sequence))
            if sequence % 7 == 0:
                time.sleep(0.0005)  # so that they fall asleep in between

    workers = [threading.Thread(target=work, daemon=True) for _ in range(2)]
    workers.append(threading.Thread(target=asyncio.run, args=(main(),), daemon=True))
    givers = [threading.Thread(target=give) for _ in range(4)]
    for thread in workers + givers:
        thread.start()
    for thread in givers:
        thread.join()
    end = time.monotonic() + 10
    while len(taken) < wanted and time.monotonic() < end:
        time.sleep(0.001)
    queue.close()
    for thread in workers:
        thread.join(10)
        assert not thread.is_alive()
    assert Counter(taken) == {str(number): 1 for number in range(1, wanted + 1)}
    assert queue.running() == []


def test_a_cancelled_waiter_takes_no_job_along() -> None:
    async def main() -> None:
        queue = JobQueue(64)
        waiters = [asyncio.create_task(queue.take_async()) for _ in range(3)]
        await asyncio.sleep(0)
        queue.add(a_job("one", 1))  # wakes all three
        waiters[0].cancel()
        waiters[2].cancel()
        assert await asyncio.wait_for(waiters[1], 5) == "one"
        await asyncio.gather(*waiters, return_exceptions=True)
        queue.add(a_job("two", 2))
        assert await queue.take_async(5) == "two"
        assert await queue.take_async(0.01) is None
        assert not queue._asleep

    asyncio.run(main())


def test_a_loop_that_ended_stops_nobody() -> None:
    queue = JobQueue(64)
    loop = asyncio.new_event_loop()
    task = loop.create_task(queue.take_async())
    loop.run_until_complete(asyncio.sleep(0))
    task.cancel()
    queue._asleep[loop.create_future()] = loop  # as one that was not told
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()
    queue.add(a_job("one", 1))
    assert queue.take(0) == "one"


def in_thread(queue: JobQueue) -> list[str | None]:
    taken: list[str | None] = []
    threading.Thread(target=lambda: taken.append(queue.take(60)), daemon=True).start()
    return taken


def joined(taken: list[str | None]) -> None:
    end = time.monotonic() + 10
    while not taken and time.monotonic() < end:
        time.sleep(0.001)
