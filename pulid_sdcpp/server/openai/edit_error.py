"""Errors about the person of an edit, in the words of who sent a picture to edit."""

from __future__ import annotations

import re

from ..errors import ApiError
from .request import OpenaiRequest

__all__ = ["edit_error"]

_PERSON = re.compile(r"(photo|photos|identity)(\[\d+\])?")
"""What the edit's picture became: the fields of a person."""
_OF_PICTURES = ("no_face", "face_not_there", "bad_image", "identity_not_found")
_ADVICE = "give image_role init or reference if the picture is no photo of a person"


def edit_error(error: ApiError, request: OpenaiRequest) -> ApiError:
    """The error with the field as the client called it; without a face, with what else to do.

    Args:
        error: Of the request, or of its job.
        request: The edit; others' errors stay as they are.
    """
    if request.image_role != "identity":
        return error
    param, message = error.param, error.message
    if found := _PERSON.fullmatch(param or ""):
        new = request.image_param.removesuffix("[]") + (found[2] or "")
        message = re.sub(rf"(?<!\w){re.escape(found[0])}(?!\w)", new, message, count=1)
        param = new
    elif param is None and error.code in _OF_PICTURES:
        param = request.image_param
    if error.code == "no_face":
        message = f"{message}; {_ADVICE}"
    return ApiError(error.code, message, param, error.headers, status=error.status)
