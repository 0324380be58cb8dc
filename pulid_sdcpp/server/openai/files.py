"""What OpenAI's edits mean by `file_id`: a picture that was made here before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..errors import ApiError
from ..jobs.job_ids import picture_of_id

__all__ = ["with_kept_pictures"]


def with_kept_pictures(body: Mapping[str, Any], read: Callable[[str], bytes]) -> dict[str, Any]:
    """A body of `images/edits` with the pictures that it names by their ids.

    An id that is no picture's stays: it may be a person's.

    Args:
        body: As JSON has it.
        read: Gives a picture's file; raises ApiError where there is none, for this caller.

    Raises:
        ApiError: As `read`, with the field.
    """

    def found(value: Any, param: str) -> Any:
        name = value.get("file_id") if isinstance(value, Mapping) else None
        if not isinstance(name, str) or picture_of_id(name) is None:
            return value
        try:
            return read(name)
        except ApiError as error:
            raise ApiError(error.code, f"{param}: {error.message}", param) from None

    changed = dict(body)
    for param in ("image", "images", "mask"):
        value = body.get(param)
        if isinstance(value, list):
            changed[param] = [found(one, f"{param}[{i}]") for i, one in enumerate(value)]
        elif param in body:
            changed[param] = found(value, param)
    return changed
