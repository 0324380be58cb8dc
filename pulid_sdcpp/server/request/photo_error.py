"""Errors about the photos of a job, in which photos are called as the request calls them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from ..errors import ApiError, api_error_of

__all__ = ["photo_error"]


def photo_error(
    exception: Exception, files: Sequence[str], *, person: int, people: int
) -> ApiError:
    """What a client is told: which of its photos is wrong, not what its file is called here.

    Args:
        exception: Of the extraction.
        files: The person's photos, relative to the job's folder, in order.
        person: The person's number, from 0.
        people: How many there are.
    """
    error = api_error_of(exception)
    place = f"people[{person}]." if people > 1 else ""
    message, param = error.message, f"{place}photo" if len(files) == 1 else f"{place}photos"
    for number, file in enumerate(files):
        name = rf"(?:[^\s:]*[/\\])?{re.escape(PurePosixPath(file).name)}"
        if re.search(name, message):
            param = param if len(files) == 1 else f"{place}photos[{number}]"
            message = re.sub(name, param, message)
    return ApiError(error.code, message, param, error.headers, status=error.status)
