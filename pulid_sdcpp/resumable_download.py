"""Downloading one large file, in as many goes as it takes.

huggingface_hub's own downloads begin anew when the process was killed or the connection reset;
files of 13 GB deserve better. So the part that was fetched is kept beside the target, under its
own name, and only a file that is whole and has the right hash gets the target's name. The
requests are made by huggingface_hub's session: its proxies, certificates, offline mode.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from .errors import DownloadError

__all__ = ["PART_SUFFIX", "download_file", "file_sha256", "network_problem"]

PART_SUFFIX = ".pulid-sdcpp.incomplete"
Report = Callable[[int, int], None]
"""Called with how many bytes are there, and how many there will be (0: unknown)."""

MAX_GOES = 5
"""Goes that bring nothing new, until it is given up."""
_PAUSE_S = 1.0
_REPORT_INTERVAL_S = 0.1
_CHUNK_BYTES = 1 << 20
_NETWORK_PACKAGES = {"httpx", "httpx2", "httpcore", "httpcore2"}


def download_file(
    url: str,
    target: Path,
    *,
    size_bytes: int = 0,
    sha256: str = "",
    headers: Mapping[str, str] | None = None,
    on_progress: Report | None = None,
) -> None:
    """Fetch `url` as `target`, going on with what an earlier call has left.

    Args:
        size_bytes: What it must have; 0: unknown.
        sha256: What it must have, in hexadecimal; "": unknown.
        headers: Sent to the host of `url` only.
        on_progress: Called ten times a second at most, and at the end.

    Raises:
        DownloadError: It cannot be fetched or written, or is not what it should be; says what is
            kept for the next call.
    """
    part = target.with_name(target.name + PART_SUFFIX)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _only_one(part):
            _fetch(url, part, size_bytes, dict(headers or {}), on_progress)
            _check(url, part, size_bytes, sha256)
            os.replace(part, target)
    except OSError as error:
        raise DownloadError(_unwritable(part, error)) from error


def file_sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a whole file, in hexadecimal."""
    digest = hashlib.sha256()
    buffer = bytearray(_CHUNK_BYTES)
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(memoryview(buffer)[:count])
    return digest.hexdigest()


def network_problem(error: BaseException) -> str:
    """In a few words, if the network is what failed; else ""."""
    if type(error).__module__.partition(".")[0] not in _NETWORK_PACKAGES:
        return ""
    return " ".join(str(error).split()) or type(error).__name__


def _fetch(url: str, part: Path, size: int, headers: dict[str, str], report: Report | None) -> None:
    """Fetch what is missing of `part`, again and again while something arrives."""
    idle = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        if size and before == size:
            return
        if size and before > size:  # of another file
            before = 0
        try:
            _go_on(url, part, before, size, headers, report)
            return
        except _Cut as cut:
            there = part.stat().st_size if part.exists() else 0
            idle = 0 if there > before else idle + 1
            if idle >= MAX_GOES:
                raise DownloadError(
                    f"{url}: the connection to {urlsplit(url).netloc} failed {idle} times ({cut}); "
                    f"what has arrived, {there} bytes, is kept: the same command goes on from there"
                ) from None
            time.sleep(_PAUSE_S * idle)


class _Cut(Exception):
    """It ended early, and may go on."""


def _go_on(
    url: str, part: Path, there: int, size: int, headers: dict[str, str], report: Report | None
) -> None:
    from huggingface_hub import constants, get_session
    from huggingface_hub.errors import OfflineModeIsEnabled

    if there:
        headers = {**headers, "Range": f"bytes={there}-"}
    # Encoded content could not be gone on with, and has another length.
    headers = {**headers, "Accept-Encoding": "identity"}
    try:
        with get_session().stream(
            "GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT
        ) as response:
            _check_status(url, response.status_code, part)
            begin = there if response.status_code == 206 else 0  # 200: all of it comes again
            total = size or begin + int(response.headers.get("Content-Length", 0))
            with part.open("r+b" if begin else "wb") as file:
                file.seek(begin)
                _write(response.iter_raw(), file, begin, total, report)
    except OfflineModeIsEnabled:
        raise DownloadError(f"{url}: HF_HUB_OFFLINE is set; unset it to download") from None
    except (DownloadError, _Cut, OSError):
        raise
    except Exception as error:
        if problem := network_problem(error):
            raise _Cut(problem) from None
        raise
    if total > part.stat().st_size:
        raise _Cut("it ended early")


def _check_status(url: str, status: int, part: Path) -> None:
    if status in (200, 206):
        return
    if status == 416:  # what is there is not the beginning of this file
        part.unlink(missing_ok=True)
        raise _Cut("the file there is another one by now")
    if status in (408, 429) or status >= 500:
        raise _Cut(f"the server answered {status}")
    advice = "the file is not there any more: update pulid-sdcpp, or get it elsewhere"
    if status not in (404, 410):
        advice = "it may need a login; get the file elsewhere, or try again later"
    raise DownloadError(f"{url}: the server answered {status}; {advice}")


def _write(
    chunks: Iterator[bytes], file: BinaryIO, done: int, total: int, report: Report | None
) -> None:
    """Write what comes as it comes, so that nothing is lost when it ends."""
    said_s = -_REPORT_INTERVAL_S
    for chunk in chunks:
        if report is not None and time.monotonic() - said_s >= _REPORT_INTERVAL_S:
            report(done, total)
            said_s = time.monotonic()
        file.write(chunk)
        done += len(chunk)
    if report is not None:
        report(done, total)


def _check(url: str, part: Path, size: int, sha256: str) -> None:
    found = part.stat().st_size
    if size and found != size:
        part.unlink()
        raise DownloadError(f"{url}: expected {size} bytes, got {found}; it was removed, try again")
    if sha256 and (hashed := file_sha256(part)) != sha256:
        part.unlink()
        raise DownloadError(
            f"{url}: what arrived is damaged or another file: expected SHA-256 {sha256[:12]}..., "
            f"found {hashed[:12]}...; it was removed, try again"
        )


@contextlib.contextmanager
def _only_one(part: Path) -> Iterator[None]:
    """Keep other processes from the same part."""
    from filelock import FileLock, Timeout

    lock = FileLock(f"{part}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise DownloadError(
            f"{part}: another process is downloading this file; wait for it"
        ) from None
    try:
        yield
    finally:
        lock.release()
        with contextlib.suppress(OSError):  # on Windows while another process looks at it
            os.unlink(f"{part}.lock")


def _unwritable(part: Path, error: OSError) -> str:
    reason = error.strerror or str(error)
    text = f"cannot write {part}: {reason}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        text += "; make room: what has arrived is kept, and the same command goes on from there"
    return text
