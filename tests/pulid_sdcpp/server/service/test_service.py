"""The server without HTTP: jobs are accepted, made, cancelled, and go on after a stop."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pulid_sdcpp.errors import OutputFileError
from pulid_sdcpp.identity.identity_file import Identity
from pulid_sdcpp.identity.kept_people import keep_person
from pulid_sdcpp.server.errors import ApiError
from pulid_sdcpp.server.jobs.jobs import Job
from pulid_sdcpp.server.request.body_fields import body_fields
from pulid_sdcpp.server.request.request_files import RequestFiles
from pulid_sdcpp.server.service.service import PictureService
from served import run_service, started


async def submitted(
    service: PictureService, prompt: str = "plain", owner: str = "local", **body: Any
) -> Job:
    synchronous = body.pop("synchronous", False)
    key = body.pop("idempotency_key", "")
    files = RequestFiles(service.limits)
    fields = body_fields({"prompt": prompt, "seed": 7, **body})
    request = await service.read(fields, files)
    return await service.submit(
        request, files.contents, owner=owner, synchronous=synchronous, idempotency_key=key
    )


def test_a_job_is_accepted_made_and_kept(tmp_path: Path) -> None:
    async def test(service: PictureService) -> None:
        async with service.hub.subscribe(owner="local") as events:
            job = await submitted(service, batch_count=2)
            assert job.status == "queued"
            ended = await service.finished(job.id)
            names = []
            while (event := await events.next(0)) is not None:
                assert event.job == job.id
                names.append(event.name)
        assert names[0] == "queued"
        assert names[-1] == "completed"
        assert {"stage", "step"} <= set(names)
        assert names.count("saved") == 2
        assert ended.status == "completed"
        assert [picture.seed for picture in ended.pictures] == [7, 8]
        assert service.queue.mean_picture_s > 0
        path = service.picture(f"{job.id}-1", "local")[2]
        assert path.read_bytes().startswith(b"\x89PNG")
        with pytest.raises(ApiError, match="no such picture"):
            service.picture(f"{job.id}-2", "local")
        with pytest.raises(ApiError, match="no such job"):
            service.picture(f"{job.id}-1", "another")

    run_service(tmp_path, test)


@pytest.mark.parametrize("log_prompts", [False, True])
def test_prompts_are_logged_only_where_that_is_wanted(
    log_prompts: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(service: PictureService) -> None:
        job = await submitted(service, "a secret garden")
        await service.finished(job.id)
        line = f"{job.id}: a secret garden"
        assert [one for one in caplog.messages if "secret" in one] == [line] * log_prompts

    caplog.set_level("DEBUG", "pulid_sdcpp")
    run_service(tmp_path, test, log_prompts=log_prompts)


def test_a_failed_job_says_why(tmp_path: Path) -> None:
    async def test(service: PictureService) -> None:
        job = await submitted(service, people=[{"embedding": "AAAA"}])
        raise AssertionError(job)

    with pytest.raises(ApiError) as caught:
        run_service(tmp_path, test)
    assert caught.value.code == "bad_identity"


def test_a_person_of_other_models_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULID_SDCPP_DATA", str(tmp_path / "data"))
    for encoder, number in (("flux", 0.5), ("sdxl-v1", 0.7)):
        tokens = np.full((4, 8), number, np.float32)
        identity = Identity.from_array(tokens, encoder=encoder, source_sha256="ab" * 32)
        keep_person("alice", identity)

    async def test(service: PictureService) -> None:
        takes = ["sdxl-v1"]
        monkeypatch.setattr(service.models, "encoders", lambda name: tuple(takes))
        job = await submitted(service, identity="alice")
        assert job.request["people"][0]["identity"] == identity.short_hash
        await service.cancel(job.id)
        takes[:] = ["sdxl-v1.1"]
        with pytest.raises(ApiError, match=r"is kept for Flux or SDXL v1, but .* add the same"):
            await submitted(service, identity="alice")

    run_service(tmp_path, test)


def test_a_person_who_is_not_kept_is_refused_at_once(tmp_path: Path) -> None:
    async def test(service: PictureService) -> None:
        with pytest.raises(ApiError) as caught:
            await submitted(service, identity="nobody")
        assert caught.value.code == "identity_not_found"
        assert service.book.newest() == []

    run_service(tmp_path, test)


def test_jobs_are_cancelled_while_they_wait_and_while_they_run(tmp_path: Path) -> None:
    async def test(service: PictureService) -> None:
        running = await submitted(service, "slow", steps=150)
        waiting = await submitted(service)
        while service.hub.progress(running.id) is None:
            await asyncio.sleep(0.01)
        assert (await service.cancel(waiting.id)).status == "cancelled"
        ended = await service.cancel(running.id)
        assert (ended.status, ended.error and ended.error.code) == ("cancelled", "cancelled")
        assert (await service.cancel(running.id)) == ended
        assert (await service.finished((await submitted(service)).id)).status == "completed"

    run_service(tmp_path, test)


async def skipped_at(service: PictureService, job: Job, picture: int) -> None:
    while True:
        progress = service.hub.progress(job.id)
        if progress and progress.picture == picture and progress.stage == "denoise":
            service.skip(job.id)
            return
        await asyncio.sleep(0.01)


def test_a_picture_is_skipped_and_the_next_ones_are_made(tmp_path: Path) -> None:
    async def test(service: PictureService) -> None:
        service.skip("job_that_is_not_there")
        job = await submitted(service, "slow", steps=20, batch_count=4)
        await skipped_at(service, job, 1)
        await skipped_at(service, job, 2)
        ended = await service.finished(job.id)
        assert ended.status == "completed"
        assert [picture.seed for picture in ended.pictures] == [7, 10]

        last = await submitted(service, "slow", steps=20)
        await skipped_at(service, last, 0)
        ended = await service.finished(last.id)
        assert (ended.status, ended.pictures) == ("completed", ())

        both = await submitted(service, "slow", steps=20, batch_count=2)
        await skipped_at(service, both, 0)
        assert (await service.cancel(both.id)).status == "cancelled"

    run_service(tmp_path, test)


def test_the_queue_is_bounded_and_a_key_is_one_job(tmp_path: Path) -> None:
    async def test(service: PictureService) -> None:
        first = await submitted(service, "slow", idempotency_key="one")
        again = await submitted(service, "slow", idempotency_key="one")
        assert again.id == first.id
        await submitted(service)
        with pytest.raises(ApiError) as caught:
            await submitted(service)
        assert caught.value.code == "queue_full"
        assert caught.value.headers["Retry-After"]

    from pulid_sdcpp.server.limits import Limits

    run_service(tmp_path, test, limits=Limits(queue_size=2))


def test_jobs_that_take_too_long_fail(tmp_path: Path) -> None:
    from pulid_sdcpp.server.limits import Limits

    async def test(service: PictureService) -> None:
        running = await submitted(service, "slow", steps=150, timeout_s=0.5)
        waiting = await submitted(service)
        for job in (running, waiting):
            ended = await service.finished(job.id)
            assert (ended.status, ended.error and ended.error.code) == ("failed", "timed_out")

    run_service(tmp_path, test, limits=Limits(queue_timeout_s=0.2))


def test_after_a_stop_in_good_order_the_jobs_go_on(tmp_path: Path) -> None:
    async def test() -> None:
        async with started(tmp_path) as service:
            running = await submitted(service, "slow", steps=100, batch_count=2)
            waiting = await submitted(service)
            synchronous = await submitted(service, synchronous=True)
            while service.hub.progress(running.id) is None:
                await asyncio.sleep(0.01)
        assert service.job(running.id, None).status == "queued"
        with pytest.raises(ApiError, match="being stopped"):
            await submitted(service)
        async with started(tmp_path) as service:
            for job in (running, waiting):
                ended = await service.finished(job.id)
                assert ended.status == "completed"
                assert ended.seeds == job.seeds
                assert len(ended.pictures) == len(job.seeds)
            assert service.job(running.id, None).interruptions == 0
            assert service.job(synchronous.id, None).status == "cancelled"

    asyncio.run(asyncio.wait_for(test(), 60))


def test_other_kinds_of_jobs_run_beside_the_queue(tmp_path: Path) -> None:
    async def test(service: PictureService) -> None:
        async def grid(job: Job) -> dict[str, Any]:
            inner = await submitted(service)
            await service.finished(inner.id)
            return {"pictures": [f"{inner.id}-0"], **job.request}

        async def fails(job: Job) -> dict[str, Any]:
            await asyncio.sleep(job.request["s"])
            raise ValueError(f"{job.kind} cannot be done")

        service.do("grid", grid)
        service.do("download", fails)
        done = await service.finished((await service.submit_other("grid", "local", {"a": 1})).id)
        assert (done.status, done.result["a"]) == ("completed", 1)
        failed = await service.finished(
            (await service.submit_other("download", "local", {"s": 0})).id
        )
        assert failed.status == "failed"
        long = await service.submit_other("download", "local", {"s": 100})
        await asyncio.sleep(0)
        assert (await service.cancel(long.id)).status == "cancelled"

    run_service(tmp_path, test)


def test_what_was_not_to_be_kept_is_removed(tmp_path: Path) -> None:
    async def test(service: PictureService) -> None:
        now = service.clock()
        unkept = await submitted(service, store=False)
        kept = await submitted(service)
        await service.finished(kept.id)
        await service.clean()
        assert service.job(unkept.id, None).status == "completed"
        service.clock = lambda: now + 4000
        await service.clean()
        with pytest.raises(ApiError, match="no such job"):
            service.job(unkept.id, None)
        service.clock = lambda: now + 40 * 86400
        await service.clean()
        with pytest.raises(ApiError, match="was removed"):
            service.job(kept.id, "local")

    run_service(tmp_path, test)


def test_two_engines_serve_one_queue(tmp_path: Path) -> None:
    async def test(service: PictureService) -> None:
        jobs = [await submitted(service, "slow", steps=30) for _ in range(4)]
        while len(service.queue.running()) < 2:
            await asyncio.sleep(0.01)
        assert set(service.queue.running()) == {jobs[0].id, jobs[1].id}
        assert service.queue.waiting() == [jobs[2].id, jobs[3].id]
        for job in jobs:
            assert (await service.finished(job.id)).status == "completed"

    run_service(tmp_path, test, engines=2)


def test_a_job_is_done_though_who_asked_for_it_was_cancelled_meanwhile(tmp_path: Path) -> None:
    async def test(service: PictureService) -> None:
        async def work(job: Job) -> dict[str, Any]:
            return {"done": True}

        service.do("score", work)
        for _ in range(20):
            asking = asyncio.ensure_future(service.submit_other("score", "local", {}))
            while not service.book.newest(status="queued") and not asking.done():
                await asyncio.sleep(0)
            asking.cancel()
        await asyncio.sleep(0.1)
        jobs = service.book.newest()
        assert jobs
        for job in jobs:
            assert (await service.finished(job.id)).result == {"done": True}

    run_service(tmp_path, test)


def test_on_a_full_disk_jobs_end_and_are_written_when_there_is_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with started(tmp_path) as service:
            store = service.book.store
            former = await service.finished((await submitted(service)).id)
            running = await submitted(service, "slow", steps=150)
            waiting, other = await submitted(service), await submitted(service)
            while service.hub.progress(running.id) is None:
                await asyncio.sleep(0.01)

            def full(job: Job) -> None:
                raise OutputFileError("no space left")

            with monkeypatch.context() as patched:
                patched.setattr(store, "update", full)
                assert (await service.cancel(waiting.id)).status == "cancelled"
                assert (await service.cancel(running.id)).status == "cancelled"
                failed = await service.finished(other.id)
                assert (failed.status, failed.error and failed.error.code) == (
                    "failed",
                    "disk_full",
                )
                while service.queue.running():
                    await asyncio.sleep(0.01)
                assert service.hub.progress(running.id) is None
            assert {job.id: job.status for job in store.load_all()}[waiting.id] == "queued"
            assert await service.remove(former.id)
            on_disk = {job.id: job.status for job in store.load_all()}
            assert on_disk == {
                running.id: "cancelled",
                waiting.id: "cancelled",
                other.id: "failed",
            }

    asyncio.run(asyncio.wait_for(test(), 60))


def test_who_waits_for_a_job_is_told_though_who_cancelled_it_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(service: PictureService) -> None:
        writing, may_write = threading.Event(), threading.Event()
        real = service.book.store.update

        def slow(job: Job) -> None:
            if job.status == "cancelled":
                writing.set()
                may_write.wait(10)
            real(job)

        monkeypatch.setattr(service.book.store, "update", slow)
        await submitted(service, "slow", steps=100)
        job = await submitted(service)
        waiting = asyncio.ensure_future(service.finished(job.id))
        cancelling = asyncio.ensure_future(service.cancel(job.id))
        await asyncio.to_thread(writing.wait, 10)
        for _ in range(2):
            cancelling.cancel()
            await asyncio.sleep(0)
        may_write.set()
        assert (await asyncio.wait_for(waiting, 10)).status == "cancelled"
        with pytest.raises(asyncio.CancelledError):
            await cancelling

    run_service(tmp_path, test)


def test_a_job_that_is_cancelled_before_it_is_begun_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(service: PictureService) -> None:
        begun = []

        async def work(job: Job) -> dict[str, Any]:
            begun.append(job.id)
            return {}

        follow = service.runner.follow

        def after_a_cancel(job: Job) -> None:
            service.book.change(job.id, lambda job: replace(job, cancel_requested=True))
            follow(job)

        monkeypatch.setattr(service.runner, "follow", after_a_cancel)
        service.do("download", work)
        job = await service.submit_other("download", "local", {})
        assert (await service.finished(job.id)).status == "cancelled"
        assert not begun

    run_service(tmp_path, test)
