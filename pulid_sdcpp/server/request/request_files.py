"""The files that come with a request: read and checked as its fields are, and kept by hash."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from ...errors import IdentityFileError
from ...identity.identity_file import Identity, identity_bytes
from ..bodies.given_bytes import Fetch, given_bytes
from ..bodies.mask_change import MaskChange
from ..bodies.pictures_in import PictureIn, mask_from, photo_from, picture_from
from ..errors import ApiError
from ..limits import Limits
from .person_fields import Readers

__all__ = ["MAX_EMBEDDING_BYTES", "EmbeddingIn", "RequestFiles"]

MAX_EMBEDDING_BYTES = 4 << 20
"""Of an identity file; one in float32 has 1 MiB, with an unconditional identity."""

_PART = "file:"


@dataclass(frozen=True)
class EmbeddingIn:
    """An identity file from a client.

    Attributes:
        content: The file, written anew with the same numbers and metadata; what else may have
            been in it, such as a preview of the face, is not.
        sha256: Of `content`.
    """

    content: bytes = field(repr=False)
    sha256: str


class RequestFiles:
    """Reads the files of one request.

        files = RequestFiles(limits, parts=form.parts())
        request = normalised(body, readers=files.readers, ...)
        for sha256, content in files.contents.items(): ...

    Args:
        limits: How large each may be.
        parts: Files of a form; "file:NAME" in a field is the part NAME.
        fetch: Gets an https address; None: there are no addresses.
        transparent_is_inside: OpenAI's rule for masks, as of `mask_from`.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        parts: Mapping[str, bytes] = MappingProxyType({}),
        fetch: Fetch | None = None,
        transparent_is_inside: bool = False,
    ) -> None:
        self._limits = limits
        self._parts = parts
        self._fetch = fetch
        self._transparent_is_inside = transparent_is_inside
        self._mask_changes: dict[str, MaskChange] = {}
        self._contents: dict[str, bytes] = {}

    def change_mask(self, param: str, change: MaskChange) -> None:
        """Have the mask in a field changed when it is read."""
        self._mask_changes[param] = change

    @property
    def readers(self) -> Readers:
        """What reads the fields; each raises `ApiError` as the functions of `pictures_in`."""
        return Readers(
            picture=lambda value, param: self._picture(picture_from, value, param),
            mask=self._mask,
            photo=lambda value, param: self._picture(photo_from, value, param),
            embedding=self._embedding,
        )

    @property
    def contents(self) -> Mapping[str, bytes]:
        """What has been read, by SHA-256: pictures as PNG, and identity files."""
        return MappingProxyType(self._contents)

    def _mask(self, value: Any, param: str) -> PictureIn:
        read = functools.partial(mask_from, transparent_is_inside=self._transparent_is_inside)
        if (change := self._mask_changes.get(param)) is not None:
            read = functools.partial(_changed_mask, read, change)
        return self._picture(read, value, param)

    def _picture(self, read: Callable[..., PictureIn], value: Any, param: str) -> PictureIn:
        picture = read(
            self._given(value, param), param=param, limits=self._limits, fetch=self._fetch
        )
        self._contents[picture.sha256] = picture.png
        return picture

    def _embedding(self, value: Any, param: str) -> EmbeddingIn:
        content = given_bytes(self._given(value, param), param=param, max_bytes=MAX_EMBEDDING_BYTES)
        try:
            identity = Identity.from_bytes(content)
            content = identity_bytes(identity, identity.dtype)
        except (IdentityFileError, ValueError) as error:  # ValueError: numbers that are no face
            raise ApiError("bad_identity", f"{param}: {error}", param) from error
        sha256 = hashlib.sha256(content).hexdigest()
        self._contents[sha256] = content
        return EmbeddingIn(content, sha256)

    def _given(self, value: Any, param: str) -> Any:
        """The value, or the part that it names."""
        if not (self._parts and isinstance(value, str) and value.startswith(_PART)):
            return value
        name = value[len(_PART) :]
        if name not in self._parts:
            raise ApiError(
                "invalid_value", f"{param}: there is no file of this name in the form", param
            )
        return self._parts[name]


def _changed_mask(
    read: Callable[..., PictureIn], change: MaskChange, value: Any, **how: Any
) -> PictureIn:
    picture = read(value, **how)
    try:
        png = change.of(picture.png)
    except ValueError as error:
        raise ApiError("bad_image", f"{how['param']}: {error}", how["param"]) from error
    return replace(picture, png=png, sha256=hashlib.sha256(png).hexdigest())
