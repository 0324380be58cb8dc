"""Forms with files (multipart/form-data): taken apart in memory, nothing is written to a disk."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...terminal_text import quoted
from ..errors import ApiError

__all__ = ["MAX_FORM_PARTS", "FormBody", "form_body"]

MAX_FORM_PARTS = 100
"""Fields and files, together."""

_MAX_NAME_CHARS = 100
_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")  # RFC 2046
_PLAIN = (b"", b"7bit", b"8bit", b"binary")

# It warns of forms that are damaged, which anybody can send.
logging.getLogger("python_multipart").setLevel(logging.ERROR)


@dataclass(frozen=True)
class FormBody:
    """What is in a form.

    Attributes:
        texts: Values of a field, by its name, in order.
        files: Contents of a field's files, by its name, in order. What they were called is not
            kept: nothing may depend on it.
    """

    texts: Mapping[str, tuple[str, ...]]
    files: Mapping[str, tuple[bytes, ...]] = field(repr=False)

    def sha256(self) -> str:
        """The hash of all that is in it: the same for one that is sent again with another
        boundary."""
        found = hashlib.sha256()
        texts = {
            name: tuple(one.encode("utf-8") for one in several)
            for name, several in self.texts.items()
        }
        for kind, fields in (("text", texts), ("file", self.files)):
            for name, several in sorted(fields.items()):
                for content in several:
                    found.update(f"{kind} {len(content)} {name}\0".encode())
                    found.update(content)
        return found.hexdigest()

    def parts(self) -> dict[str, bytes]:
        """The first file of each name, which "file:NAME" in a field means."""
        return {name: several[0] for name, several in self.files.items()}

    def values(self) -> dict[str, Any]:
        """The form as an object: a name that comes twice, or ends in [], has a list."""
        found: dict[str, Any] = {}
        for name in dict.fromkeys((*self.texts, *self.files)):
            several = [*self.texts.get(name, ()), *self.files.get(name, ())]
            plain = name.removesuffix("[]")
            if plain in found:
                former = found[plain] if isinstance(found[plain], list) else [found[plain]]
                found[plain] = [*former, *several]
            else:
                found[plain] = several if len(several) > 1 or plain != name else several[0]
        return found


def form_body(body: bytes, content_type: str | None) -> FormBody:
    """Take a form apart.

    A file without a name and without content, which browsers send for a field that was left empty,
    is left out.

    Args:
        body: All of it.
        content_type: The header, with the boundary.

    Raises:
        ApiError: wrong_type: it is no multipart/form-data. invalid_value: it is damaged, ends
            early, or has more than 100 parts.
    """
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser

    parts = _Parts()
    try:
        parser = MultipartParser(_boundary(content_type), parts.callbacks())
        parser.write(body)
        parser.finalize()
    except FormParserError:
        raise _damaged("its parts cannot be told apart") from None
    if not parts.is_complete:
        raise _damaged("it ends early")
    return parts.form()


def _boundary(content_type: str | None) -> bytes:
    from python_multipart.multipart import parse_options_header

    kind, options = parse_options_header(content_type or "")
    boundary = options.get(b"boundary", b"")
    if kind.strip() != b"multipart/form-data" or not _BOUNDARY.fullmatch(boundary):
        raise ApiError(
            "wrong_type",
            "expected Content-Type: multipart/form-data with a boundary, found "
            f"{quoted(content_type) if content_type else 'none'}",
        )
    return boundary


class _Parts:
    """Collects the parts of a form."""

    def __init__(self) -> None:
        self.is_complete = False
        self._texts: dict[str, list[str]] = {}
        self._files: dict[str, list[bytes]] = {}
        self._count = 0
        self._headers: dict[bytes, bytes] = {}
        self._field = self._value = b""
        self._content = bytearray()

    def callbacks(self) -> Any:
        """What the parser calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._complete,
        }

    def form(self) -> FormBody:
        """What was collected."""
        return FormBody(
            {name: tuple(several) for name, several in self._texts.items()},
            {name: tuple(several) for name, several in self._files.items()},
        )

    def _begin(self) -> None:
        self._count += 1
        if self._count > MAX_FORM_PARTS:
            raise _damaged(f"it has more than {MAX_FORM_PARTS} parts")
        self._headers = {}
        self._content = bytearray()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        name = self._field.lower()
        if name in self._headers:
            raise _damaged("a part has a header twice")
        self._headers[name] = self._value
        self._field = self._value = b""

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._content += memoryview(data)[start:end]

    def _end(self) -> None:
        from python_multipart.multipart import parse_options_header

        kind, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = _decoded(options.get(b"name", b""), "the name of a part")
        if kind != b"form-data" or not 1 <= len(name) <= _MAX_NAME_CHARS:
            raise _damaged(f"a part has no name of 1 to {_MAX_NAME_CHARS} characters")
        if self._headers.get(b"content-transfer-encoding", b"").strip().lower() not in _PLAIN:
            raise _damaged("a part is encoded; send it as it is")
        if b"filename" not in options:
            text = _decoded(bytes(self._content), f"the field {quoted(name)}")
            self._texts.setdefault(name, []).append(text)
        elif options[b"filename"] or self._content:
            self._files.setdefault(name, []).append(bytes(self._content))

    def _complete(self) -> None:
        self.is_complete = True


def _decoded(text: bytes, what: str) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        raise _damaged(f"{what} is not in UTF-8") from None


def _damaged(reason: str) -> ApiError:
    return ApiError("invalid_value", f"the form cannot be used: {reason}")
