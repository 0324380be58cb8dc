"""Downloading one large file, in as many goes as it takes.

huggingface_hub's own downloads begin anew when the process was killed or the connection reset;
files of 13 GB deserve better. So the part that was fetched is kept beside the target, under its
own name, and only a file that is whole and has the right hash gets the target's name. Where no
hash is known, a part is gone on with only if the server's own mark of the content (its ETag or
date) is the one of then, which is kept beside the part. The requests are made by huggingface_hub's
session: its proxies, certificates, offline mode.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from ..errors import DownloadError
from ..system.file_hash import file_sha256
from ..system.file_signature import SIGNATURE_BYTES, signature
from ..system.json_record import read_json
from ..terminal_text import reason_of

__all__ = ["PART_SUFFIX", "download_file", "network_problem"]

PART_SUFFIX = ".pulid-sdcpp.incomplete"
Report = Callable[[int, int], None]
"""Called with how many bytes are there, and how many there will be (0: unknown)."""

_MARK_SUFFIX = ".mark"
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)")
_TORCH = ("a torch checkpoint or another zip archive", "a pickle (old torch checkpoint)")
_SIGNATURES = {
    ".gguf": ("a gguf file",),
    ".safetensors": ("a safetensors file",),
    ".sft": ("a safetensors file",),
    ".onnx": ("an ONNX model",),
    ".pt": _TORCH,
    ".pth": _TORCH,
    ".bin": _TORCH,
    ".ckpt": _TORCH,
}
"""What files whose names end so begin with."""

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
    name: str = "",
    headers: Mapping[str, str] | None = None,
    on_progress: Report | None = None,
) -> None:
    """Fetch `url` as `target`, going on with what an earlier call has left.

    Args:
        size_bytes: What it must have; 0: unknown.
        sha256: What it must have, in hexadecimal; "": unknown.
        name: What it is published as: where no hash is known, what it begins with must fit the
            name's ending; "": the target's name.
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
            wanted = _WantedFile(url, size_bytes, sha256, dict(headers or {}))
            _fetch(wanted, part, on_progress)
            _check(wanted, part, name or target.name)
            os.replace(part, target)
            _mark_path(part).unlink(missing_ok=True)
    except OSError as error:
        raise DownloadError(_unwritable(part, error)) from error


def network_problem(error: BaseException) -> str:
    """In a few words, if the network is what failed; else ""."""
    if type(error).__module__.partition(".")[0] not in _NETWORK_PACKAGES:
        return ""
    return " ".join(str(error).split()) or type(error).__name__


@dataclass(frozen=True)
class _WantedFile:
    """What is to be fetched; as for `download_file`."""

    url: str
    size_bytes: int
    sha256: str
    headers: dict[str, str]


def _fetch(wanted: _WantedFile, part: Path, report: Report | None) -> None:
    """Fetch what is missing of `part`, again and again while something arrives."""
    idle, most = 0, 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        if wanted.size_bytes and before > wanted.size_bytes:  # of another file
            before = 0
        mark = "" if wanted.sha256 else _mark(wanted.url, part)
        if not wanted.sha256 and not mark:
            before = 0
        if wanted.size_bytes and before == wanted.size_bytes:
            return
        try:
            _go_on(wanted, part, before, mark, report)
            return
        except _Cut as cut:
            there = part.stat().st_size if part.exists() else 0
            # Of all goes: what cannot be gone on with begins at 0 again each time.
            most = max(most, before)
            idle = 0 if there > most else idle + 1
            most = max(most, there)
            if idle >= MAX_GOES:
                raise DownloadError(
                    f"{wanted.url}: the connection to {urlsplit(wanted.url).netloc} failed {idle} "
                    f"times ({cut}); what has arrived, {there} bytes, is kept: the same command "
                    "goes on from there"
                ) from None
            time.sleep(_PAUSE_S * idle)


class _Cut(Exception):
    """It ended early, and may go on."""


class _TooMuch(Exception):
    """More comes than the file can have."""


def _go_on(wanted: _WantedFile, part: Path, there: int, mark: str, report: Report | None) -> None:
    from huggingface_hub import constants, get_session
    from huggingface_hub.errors import OfflineModeIsEnabled

    url = wanted.url
    # Encoded content could not be gone on with, and has another length.
    headers = {**wanted.headers, "Accept-Encoding": "identity"}
    if there:
        headers |= {"Range": f"bytes={there}-"} | ({"If-Range": mark} if mark else {})
    try:
        with get_session().stream(
            "GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT
        ) as response:
            _check_status(url, response.status_code, part)
            begin, total = _extent(response.status_code, response.headers, there, mark, part)
            _check_total(wanted, total)
            total = total or wanted.size_bytes
            if not wanted.sha256:
                _keep_mark(url, part, response.headers)
            with part.open("r+b" if begin else "wb") as file:
                file.seek(begin)
                _write(response.iter_raw(), file, begin, total, report)
    except OfflineModeIsEnabled:
        raise DownloadError(f"{url}: HF_HUB_OFFLINE is set; unset it to download") from None
    except _TooMuch:
        part.unlink()
        raise DownloadError(
            f"{url}: expected {total} bytes, and more are coming; what came was removed: it is "
            "another file"
        ) from None
    except (DownloadError, _Cut, OSError):
        raise
    except Exception as error:
        if problem := network_problem(error):
            raise _Cut(problem) from None
        raise
    if total > part.stat().st_size:
        raise _Cut("it ended early")


def _extent(
    status: int, headers: Mapping[str, str], there: int, mark: str, part: Path
) -> tuple[int, int]:
    """Where what comes begins, and all bytes of the file (0: the server does not say)."""
    length = headers.get("Content-Length", "")
    length_bytes = int(length) if re.fullmatch(r"\d{1,18}", length) else 0
    if status != 206:  # all of it comes again
        return 0, length_bytes
    found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
    is_changed = bool(mark) and _mark_of(headers) not in ("", mark)
    if found is None or int(found[1]) != there or is_changed:
        part.unlink(missing_ok=True)
        raise _Cut("the server sent another part than the one asked for")
    total = there + length_bytes if length_bytes else 0
    return there, total if found[2] == "*" else int(found[2])


def _check_total(wanted: _WantedFile, total: int) -> None:
    """Refuse, before anything is written, what cannot be the file, or may have no end."""
    if not total and not wanted.size_bytes:
        raise DownloadError(
            f"{wanted.url}: the server does not say how large the file is, so that nothing could "
            "tell whether it came whole; write its size_bytes and sha256 into your config file, or "
            "download it yourself"
        )
    if total and wanted.size_bytes and total != wanted.size_bytes:
        raise DownloadError(
            f"{wanted.url}: expected {wanted.size_bytes} bytes, but the server has {total}: it is "
            "another file"
        )


def _mark(url: str, part: Path) -> str:
    """The server's mark of the content that a part was fetched of; "" when there is none."""
    try:
        found = read_json(_mark_path(part))
        return str(found["mark"]) if found["url"] == url else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _keep_mark(url: str, part: Path, headers: Mapping[str, str]) -> None:
    """Before anything of a new content is written."""
    if mark := _mark_of(headers):
        _mark_path(part).write_text(json.dumps({"url": url, "mark": mark}), encoding="utf-8")
    else:
        _mark_path(part).unlink(missing_ok=True)


def _mark_of(headers: Mapping[str, str]) -> str:
    etag = headers.get("ETag", "")
    return etag if etag.startswith('"') else headers.get("Last-Modified", "")  # W/ is not exact


def _mark_path(part: Path) -> Path:
    return part.with_name(part.name + _MARK_SUFFIX)


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
    """Write what comes as it comes, so that nothing is lost when it ends; never over `total`."""
    said_s = -_REPORT_INTERVAL_S
    for chunk in chunks:
        if report is not None and time.monotonic() - said_s >= _REPORT_INTERVAL_S:
            report(done, total)
            said_s = time.monotonic()
        if done + len(chunk) > total:
            raise _TooMuch
        file.write(chunk)
        done += len(chunk)
    if report is not None:
        report(done, total)


def _check(wanted: _WantedFile, part: Path, name: str) -> None:
    url, size, sha256 = wanted.url, wanted.size_bytes, wanted.sha256
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
    if not sha256 and (problem := _content_problem(part, name)):
        part.unlink()
        raise DownloadError(f"{url}: {problem}; it was removed")


def _content_problem(part: Path, name: str) -> str:
    """Why what arrived cannot be a file of that name; "": it may be."""
    with part.open("rb") as file:
        head = file.read(SIGNATURE_BYTES)
    found, text = signature(head), signature(head.lstrip())
    expected = _SIGNATURES.get(Path(name).suffix.lower())
    is_page = text.startswith("an HTML page")
    if found in expected if expected else not is_page:
        return ""
    wanted = expected[0] if expected else "a model file"
    return f"expected {wanted}, got {text if is_page else found}"


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
    reason = reason_of(error)
    text = f"cannot write {part}: {reason}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        text += "; make room: what has arrived is kept; run the same command again to resume"
    return text
