"""The body of a request as its endpoint takes it: JSON, or a form with files."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from ..access.access import fetch_host
from ..access.fetch_url import UrlFetcher
from ..bodies.bracket_fields import unbracketed
from ..bodies.form_body import form_body
from ..bodies.json_body import check_json_type, json_object, json_value
from ..bodies.read_body import check_body_length, read_body
from ..errors import ApiError
from ..limits import Limits
from ..settings import ServerSettings
from .request_files import RequestFiles

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["GivenBody", "body_of_request"]

_FORM = "multipart/form-data"
_JSON_FIELDS = ("people", "pulid")
"""Fields of a form that are objects or lists: JSON as text."""
_PART = "file:"


class BodyRules(Protocol):
    """What a body is read by; a `PictureService` has it."""

    @property
    def limits(self) -> Limits: ...

    @property
    def settings(self) -> ServerSettings: ...


@dataclass(frozen=True)
class GivenBody:
    """What a request says.

    Attributes:
        values: Its fields as JSON has them; those of a form are texts, and bytes of files.
        files: Reads the files in the fields.
        sha256: Of what came; of a form without its boundary, which each try has anew.
    """

    values: dict[str, Any]
    files: RequestFiles = field(repr=False)
    sha256: str


async def body_of_request(
    request: Request,
    service: BodyRules,
    *,
    check_type: bool = True,
    transparent_is_inside: bool = False,
) -> GivenBody:
    """Read a request's body; one without any is an empty object.

    Args:
        request: Whose body was not read yet.
        service: Whose limits count.
        check_type: Whether JSON must be said to be JSON; A1111's clients forget it.
        transparent_is_inside: OpenAI's rule for masks.

    Raises:
        ApiError: As `read_body`, `json_object`, `form_body`; "wrong_type".
    """
    content_type = request.headers.get("content-type")
    max_bytes = service.limits.max_body_bytes
    check_body_length(request.headers.get("content-length"), max_bytes)
    body = await read_body(request.stream(), max_bytes)
    parts: Mapping[str, bytes] = MappingProxyType({})
    if (content_type or "").lower().lstrip().startswith(_FORM):
        form = await asyncio.to_thread(form_body, body, content_type)
        sha256 = await asyncio.to_thread(form.sha256)
        parts = form.parts()
        values = form_values(form.values(), parts)
    else:
        if check_type and body:
            check_json_type(content_type)
        # Reading 64 MiB takes longer than others should wait.
        values = await asyncio.to_thread(json_object, body)
        sha256 = await asyncio.to_thread(lambda: hashlib.sha256(body).hexdigest())
    fetch = None
    if hosts := service.settings.allow_fetch:
        fetch = UrlFetcher(list(map(fetch_host, hosts)), max_bytes=service.limits.max_image_bytes)
    files = RequestFiles(
        service.limits, parts=parts, fetch=fetch, transparent_is_inside=transparent_is_inside
    )
    return GivenBody(values, files, sha256)


def form_values(values: dict[str, Any], parts: Mapping[str, bytes]) -> dict[str, Any]:
    """A form's fields as a JSON body has them.

    People are read as JSON; a file that they name ("file:NAME") is theirs, and no field.

    Args:
        values: Of `FormBody.values`.
        parts: Its files, by name.

    Raises:
        ApiError: "bad_json", with the field; as `unbracketed`.
    """
    found = unbracketed(values)
    for name in _JSON_FIELDS:
        value = found.get(name)
        if isinstance(value, str):
            found[name] = json_value(value.encode("utf-8"), name)
        elif isinstance(value, bytes):
            raise ApiError("invalid_value", f"{name} is a file, but must be JSON as text", name)
    for text in _texts_in([found.get(name) for name in _JSON_FIELDS]):
        named = text.removeprefix(_PART)
        if text.startswith(_PART) and named in parts:
            found.pop(named.removesuffix("[]"), None)
    return found


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts_in(inner)
