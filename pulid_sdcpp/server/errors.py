"""What a client is told when something is wrong: a code, a line of text, and the HTTP status.

    error = ApiError("no_face", "photo: no face was found", param="photo")
    error.status, body_of(error, "openai"), headers_of(error, "openai")

`api_error_of` makes one of any exception; what it does not know is a defect, of which a client
learns nothing more.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from ..errors import (
    BatchFileError,
    DeviceError,
    DownloadError,
    FaceNotFoundError,
    FaceNotThereError,
    GenerationCancelled,
    GenerationError,
    IdentityFileError,
    ImageFileError,
    LicenseError,
    MemoryPlanError,
    MissingDependencyError,
    ModelFileError,
    ModelMismatchError,
    NativeLibraryError,
    OutputExistsError,
    OutputFileError,
    PulidError,
    spelled,
)
from ..terminal_text import escaped_line, shortened

__all__ = [
    "DEFECT",
    "STATUSES",
    "ApiError",
    "BrokenOffError",
    "Family",
    "api_error_of",
    "body_of",
    "headers_of",
    "is_ours",
    "line_without_folders",
    "retry_after_s",
    "type_of",
]

Family = Literal["openai", "own", "sdcpp", "sdapi"]
"""Whose format an answer has: OpenAI's, our own, sd-server's, A1111's."""

_CODES: Mapping[int, str] = {
    400: "invalid_value unknown_field bad_json bad_base64 bad_image image_too_large "
    "url_not_allowed no_face face_not_there bad_identity identity_conflict "
    "identity_without_person does_not_fit no_recipe",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found model_not_found identity_not_found",
    405: "method_not_allowed",
    409: "name_taken in_use not_finished",
    410: "expired",
    413: "too_large",
    415: "wrong_type",
    421: "wrong_host",
    422: "unsupported",
    429: "queue_full too_many_attempts",
    499: "cancelled client_gone",
    500: "generation_failed engine_crashed model_mismatch interrupted defect",
    501: "extraction_unavailable",
    503: "models_missing device shutting_down timed_out",
    507: "disk_full",
}
STATUSES: Mapping[str, int] = MappingProxyType(
    {code: status for status, codes in _CODES.items() for code in codes.split()}
)
"""The HTTP status of each code."""

_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}

DEFECT = "the server made a mistake; its log says which"

# The first that fits counts, so a kind of error stands before what it is a kind of.
_OF_EXCEPTIONS: tuple[tuple[type[Exception], str], ...] = (
    (FaceNotThereError, "face_not_there"),
    (FaceNotFoundError, "no_face"),
    (ImageFileError, "bad_image"),
    (IdentityFileError, "bad_identity"),
    (BatchFileError, "invalid_value"),
    (MemoryPlanError, "does_not_fit"),
    (LicenseError, "forbidden"),
    (DownloadError, "models_missing"),
    (ModelMismatchError, "model_mismatch"),
    (ModelFileError, "models_missing"),
    (MissingDependencyError, "extraction_unavailable"),
    (NativeLibraryError, "device"),
    (DeviceError, "device"),
    (OutputExistsError, "name_taken"),
    (OutputFileError, "disk_full"),
    (GenerationCancelled, "cancelled"),
    (GenerationError, "generation_failed"),
)
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT} if hasattr(errno, "EDQUOT") else {errno.ENOSPC}

# Clients of OpenAI's library would make a failed picture three times.
_NO_RETRY = {409, 499, 500, 507}
_RETRY = {429, 503}
_DEFAULT_RETRY_S = 5
_MAX_RETRY_S = 120  # OpenAI's library gives up when it is told to wait longer


class ApiError(Exception):
    """Something that a client is told; its text is the message.

    Args:
        code: One of `STATUSES`.
        message: One line: what is wrong, in which field, and what to do.
        param: The field of the request, or None.
        headers: To be sent with the answer, such as Retry-After.
        status: The HTTP status; None: the code's. For where a family has another rule.
    """

    def __init__(
        self,
        code: str,
        message: str,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.headers = dict(headers or {})
        self.status = STATUSES[code] if status is None else status

    @property
    def type(self) -> str:
        """OpenAI's word for the kind of error, such as "invalid_request_error"."""
        return type_of(self.status)

    def __reduce__(self) -> tuple[Any, ...]:
        arguments = (self.code, self.message, self.param, self.headers, self.status)
        return _again, arguments


class BrokenOffError(Exception):
    """An answer that has begun ends here, so that nobody takes it for a whole one.

    Args:
        code: Of the error, of which the client cannot be told any more.
    """

    def __init__(self, code: str) -> None:
        super().__init__(f"the answer is broken off: {code}")
        self.code = code


def _again(
    code: str, message: str, param: str | None, headers: Mapping[str, str], status: int
) -> ApiError:
    return ApiError(code, message, param, headers, status=status)


def type_of(status: int) -> str:
    """OpenAI's word for errors of an HTTP status."""
    other = "server_error" if status >= 500 else "invalid_request_error"
    return _TYPES.get(status, other)


def api_error_of(exception: BaseException) -> ApiError:
    """What a client is told of an exception; folders of this computer are left out of it.

    Args:
        exception: An `ApiError` stays as it is. Errors of this package, and its ValueErrors, say
            what they say; a full disk is "disk_full", any other exception a "defect".
    """
    if isinstance(exception, ApiError):
        return exception
    own_code = str(getattr(exception, "code", ""))
    if (
        isinstance(exception, PulidError) and own_code in STATUSES
    ):  # of the server's own, such as "engine_crashed"
        return ApiError(own_code, line_without_folders(str(exception)))
    for kind, code in _OF_EXCEPTIONS:
        if isinstance(exception, kind):
            return ApiError(code, line_without_folders(str(exception)))
    if type(exception) is ValueError and ((param := _option_in(exception)) or is_ours(exception)):
        return ApiError("invalid_value", line_without_folders(str(exception)), param)
    if isinstance(exception, OSError) and exception.errno in _DISK_FULL:
        return ApiError("disk_full", "there is no space left on the server's disk")
    return ApiError("defect", DEFECT)


def body_of(error: ApiError, family: Family) -> dict[str, Any]:
    """The JSON of an error, as clients of a family read it."""
    if family == "sdapi":
        return {
            "error": error.type,
            "detail": error.message,
            "body": "",
            "errors": error.code,
        }
    if family == "sdcpp":
        return {
            "error": error.code.replace("_", " "),
            "message": error.message,
            "code": error.code,
            "param": error.param,
        }
    return {
        "error": {
            "message": error.message,
            "type": error.type,
            "param": error.param,
            "code": error.code,
        }
    }


def headers_of(error: ApiError, family: Family) -> dict[str, str]:
    """The headers of an error's answer: its own, and whether to log in or to try again."""
    headers: dict[str, str] = {}
    if error.status == 401:
        # Basic would open the browser's own dialog over our page.
        headers["WWW-Authenticate"] = 'Basic realm="pulid-sdcpp"' if family == "sdapi" else "Bearer"
    if error.status in _NO_RETRY:
        headers["x-should-retry"] = "false"
    if error.status in _RETRY:
        headers["x-should-retry"] = "true"
        headers["Retry-After"] = str(_DEFAULT_RETRY_S)
    return {**headers, **error.headers}


def retry_after_s(picture_s: float, waiting: int) -> int:
    """Seconds until there may be room: 1 to 120.

    Args:
        picture_s: The mean time of a picture; 0 if there was none yet.
        waiting: How many wait.
    """
    return max(1, min(_MAX_RETRY_S, round(picture_s * max(waiting, 1))))


def _option_in(error: ValueError) -> str | None:
    """The first option that a message names."""
    names: list[str] = []

    def note(name: str) -> str:
        names.append(name)
        return name

    spelled(error, note)
    return names[0] if names else None


def is_ours(error: ValueError) -> bool:
    """Whether this package raised an error itself: then its text is meant for the caller.

    A ValueError of another library, deep in the work, is a defect.
    """
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    module = last.tb_frame.f_globals.get("__name__", "") if last is not None else ""
    return str(module).partition(".")[0] in ("pulid_sdcpp", "pulid_extractor")


# A path that begins at a root: of it only the last name stays. An address (https://...) and a
# path in a folder (a/b) are not such.
_FOLDERS = re.compile(r"(?<![\w:/\\.~-])(?:~|[A-Za-z]:)?[/\\]{1,2}(?:[^\s/\\:'\"`,;]+[/\\])*(?=\w)")


def line_without_folders(message: str) -> str:
    """A message as one line, without the folders of this computer."""
    for folder in (Path.home(), Path.cwd()):  # their names may have spaces
        if folder != folder.parent:
            message = message.replace(f"{folder}{os.sep}", os.sep)
    return shortened(escaped_line(_FOLDERS.sub("", message)))
