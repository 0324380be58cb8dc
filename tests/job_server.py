"""A server without HTTP and without an engine, to be killed: it accepts, makes and ends jobs.

Reads names of starts from its input, and runs each in a process of its own, which says what it
has done: `pid N`, `accepted ID`, `saved ID INDEX`, `ended ID`; then `dead`.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time
from pathlib import Path

from PIL import Image

from pulid_sdcpp.pictures.png_text import PictureText, encoded_picture, format_text, save_picture
from pulid_sdcpp.server.jobs.idempotency import IdempotencyKeys
from pulid_sdcpp.server.jobs.job_book import JobBook
from pulid_sdcpp.server.jobs.job_ids import new_job_id
from pulid_sdcpp.server.jobs.job_queue import JobQueue
from pulid_sdcpp.server.jobs.job_store import JobStore
from pulid_sdcpp.server.jobs.jobs import Job, MadePicture

JOBS_A_START = 3
SIZE_PX = 16
PICTURE_S = 0.01


def seeds_of(key: str) -> tuple[int, ...]:
    """Of the job that has a key: as many as its pictures, 1 to 4."""
    number = int(hashlib.sha256(key.encode()).hexdigest()[:8], 16)
    return tuple(range(number, number + 1 + number % 4))


def picture(seed: int) -> tuple[Image.Image, str]:
    """The one picture of a seed, and its text."""
    values = {"Steps": "4", "Seed": str(seed), "Size": f"{SIZE_PX}x{SIZE_PX}"}
    pixels = hashlib.sha256(str(seed).encode()).digest() * (SIZE_PX * SIZE_PX * 3 // 32)
    return Image.frombytes("RGB", (SIZE_PX, SIZE_PX), pixels), format_text(
        PictureText("a test", "", values)
    )


def picture_bytes_of(seed: int) -> bytes:
    """The bytes of its file."""
    image, text = picture(seed)
    return bytes(encoded_picture(image, ".png", text))


def serve(root: Path, start: str) -> None:
    """Start; "last": end when all jobs have ended."""
    store = JobStore(root)
    book, queue = JobBook(store), JobQueue(1000)
    with store.only_server():
        for job in book.load():
            queue.add(job)
        if start != "last":
            accepting = threading.Thread(target=accept, args=(book, queue, start), daemon=True)
            accepting.start()
        while (job_id := queue.take(0 if start == "last" else None)) is not None:
            make(book, job_id)
            queue.done(job_id)


def accept(book: JobBook, queue: JobQueue, start: str) -> None:
    keys = IdempotencyKeys(book.newest(limit=None))
    for number in range(JOBS_A_START):
        key = f"{start}-{number}"
        job_id = new_job_id()
        with keys.claimed("local", key, "0", job_id, time.time()), queue.room() as sequence:
            job = Job(
                job_id, "img_gen", "local", time.time(), sequence, {"prompt": "a test"},
                seeds_of(key), idempotency_key=key, body_sha256="0",
            )  # fmt: skip
            book.accept(job, {"start.png": b"a picture"}, {"photo.jpg": b"a photo"})
            queue.add(job)
        say(f"accepted {job_id}")


def make(book: JobBook, job_id: str) -> None:
    job = book.change(job_id, lambda job: job.begun(time.time()))
    for index in job.missing:
        seed = job.seeds[index]
        image, text = picture(seed)
        time.sleep(PICTURE_S)
        save_picture(image, book.store.picture_path(job_id, index), text)
        made = MadePicture(index, seed, *image.size)
        book.change(job_id, lambda job, made=made: job.with_picture(made))
        say(f"saved {job_id} {index}")
    book.change(job_id, lambda job: job.ended("completed", time.time()))
    say(f"ended {job_id}")


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode("ascii"))


def main() -> None:
    for line in sys.stdin:
        if (pid := os.fork()) == 0:
            try:
                serve(Path(sys.argv[1]), line.strip())
            except BaseException as error:
                say(f"failed {error!r}")
                raise
            finally:
                os._exit(0)
        say(f"pid {pid}")
        os.waitpid(pid, 0)
        say("dead")


if __name__ == "__main__":
    main()
