"""Files that an owner's jobs have, by the hash by which their requests name them."""

from __future__ import annotations

from typing import Any

from ..server.service.job_request import IDENTITY_SUFFIX

__all__ = ["earlier_file"]

_PREFIX = "sha256:"


def earlier_file(service: Any, owner: str, name: Any) -> bytes | None:
    """What a field of a job's request names, such as a mask or an identity; reads a disk.

    Args:
        service: Whose jobs these are.
        owner: Of whom; nobody else's are looked through.
        name: "sha256:..." and 64 hex digits.

    Returns:
        The file; None: it is gone, or `name` is none.
    """
    if not isinstance(name, str) or not name.startswith(_PREFIX):
        return None
    sha256 = name.removeprefix(_PREFIX)
    if len(sha256) != 64 or not sha256.isalnum():
        return None
    for job in service.book.newest(owner, limit=None):
        if sha256 not in str(job.request):
            continue
        folder = service.book.store.folder(job.id)
        for suffix in (".png", IDENTITY_SUFFIX):
            try:
                return bytes((folder / f"{sha256}{suffix}").read_bytes())
            except OSError:
                continue
    return None
